/* SPDX-License-Identifier: PostgreSQL
 * Finds the passwords in a connection string, as libpq reads it, for show-servers. When in doubt it
 * hides too much. Never used for connecting. */
#include "config/secret.h"

#include "base/str.h"

static const char redacted[] = "*REDACTED*";
static const char blanks[] = " \t\r\n\f\v";

static bool
is_secret(const char *name, size_t length)
{
    static const char *const names[] = {"password", "sslpassword", "oauth_client_secret"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strlen(names[i]) == length && strncmp(names[i], name, length) == 0)
            return true;
    return false;
}

/* The end of a keyword's value, which may be quoted; NULL when the quote has no end. */
static const char *
value_end(const char *value)
{
    bool quoted = *value == '\'';
    for (value += quoted; *value; value++) {
        if (quoted ? *value == '\'' : strchr(blanks, *value) != NULL)
            return value + quoted;
        if (*value == '\\' && value[1])
            value++;
    }
    return quoted ? NULL : value;
}

static void
redact_keywords(const char *text, Str *out)
{
    for (;;) {
        const char *name = text + strspn(text, blanks);
        if (!*name) {
            str_append(out, text);
            return;
        }
        size_t length = strcspn(name, " \t\r\n\f\v=");
        const char *equals = name + length + strspn(name + length, blanks);
        const char *value = equals + 1 + (*equals == '=' ? strspn(equals + 1, blanks) : 0);
        const char *end = *equals == '=' ? value_end(value) : NULL;
        if (!end) { /* may be what is left of a password with a blank in it */
            str_append_part(out, text, (size_t)(name - text));
            str_append(out, redacted);
            return;
        }
        bool secret = is_secret(name, length);
        str_append_part(out, text, (size_t)((secret ? value : end) - text));
        if (secret)
            str_append(out, redacted);
        text = end;
    }
}

/* scheme://user:PASSWORD@host:port/database?name=value&... */
static void
redact_uri(const char *text, Str *out)
{
    const char *user = strstr(text, "://") + 3;
    const char *at = strrchr(user, '@'), *colon = strchr(user, ':');
    if (at && colon && colon < at) {
        str_append_part(out, text, (size_t)(colon + 1 - text));
        str_append(out, redacted);
        text = at;
    }
    size_t plain = strcspn(text, "?");
    str_append_part(out, text, plain);
    for (text += plain; *text;) {
        str_append_part(out, text++, 1); /* ? or & */
        size_t length = strcspn(text, "=&"), size = strcspn(text, "&");
        /* Names may be written with %XX, too. */
        bool secret = is_secret(text, length) || memchr(text, '%', length);
        str_append_part(out, text, secret ? length + (length < size) : size);
        if (secret && length < size)
            str_append(out, redacted);
        text += size;
    }
}

const char *
conninfo_redact(const char *conninfo, Arena *arena)
{
    AUTO(str) Str out = {0};
    bool uri = str_starts(conninfo, "postgresql://") || str_starts(conninfo, "postgres://");
    (uri ? redact_uri : redact_keywords)(conninfo, &out);
    return arena_dup(arena, str_text(&out));
}
