/* SPDX-License-Identifier: PostgreSQL
 * A growing string with a limit, lists of strings, and the parsing of numbers. */
#ifndef WALDEN_BASE_STR_H
#define WALDEN_BASE_STR_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Str {
    char *data; /* always ends in NUL once something was appended; NULL before */
    size_t length;
    size_t room;
} Str;

void str_append(Str *str, const char *text);
void str_append_part(Str *str, const char *data, size_t length);
/* The same as a Sink: the context is the Str. */
int str_sink(void *str, const void *data, size_t length);
void str_appendf(Str *str, const char *format, ...) PRINTF_LIKE(2, 3);
void str_clear(Str *str);
void str_done(Str *str);
/* The text, "" when nothing was appended. */
const char *str_text(const Str *str);

static inline void
auto_str(Str *str)
{
    str_done(str);
}

typedef struct StrList {
    char **items;
    size_t count;
    size_t room;
} StrList;

void strlist_add(StrList *list, const char *text); /* copies */
void strlist_own(StrList *list, char *text);       /* takes over */
void strlist_addf(StrList *list, const char *format, ...) PRINTF_LIKE(2, 3);
void strlist_done(StrList *list);

static inline void
auto_strlist(StrList *list)
{
    strlist_done(list);
}

bool str_starts(const char *text, const char *start);
bool str_ends(const char *text, const char *end);

/* Puts '?' in place of every byte that is not part of UTF-8: for JSON and Prometheus, which would
 * refuse the whole for it. */
void str_make_utf8(char *text);

/* Decimal number filling the whole text, with an optional sign; blanks around it are allowed.
 * False if it is none or out of [min, max]; then *ret_value is untouched. */
bool int_parse(const char *text, int64_t min, int64_t max, int64_t *ret_value);

/* The text "YYYYMMDDTHHMMSSZ" (UTC), as in the names of rejected files. Room for 17 bytes. */
void time_format_stamp(time_t time, char *ret_text);

/* Local time for people: "Sat Nov 21 13:11:33 2026". Room for TIME_ROOM bytes. */
void time_format(time_t time, char *ret_text);

/* Bytes for people: "17 B", "1.5 GiB". Room for 24 bytes. */
void size_format(int64_t bytes, char *ret_text);

/* Seconds for people: "1 day, 2 hours, 3 minutes, 4 seconds", parts that are 0 left out, or "less
 * than one second"; " ago" behind it when negative. Room for DURATION_ROOM bytes. */
void duration_format(int64_t seconds, char *ret_text);

enum { STAMP_ROOM = 17, TIME_ROOM = 40, SIZE_ROOM = 24, DURATION_ROOM = 96 };

#endif
