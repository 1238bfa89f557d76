/* SPDX-License-Identifier: PostgreSQL
 * Strings that grow, and the few conversions that several modules share. */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>

void
str_append_part(Str *str, const char *data, size_t length)
{
    size_t need = str->length + length + 1;
    if (need > str->room) {
        size_t room = str->room ? str->room : 64;
        while (room < need)
            room *= 2;
        str->data = mem_resize(str->data, room, 1);
        str->room = room;
    }
    if (length)
        memcpy(str->data + str->length, data, length);
    str->length += length;
    str->data[str->length] = '\0';
}

void
str_append(Str *str, const char *text)
{
    str_append_part(str, text, strlen(text));
}

int
str_sink(void *str, const void *data, size_t length)
{
    str_append_part(str, data, length);
    return 0;
}

void
str_appendf(Str *str, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = mem_vprintf(format, args);
    va_end(args);
    str_append(str, text);
}

void
str_clear(Str *str)
{
    str->length = 0;
    if (str->data)
        str->data[0] = '\0';
}

void
str_done(Str *str)
{
    free(str->data);
    *str = (Str){0};
}

const char *
str_text(const Str *str)
{
    return str->data ? str->data : "";
}

void
strlist_own(StrList *list, char *text)
{
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 8;
        list->items = mem_resize(list->items, list->room, sizeof(char *));
    }
    list->items[list->count++] = text;
}

void
strlist_add(StrList *list, const char *text)
{
    strlist_own(list, mem_dup(text));
}

void
strlist_addf(StrList *list, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    strlist_own(list, mem_vprintf(format, args));
    va_end(args);
}

void
strlist_done(StrList *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (StrList){0};
}

bool
str_starts(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

bool
str_ends(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && memcmp(text + length - tail, end, tail) == 0;
}

/* Bytes of the character at text; 0 when there is none (RFC 3629). */
static size_t
utf8_length(const char *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length = bytes[0] < 0x80                       ? 1
                    : bytes[0] >= 0xC0 && bytes[0] < 0xE0 ? 2
                    : bytes[0] >= 0xE0 && bytes[0] < 0xF0 ? 3
                    : bytes[0] >= 0xF0 && bytes[0] < 0xF8 ? 4
                                                          : 0;
    uint32_t code = length > 1 ? bytes[0] & (0x7FU >> length) : bytes[0];
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (bytes[i] & 0x3F);
    }
    bool surrogate = code >= 0xD800 && code < 0xE000;
    return code < least[length] || surrogate || code > 0x10FFFF ? 0 : length;
}

void
str_make_utf8(char *text)
{
    while (*text) {
        size_t length = utf8_length(text);
        if (length == 0)
            *text = '?';
        text += length ? length : 1;
    }
}

bool
int_parse(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || errno == ERANGE)
        return false;
    while (isspace((unsigned char)*end))
        end++;
    if (*end || value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}

void
time_format_stamp(time_t time, char *ret_text)
{
    struct tm parts;
    gmtime_r(&time, &parts);
    strftime(ret_text, STAMP_ROOM, "%Y%m%dT%H%M%SZ", &parts);
}

void
time_format(time_t time, char *ret_text)
{
    struct tm parts;
    localtime_r(&time, &parts);
    strftime(ret_text, TIME_ROOM, "%a %b %e %H:%M:%S %Y", &parts);
}

void
size_format(int64_t bytes, char *ret_text)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while ((value >= 1024 || value <= -1024) && unit + 1 < COUNT_OF(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(ret_text, SIZE_ROOM, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void
duration_format(int64_t seconds, char *ret_text)
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
    uint64_t rest = seconds < 0 ? -(uint64_t)seconds : (uint64_t)seconds;
    int length = snprintf(ret_text, DURATION_ROOM, "%s", rest ? "" : "less than one second");
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        uint64_t count = rest / units[i].seconds;
        rest %= units[i].seconds;
        if (count)
            length += snprintf(ret_text + length, DURATION_ROOM - (size_t)length, "%s%llu %s%s",
                               length ? ", " : "", (unsigned long long)count, units[i].name,
                               count == 1 ? "" : "s");
    }
    if (seconds < 0)
        snprintf(ret_text + length, DURATION_ROOM - (size_t)length, " ago");
}
