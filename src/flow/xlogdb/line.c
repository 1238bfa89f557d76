/* SPDX-License-Identifier: PostgreSQL
 * One line of xlog.db, written exactly as Barman writes it and read as leniently as Barman reads
 * it. */
#include "flow/xlogdb/xlogdb.h"

#include "base/file.h"
#include "wal/name.h"

#include <math.h>

void
xlogdb_time_format(struct timespec time, char *ret_text)
{
    double seconds = timespec_seconds(time);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(ret_text, XLOGDB_TIME_ROOM, "%.*g", digits, seconds);
        if (strtod(ret_text, NULL) == seconds)
            break;
    }
    if (!strpbrk(ret_text, ".e"))
        snprintf(ret_text + strlen(ret_text), XLOGDB_TIME_ROOM - strlen(ret_text), ".0");
}

static const char *
or_none(const char *text)
{
    return text ? text : "None";
}

size_t
xlogdb_line_format(const WalFile *row, int columns, char *ret_line)
{
    char time[XLOGDB_TIME_ROOM];
    xlogdb_time_format(row->mtime, time);
    int length = snprintf(ret_line, XLOGDB_LINE_ROOM, "%s\t%lld\t%s\t%s", row->name,
                          (long long)row->size, time, or_none(row->compression));
    if (columns == 5)
        length += snprintf(ret_line + length, XLOGDB_LINE_ROOM - (size_t)length, "\t%s",
                           or_none(row->encryption));
    assert(length > 0 && length + 1 < XLOGDB_LINE_ROOM);
    ret_line[length++] = '\n';
    ret_line[length] = '\0';
    return (size_t)length;
}

static const char *const names[] = {"gzip", "pygzip", "pigz", "bzip2", "pybzip2",
                                    "xz",   "zstd",   "lz4",  "snappy"};

/* The names that may stand in the column, as static text: rows outlive the line they were read
 * from. */
static const char *
codec_name(const char *text)
{
    if (strcmp(text, "None") == 0)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(text, names[i]) == 0)
            return names[i];
    return "custom";
}

/* Likewise. What Barman will be able to encrypt with one day is encrypted all the same. */
static const char *
cipher_name(const char *text)
{
    if (strcmp(text, "None") == 0)
        return NULL;
    return strcmp(text, "aead") == 0 ? "aead" : "gpg";
}

/* "1700000037.623456", as nearly all times are written; strtod would be half of reading a catalog.
 */
static bool
parse_plain_time(const char *text, struct timespec *ret_time)
{
    enum { WHOLE_MAX = 11, NANO_DIGITS = 9 };
    int64_t whole = 0, nano = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && p - text < WHOLE_MAX; p++)
        whole = whole * 10 + (*p - '0');
    if (p == text || *p != '.')
        return false;
    const char *fraction = ++p;
    for (; *p >= '0' && *p <= '9' && p - fraction < NANO_DIGITS; p++)
        nano = nano * 10 + (*p - '0');
    if (*p)
        return false;
    for (ptrdiff_t digits = p - fraction; digits < NANO_DIGITS; digits++)
        nano *= 10;
    *ret_time = (struct timespec){.tv_sec = (time_t)whole, .tv_nsec = (long)nano};
    return true;
}

static bool
parse_time(const char *text, struct timespec *ret_time)
{
    char *end = NULL;
    if (parse_plain_time(text, ret_time))
        return true;
    double seconds = strtod(text, &end);
    if (end == text || *end || !isfinite(seconds) || fabs(seconds) > 1e18)
        return false;
    double whole = floor(seconds);
    ret_time->tv_sec = (time_t)whole;
    ret_time->tv_nsec = (long)((seconds - whole) * 1e9 + 0.5);
    if (ret_time->tv_nsec >= 1000000000) {
        ret_time->tv_sec++;
        ret_time->tv_nsec = 0;
    }
    return true;
}

enum { COLUMNS_MAX = 5 };

static bool
is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Words between blanks, cut off in place; 0 if there are more than COLUMNS_MAX. */
static int
split(char *line, const char **ret_fields)
{
    int count = 0;
    for (char *p = line;; p++) {
        while (is_blank(*p))
            p++;
        if (!*p)
            return count;
        if (count == COLUMNS_MAX)
            return 0;
        ret_fields[count++] = p;
        while (*p && !is_blank(*p))
            p++;
        if (!*p)
            return count;
        *p = '\0';
    }
}

bool
xlogdb_line_parse(const char *line, size_t length, WalFile *ret_row)
{
    char copy[XLOGDB_LINE_ROOM];
    const char *fields[COLUMNS_MAX];
    if (length >= sizeof(copy) || memchr(line, '\0', length))
        return false;
    memcpy(copy, line, length);
    copy[length] = '\0';
    int count = split(copy, fields);
    size_t name_length = count < 3 ? WAL_NAME_ROOM : strlen(fields[0]);
    if (name_length >= WAL_NAME_ROOM)
        return false;
    WalFile row = {.kind = wal_kind(fields[0])};
    memcpy(row.name, fields[0], name_length + 1);
    if (row.kind == WAL_NONE || !int_parse(fields[1], 0, INT64_MAX, &row.size) ||
        !parse_time(fields[2], &row.mtime))
        return false;
    row.compression = count > 3 ? codec_name(fields[3]) : NULL;
    row.encryption = count > 4 ? cipher_name(fields[4]) : NULL;
    *ret_row = row;
    return true;
}

bool
xlogdb_line_is_whole(const char *line, int columns)
{
    const char *last = strrchr(line, '\t');
    int tabs = 0;
    for (const char *p = line; *p; p++)
        tabs += *p == '\t';
    if (tabs != columns - 1)
        return false;
    if (columns == 5)
        return strcmp(last + 1, "None") == 0 || strcmp(last + 1, "gpg") == 0 ||
               strcmp(last + 1, "aead") == 0;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(last + 1, names[i]) == 0)
            return true;
    return strcmp(last + 1, "None") == 0 || strcmp(last + 1, "custom") == 0;
}
