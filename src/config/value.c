/* SPDX-License-Identifier: PostgreSQL
 * Values of options. What Barman accepts is accepted here with the same meaning;
 * times may be given in smaller units too. Never changes a field when it answers false. */
#include "config/value.h"

#include "base/log.h"
#include "base/str.h"
#include "config/retention.h"
#include "config/secret.h"
#include "config/tags.h"

#include <limits.h>
#include <strings.h>

static bool
word_in(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return false;
}

static bool
read_bool(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    static const char *const yes[] = {"true", "t", "yes", "1", "on"};
    static const char *const no[] = {"false", "f", "no", "0", "off"};
    (void)choices, (void)arena;
    bool value = word_in(text, yes, COUNT_OF(yes));
    if (!value && !word_in(text, no, COUNT_OF(no)))
        return false;
    *(bool *)ret_field = value;
    return true;
}

static const char *
write_bool(const void *field, Arena *arena)
{
    (void)arena;
    return *(const bool *)field ? "true" : "false";
}

/* Barman takes a negative number for no limit, which is what 0 says. */
static bool
read_count(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    (void)choices, (void)arena;
    int64_t value = 0;
    if (!int_parse(text, INT32_MIN, INT32_MAX, &value))
        return false;
    *(int64_t *)ret_field = value < 0 ? 0 : value;
    return true;
}

static const char *
write_count(const void *field, Arena *arena)
{
    int64_t value = *(const int64_t *)field;
    return value < 0 ? NULL : arena_printf(arena, "%lld", (long long)value);
}

static bool
read_seconds(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {{"", 1},
                 {"s", 1},
                 {"min", 60},
                 {"h", 3600},
                 {"hour", 3600},
                 {"hours", 3600},
                 {"d", 86400},
                 {"day", 86400},
                 {"days", 86400},
                 {"week", 604800},
                 {"weeks", 604800},
                 {"month", 2678400},
                 {"months", 2678400}};
    (void)choices, (void)arena;

    size_t digits = strspn(text, "0123456789");
    char number[11];
    int64_t value = 0;
    if (!digits || digits >= sizeof(number))
        return false;
    snprintf(number, sizeof(number), "%.*s", (int)digits, text);
    if (!int_parse(number, 0, INT32_MAX, &value))
        return false;
    const char *unit = text + digits;
    unit += strspn(unit, " \t");
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (strcasecmp(unit, units[i].name) == 0) {
            *(int64_t *)ret_field = value * units[i].seconds;
            return true;
        }
    return false;
}

static bool
read_text(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    (void)choices;
    *(const char **)ret_field = arena_dup(arena, text);
    return true;
}

static const char *
write_text(const void *field, Arena *arena)
{
    (void)arena;
    return *(const char *const *)field;
}

/* So is every recursion along a path bounded. */
static bool
read_path(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    return strlen(text) < PATH_MAX && read_text(text, choices, arena, ret_field);
}

static bool
read_choice(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    size_t length = strlen(text);
    for (const char *word = choices; *word;) {
        size_t size = strcspn(word, "|");
        if (size == length && strncasecmp(word, text, size) == 0) {
            *(const char **)ret_field = arena_dup_part(arena, word, size);
            return true;
        }
        word += size + (word[size] == '|');
    }
    return false;
}

static bool
read_magic(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    (void)choices;
    size_t digits = strlen(text) - (text[0] ? 2 : 0);
    if (strncasecmp(text, "0x", 2) != 0 || !digits || digits % 2 ||
        strspn(text + 2, "0123456789abcdefABCDEF") != digits)
        return false;
    *(const char **)ret_field = arena_dup(arena, text);
    return true;
}

static bool
read_level(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    int64_t number = 0;
    (void)choices;
    if (int_parse(text, INT32_MIN, INT32_MAX, &number)) {
        *(const char **)ret_field = arena_printf(arena, "%lld", (long long)number);
        return true;
    }
    return read_choice(text, "low|medium|high", arena, ret_field);
}

static bool
read_log_level(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    int level = 0;
    return log_level_parse(text, &level) && read_text(text, choices, arena, ret_field);
}

static const char *
write_conninfo(const void *field, Arena *arena)
{
    const char *text = write_text(field, arena);
    return text ? conninfo_redact(text, arena) : NULL;
}

static const char *
write_secret(const void *field, Arena *arena)
{
    return write_text(field, arena) ? "*REDACTED*" : NULL;
}

/* PostgreSQL takes up to 63 of these letters; Barman makes them small. */
static bool
read_slot(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    (void)choices;
    size_t length = strlen(text);
    char *name = arena_dup(arena, text);
    for (size_t i = 0; i < length; i++)
        name[i] = (char)(name[i] | (name[i] >= 'A' && name[i] <= 'Z' ? 0x20 : 0));
    if (!length || length > 63 || strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz_") != length)
        return false;
    *(const char **)ret_field = name;
    return true;
}

static bool
read_retention(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    Retention retention;
    return retention_parse(text, &retention) && read_text(text, choices, arena, ret_field);
}

static bool
read_tags(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    size_t count = 0;
    return tags_parse(text, arena, &count) && read_text(text, choices, arena, ret_field);
}

static bool
read_size(const char *text, const char *choices, Arena *arena, void *ret_field)
{
    Retention size;
    (void)choices, (void)arena;
    if (!retention_parse(text, &size) || size.kind != RETAIN_BYTES)
        return false;
    *(int64_t *)ret_field = size.amount;
    return true;
}

const ValueKind value_BOOL = {"true or false", false, read_bool, write_bool};
const ValueKind value_COUNT = {"a whole number", false, read_count, write_count};
const ValueKind value_SECONDS = {"a time as '90', '5 min' or '2 days'", false, read_seconds,
                                 write_count};
const ValueKind value_TEXT = {"text", true, read_text, write_text};
const ValueKind value_PATH = {"a path", true, read_path, write_text};
const ValueKind value_SHELL = {"a command", true, read_text, write_text};
const ValueKind value_SECRET = {"a command", true, read_text, write_secret};
const ValueKind value_CHOICE = {NULL, true, read_choice, write_text};
const ValueKind value_MAGIC = {"'0x' and hexadecimal digits, two for each byte", true, read_magic,
                               write_text};
const ValueKind value_LEVEL = {"low, medium, high or a number", true, read_level, write_text};
const ValueKind value_LOGLEVEL = {"DEBUG, INFO, WARNING, ERROR, CRITICAL or a number", true,
                                  read_log_level, write_text};
const ValueKind value_CONNINFO = {"a connection string", true, read_text, write_conninfo};
const ValueKind value_SLOT = {"up to 63 letters, digits and underscores", true, read_slot,
                              write_text};
const ValueKind value_RETENTION = {"'7 d', '500 GiB', '3 backups' or the like", true,
                                   read_retention, write_text};
const ValueKind value_TAGS = {"'KEY=VALUE', several with commas between them", true, read_tags,
                              write_text};
const ValueKind value_SIZE = {"a size as '64 MiB'", false, read_size, write_count};
