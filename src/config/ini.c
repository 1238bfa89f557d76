/* SPDX-License-Identifier: PostgreSQL
 * Reads a file as Python's configparser does, with its defaults: comments are whole lines, a line
 * that is indented deeper than its option continues the value, a header may have anything behind
 * it. Two things are accepted that Python refuses: a byte order mark, and bytes that are not
 * UTF-8. Interpolation is not done here. Nothing is judged here: which sections and options
 * there are, the caller knows. */
#include "config/ini.h"

#include "base/str.h"

typedef struct Parser {
    const char *name;
    Arena *arena;
    IniLine *lines; /* on the heap while they grow */
    size_t count, room;
    int number;
    const char *section;
    bool in_option;   /* deeper lines continue the last one of lines */
    size_t indent;    /* of the last line that was not a continuation */
    Str value;        /* of the option we are in */
    size_t value_end; /* trailing blank lines do not count */
} Parser;

static void
auto_parser(Parser *parser)
{
    free(parser->lines);
    str_done(&parser->value);
}

const char *
ini_blank(const char *text, const char *end)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    if (!left)
        return text;
    if (at[0] == ' ' || (at[0] >= '\t' && at[0] <= '\r') || (at[0] >= 0x1c && at[0] <= 0x1f))
        return text + 1;
    if (left >= 2 && at[0] == 0xc2 && (at[1] == 0x85 || at[1] == 0xa0))
        return text + 2;
    if (left < 3 || at[0] < 0xe1 || at[0] > 0xe3)
        return text;
    unsigned code = (unsigned)(at[0] & 0x0f) << 12 | (unsigned)(at[1] & 0x3f) << 6 | (at[2] & 0x3f);
    bool blank = code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
                 code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
    return blank ? text + 3 : text;
}

/* Takes blanks away at both ends and answers how many stood in front. */
static size_t
trim(const char **text, const char **end)
{
    size_t indent = 0;
    for (const char *next; (next = ini_blank(*text, *end)) != *text; *text = next)
        indent++;
    const char *kept = *text;
    for (const char *at = *text; at < *end;) {
        const char *next = ini_blank(at, *end);
        if (next == at)
            kept = next = at + 1;
        at = next;
    }
    *end = kept;
    return indent;
}

/* The option we were in has its whole value now. */
static void
end_option(Parser *parser)
{
    if (parser->in_option)
        parser->lines[parser->count - 1].value =
            arena_dup_part(parser->arena, str_text(&parser->value), parser->value_end);
    parser->in_option = false;
}

static void
add_line(Parser *parser, const char *key)
{
    if (parser->count == parser->room) {
        parser->room = parser->room ? parser->room * 2 : 64;
        parser->lines = mem_resize(parser->lines, parser->room, sizeof(IniLine));
    }
    parser->lines[parser->count++] =
        (IniLine){.section = parser->section, .key = key, .value = "", .number = parser->number};
}

static void
extend_value(Parser *parser, const char *text, const char *end)
{
    str_append_part(&parser->value, "\n", 1);
    str_append_part(&parser->value, text, (size_t)(end - text));
    if (end > text)
        parser->value_end = parser->value.length;
}

static int
parse_option(Parser *parser, const char *text, const char *end)
{
    const char *separator = text;
    while (separator < end && *separator != '=' && *separator != ':')
        separator++;
    if (separator == end)
        return fail(ERR_CONFIG, "%s:%d: '%.*s' is neither a section nor an option with a value",
                    parser->name, parser->number, (int)(end - text > 80 ? 80 : end - text), text);
    if (separator == text)
        return fail(ERR_CONFIG, "%s:%d: the name of the option is missing", parser->name,
                    parser->number);

    const char *key_end = separator, *value = separator + 1;
    trim(&text, &key_end);
    trim(&value, &end);
    char *key = arena_dup_part(parser->arena, text, (size_t)(key_end - text));
    for (char *at = key; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    add_line(parser, key);
    parser->in_option = true;
    str_clear(&parser->value);
    str_append_part(&parser->value, value, (size_t)(end - value));
    parser->value_end = parser->value.length;
    return 0;
}

static int
parse_line(Parser *parser, const char *text, const char *end)
{
    size_t indent = trim(&text, &end);
    if (text == end) {
        if (parser->in_option)
            extend_value(parser, text, end);
        return 0;
    }
    if (*text == '#' || *text == ';')
        return 0;
    if (parser->in_option && indent > parser->indent) {
        extend_value(parser, text, end);
        return 0;
    }
    end_option(parser);
    parser->indent = indent;

    /* The header ends at the last bracket and has at least one character. */
    const char *bracket = *text == '[' ? memrchr(text, ']', (size_t)(end - text)) : NULL;
    if (bracket && bracket > text + 1) {
        parser->section = arena_dup_part(parser->arena, text + 1, (size_t)(bracket - text - 1));
        add_line(parser, "");
        return 0;
    }
    if (!parser->section)
        return fail(ERR_CONFIG, "%s:%d: there is text before the first [section]", parser->name,
                    parser->number);
    return parse_option(parser, text, end);
}

int
ini_parse(const char *name, const char *text, size_t length, Arena *arena, IniFile *ret_file)
{
    __attribute__((cleanup(auto_parser))) Parser parser = {.name = name, .arena = arena};
    const char *end = text + length;
    if (memchr(text, '\0', length))
        return fail(ERR_CONFIG, "'%s' is not a text file", name);
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;

    while (text < end) {
        const char *line_end = text;
        while (line_end < end && *line_end != '\n' && *line_end != '\r')
            line_end++;
        parser.number++;
        TRY(parse_line(&parser, text, line_end));
        text = line_end + (end - line_end >= 2 && memcmp(line_end, "\r\n", 2) == 0 ? 2 : 1);
    }
    end_option(&parser);

    IniFile file = {.name = arena_dup(arena, name), .count = parser.count};
    file.lines = arena_alloc(arena, (parser.count + 1) * sizeof(IniLine));
    if (parser.count)
        memcpy(file.lines, parser.lines, parser.count * sizeof(IniLine));
    *ret_file = file;
    return 0;
}

char *
ini_unquote(Arena *arena, const char *value)
{
    size_t length = strlen(value);
    bool quoted = length >= 2 && (*value == '"' || *value == '\'') && value[length - 1] == *value &&
                  !strchr(value, '\n');
    return quoted ? arena_dup_part(arena, value + 1, length - 2) : arena_dup(arena, value);
}
