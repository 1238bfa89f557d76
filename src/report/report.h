/* SPDX-License-Identifier: PostgreSQL
 * How commands answer, to people and to machines, in Barman's manner: information
 * on standard output, the rest with a prefix on standard error; or one JSON object at the end. */
#ifndef WALDEN_REPORT_REPORT_H
#define WALDEN_REPORT_REPORT_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

typedef struct Report Report;

typedef struct ReportStyle {
    bool json;
    bool quiet;  /* console: no information; JSON: nothing at all */
    bool debug;  /* debug messages too */
    bool colour; /* warnings yellow, errors red */
} ReportStyle;

Report *report_new(const ReportStyle *style);

/* Prints the JSON object, if that is the style, and frees. <0 when standard output cannot take it.
 */
int report_end(Report *report);

/* A line for people. Control characters inside (of hostile file names) are replaced. */
void report_info(Report *report, const char *format, ...) PRINTF_LIKE(2, 3);
void report_debug(Report *report, const char *format, ...) PRINTF_LIKE(2, 3);

/* One line "name: OK" or "name: FAILED", with a hint in brackets unless that is "". For the console
 * only. */
void report_check(Report *report, const char *name, bool good, const char *hint);

/* Told and logged, with the hint of a failure behind it. */
void report_warning(Report *report, const char *format, ...) PRINTF_LIKE(2, 3);
void report_error(Report *report, const char *format, ...) PRINTF_LIKE(2, 3);
void report_failure(Report *report, const Error *error);

/* Does somebody watch: is standard error a terminal, and would it take information? */
bool report_is_watched(const Report *report);

/* A line on standard error that the next one, or any other message, takes the place of; "" takes it
 * away. Only where somebody watches. */
void report_progress(Report *report, const char *format, ...) PRINTF_LIKE(2, 3);

bool report_is_json(const Report *report);

/* From now on standard output is for raw data: information is dropped and there will be no JSON. */
void report_leave_stdout(Report *report);

/* A JSON string; bytes that are no UTF-8 are shown as "?". */
json_t *report_text(const char *text);

/* Adds to the JSON object; the value is taken over. Nothing happens on the console. */
void report_set(Report *report, const char *key, json_t *value);

#endif
