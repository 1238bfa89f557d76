/* SPDX-License-Identifier: PostgreSQL
 * Connection strings as libpq reads them: keywords or URI, with one host or several, of which libpq
 * takes the first that answers and fits target_session_attrs. It passes over a host that refuses,
 * but not over one that keeps silent; that is left to its caller, and done by taking the host out
 * of the list. Nothing here connects, and no message repeats a piece of a string. */
#include "pg/conninfo.h"

#include "base/str.h"
#include "pg/libpq.h"

AUTO_DEFINE(options, PQconninfoOption *, PQconninfoFree)

/* What libpq found wrong, without the pieces of the string that it quotes: it may quote a password,
 * and a password may hold quotes. */
static int
fail_parse(const char *message)
{
    const char *text = message ? message : "out of memory\n";
    size_t length = strcspn(text, "\n");
    const char *first = strchr(text, '"'), *last = strrchr(text, '"');
    int result =
        first ? fail(ERR_CONFIG, "the connection string cannot be used: %.*s...%.*s",
                     (int)(first - text), text, (int)strcspn(last + 1, "\n"), last + 1)
              : fail(ERR_CONFIG, "the connection string cannot be used: %.*s", (int)length, text);
    return hint(result, "it must be 'keyword=value ...', values with blanks in single quotes, or "
                        "'postgresql://...'");
}

static const char **
find(Conninfo *conninfo, const char *name)
{
    for (size_t i = 0; i < conninfo->count; i++)
        if (strcmp(conninfo->names[i], name) == 0)
            return &conninfo->values[i];
    return NULL;
}

const char *
conninfo_value(const Conninfo *conninfo, const char *name)
{
    for (size_t i = 0; i < conninfo->count; i++)
        if (strcmp(conninfo->names[i], name) == 0)
            return conninfo->values[i];
    return NULL;
}

/* What is there already comes first. */
static void
add(Conninfo *conninfo, const char *name, const char *value)
{
    if (conninfo->count == CONNINFO_MAX || conninfo_value(conninfo, name))
        return;
    conninfo->names[conninfo->count] = arena_dup(conninfo->arena, name);
    conninfo->values[conninfo->count++] = arena_dup(conninfo->arena, value);
}

void
conninfo_set(Conninfo *conninfo, const char *name, const char *value)
{
    const char **place = find(conninfo, name);
    if (place)
        *place = arena_dup(conninfo->arena, value);
    else
        add(conninfo, name, value);
}

int
conninfo_parse(const char *text, PgKind kind, const char *application, Arena *arena,
               Conninfo *ret_conninfo)
{
    char *message = NULL;
    TRY(libpq_load());
    AUTO(options) PQconninfoOption *options = PQconninfoParse(text, &message);
    int result = options ? 0 : fail_parse(message);
    PQfreemem(message);
    TRY(result);

    *ret_conninfo = (Conninfo){.arena = arena};
    if (kind == PG_REPLICATION) {
        add(ret_conninfo, "replication", "true");
        /* The name of the database by which libpq looks for such a password in ~/.pgpass. */
        add(ret_conninfo, "dbname", "replication");
    }
    for (const PQconninfoOption *option = options; option->keyword; option++)
        if (option->val)
            add(ret_conninfo, option->keyword, option->val);
    if (application)
        add(ret_conninfo, "application_name", application);
    return 0;
}

int
pg_conninfo_application(const char *conninfo, const char *application, Arena *arena,
                        const char **ret_name)
{
    Conninfo parsed;
    TRY(conninfo_parse(conninfo, PG_SQL, application, arena, &parsed));
    const char *name = conninfo_value(&parsed, "application_name");
    *ret_name = name ? name : "";
    return 0;
}

static void
append_setting(Str *text, const char *name, const char *value)
{
    bool plain = *value && !strpbrk(value, " \t\r\n\f\v'\\");
    str_appendf(text, "%s%s=%s", text->length ? " " : "", name, plain ? value : "'");
    for (; !plain && *value; value++)
        str_appendf(text, "%s%c", *value == '\'' || *value == '\\' ? "\\" : "", *value);
    if (!plain)
        str_append(text, "'");
}

