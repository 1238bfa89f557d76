/* SPDX-License-Identifier: PostgreSQL
 * Lines key=value, whose values are numbers, times, words, or literals of Python, as the key says.
 * What does not look like what it should be is given as the text that it is. */
#include "command/backup_json.h"

#include "base/str.h"
#include "report/report.h"

enum { DEPTH_MAX = 16, TEXT_ROOM = 64 };

typedef enum Kind { TEXT, NUMBER, TIME, LITERAL, NAMES } Kind;

static const struct {
    const char *key;
    Kind kind;
} kinds[] = {
    {"begin_offset", NUMBER},
    {"begin_time", TIME},
    {"children_backup_ids", NAMES},
    {"cluster_size", NUMBER},
    {"copy_stats", LITERAL},
    {"deduplicated_size", NUMBER},
    {"end_offset", NUMBER},
    {"end_time", TIME},
    {"included_files", LITERAL},
    {"size", NUMBER},
    {"snapshots_info", LITERAL},
    {"tablespaces", LITERAL},
    {"timeline", NUMBER},
    {"xlog_segment_size", NUMBER},
    {"version", NUMBER},
};

static Kind
kind_of(const char *key)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(kinds[i].key, key) == 0)
            return kinds[i].kind;
    return TEXT;
}

static void
skip_blanks(const char **at)
{
    *at += strspn(*at, " \t");
}

static json_t *parse_literal(const char **at, int depth);

/* Of the escapes those that Python writes in a one-line text */
static json_t *
parse_string(const char **at)
{
    static const char letters[] = "ntr", meant[] = "\n\t\r";
    AUTO(str) Str text = {0};
    char quote = *(*at)++;
    for (; **at && **at != quote; (*at)++) {
        const char *letter = NULL;
        if (**at == '\\' && (*at)[1]) {
            (*at)++;
            letter = strchr(letters, **at);
        }
        str_append_part(&text, letter ? &meant[letter - letters] : *at, 1);
    }
    if (**at != quote)
        return NULL;
    (*at)++;
    return report_text(str_text(&text));
}

/* Behind the opening bracket */
static json_t *
parse_sequence(const char **at, char closing, int depth)
{
    json_t *array = json_array();
    for (skip_blanks(at); **at != closing; skip_blanks(at)) {
        json_t *value = parse_literal(at, depth + 1);
        skip_blanks(at);
        if (!value || (**at != ',' && **at != closing)) {
            json_decref(value);
            json_decref(array);
            return NULL;
        }
        json_array_append_new(array, value);
        *at += **at == ',';
    }
    (*at)++;
    return array;
}

static json_t *
parse_mapping(const char **at, int depth)
{
    json_t *object = json_object();
    for (skip_blanks(at); **at != '}'; skip_blanks(at)) {
        json_t *key = parse_literal(at, depth + 1), *value = NULL;
        skip_blanks(at);
        if (json_is_string(key) && **at == ':') {
            (*at)++;
            value = parse_literal(at, depth + 1);
            skip_blanks(at);
        }
        if (value && (**at == ',' || **at == '}')) {
            json_object_set_new(object, json_string_value(key), value);
            *at += **at == ',';
            json_decref(key);
            continue;
        }
        json_decref(key);
        json_decref(value);
        json_decref(object);
        return NULL;
    }
    (*at)++;
    return object;
}

static json_t *
parse_number(const char **at)
{
    size_t length = strspn(*at, "0123456789+-.eE");
    char *end = NULL, text[TEXT_ROOM];
    if (length == 0 || length >= sizeof(text))
        return NULL;
    snprintf(text, sizeof(text), "%.*s", (int)length, *at);
    bool real = strpbrk(text, ".eE") != NULL;
    double number = strtod(text, &end);
    *at += length;
    if (*end)
        return NULL;
    return real ? json_real(number) : json_integer(strtoll(text, NULL, 10));
}

static bool
take_word(const char **at, const char *word)
{
    bool there = str_starts(*at, word);
    *at += there ? strlen(word) : 0;
    return there;
}

/* NULL when it is none. */
static json_t *
parse_literal(const char **at, int depth)
{
    skip_blanks(at);
    if (depth > DEPTH_MAX)
        return NULL;
    if (**at == '\'' || **at == '"')
        return parse_string(at);
    if (take_word(at, "("))
        return parse_sequence(at, ')', depth);
    if (take_word(at, "["))
        return parse_sequence(at, ']', depth);
    if (take_word(at, "{"))
        return parse_mapping(at, depth);
    if (take_word(at, "None"))
        return json_null();
    if (take_word(at, "True"))
        return json_true();
    return take_word(at, "False") ? json_false() : parse_number(at);
}

/* "2026-11-21 16:52:55.477132+00:00" becomes "Sat Nov 21 16:52:55 2026". */
static json_t *
time_json(const char *value)
{
    struct tm time = {0};
    char text[TEXT_ROOM];
    if (!strptime(value, "%Y-%m-%d %H:%M:%S", &time))
        return NULL;
    timegm(&time); /* finds the day of the week */
    strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &time);
    return json_string(text);
}

static json_t *
names_json(const char *value)
{
    json_t *array = json_array();
    for (size_t length; *value; value += length + (value[length] == ',')) {
        length = strcspn(value, ",");
        AUTO(free) char *name = mem_printf("%.*s", (int)length, value);
        json_array_append_new(array, report_text(name));
    }
    return array;
}

static json_t *
value_json(const char *key, const char *value)
{
    int64_t number = 0;
    const char *at = value;
    json_t *result = NULL;
    if (strcmp(value, "None") == 0)
        return json_null();
    switch (kind_of(key)) {
    case NUMBER:
        result = int_parse(value, INT64_MIN, INT64_MAX, &number) ? json_integer(number) : NULL;
        break;
    case TIME:
        result = time_json(value);
        break;
    case LITERAL:
        result = parse_literal(&at, 0);
        break;
    case NAMES:
        result = names_json(value);
        break;
    case TEXT:
        break;
    }
    return result ? result : report_text(value);
}

json_t *
backup_json(const char *id, const char *text)
{
    json_t *object = json_object();
    for (size_t length; *text; text += length + (text[length] == '\n')) {
        length = strcspn(text, "\n");
        AUTO(free) char *line = mem_printf("%.*s", (int)length, text);
        char *value = strchr(line, '=');
        if (!value)
            continue;
        *value++ = '\0';
        json_object_set_new(object, line, value_json(line, value));
    }
    json_object_set_new(object, "backup_id", report_text(id));
    return object;
}