/* What libpq knows of a keyword. */
static const PQconninfoOption *
describe(const PQconninfoOption *options, const char *keyword)
{
    while (options->keyword && strcmp(options->keyword, keyword) != 0)
        options++;
    return options;
}

int
pg_conninfo_export(const char *conninfo, PgKind kind, const char *application, int64_t timeout_ms,
                   Arena *arena, const char **ret_conninfo, StrList *env)
{
    Conninfo parsed;
    AUTO(str) Str text = {0};
    TRY(conninfo_parse(conninfo, kind, application, arena, &parsed));
    AUTO(options) PQconninfoOption *options = PQconninfoParse("", NULL);
    if (!options)
        mem_exhausted(sizeof(*options));
    /* Which libpq heeds here, as it does the waiting. */
    long long seconds = conninfo_host_timeout(&parsed, timeout_ms) / 1000;
    add(&parsed, "connect_timeout", arena_printf(arena, "%lld", seconds > 0 ? seconds : 1));
    for (size_t i = 0; i < parsed.count; i++) {
        const PQconninfoOption *option = describe(options, parsed.names[i]);
        bool secret = option->dispchar && *option->dispchar == '*';
        if (!secret)
            append_setting(&text, parsed.names[i], parsed.values[i]);
        else if (option->envvar)
            strlist_addf(env, "%s=%s", option->envvar, parsed.values[i]);
        else
            return fail(ERR_CONFIG, "'%s' of the connection string cannot be kept secret",
                        parsed.names[i]);
    }
    *ret_conninfo = arena_dup(arena, str_text(&text));
    return 0;
}

static size_t
list_count(const char *list)
{
    size_t count = 1;
    for (; *list; list++)
        count += *list == ',';
    return count;
}

/* The element of a list, and its length; the list has that many. */
static const char *
list_item(const char *list, size_t index, size_t *ret_length)
{
    for (; index > 0; index--)
        list = strchr(list, ',') + 1;
    *ret_length = strcspn(list, ",");
    return list;
}

static bool
list_item_is(const char *list, size_t index, const char *text)
{
    size_t length = 0;
    const char *item = list_item(list, index, &length);
    return strlen(text) == length && strncmp(item, text, length) == 0;
}

static void
list_drop(Conninfo *conninfo, const char *name, size_t index)
{
    const char **value = find(conninfo, name);
    if (!value || list_count(*value) == 1) /* one port for all hosts */
        return;
    size_t length = 0;
    const char *item = list_item(*value, index, &length);
    size_t before = (size_t)(item - *value);
    const char *rest = item + length;
    if (*rest == ',')
        rest++;
    else
        before--; /* the last one takes the comma before it along */
    *value = arena_printf(conninfo->arena, "%.*s%s", (int)before, *value, rest);
}

static const char *
hosts_of(const Conninfo *conninfo)
{
    const char *hosts = conninfo_value(conninfo, "host");
    return hosts ? hosts : conninfo_value(conninfo, "hostaddr");
}

int64_t
conninfo_host_timeout(const Conninfo *conninfo, int64_t timeout_ms)
{
    const char *hosts = hosts_of(conninfo), *given = conninfo_value(conninfo, "connect_timeout");
    int64_t share = timeout_ms / (int64_t)(hosts ? list_count(hosts) : 1), seconds = 0;
    bool less = given && int_parse(given, 1, INT32_MAX, &seconds) && seconds * 1000 < share;
    return less ? seconds * 1000 : share;
}

bool
conninfo_drop_host(Conninfo *conninfo, const char *host, const char *port)
{
    const char *hosts = hosts_of(conninfo), *ports = conninfo_value(conninfo, "port");
    size_t count = hosts ? list_count(hosts) : 1;
    for (size_t i = 0; count > 1 && i < count; i++) {
        bool own_port = ports && list_count(ports) == count;
        if (!list_item_is(hosts, i, host) || (own_port && !list_item_is(ports, i, port)))
            continue;
        list_drop(conninfo, "host", i);
        list_drop(conninfo, "hostaddr", i);
        list_drop(conninfo, "port", i);
        return true;
    }
    return false;
}
