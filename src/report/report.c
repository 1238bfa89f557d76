/* SPDX-License-Identifier: PostgreSQL
 * Console and JSON. One failure is one line: where the log goes to standard error too, what was
 * told there is not logged a second time. */
#include "report/report.h"

#include "base/log.h"
#include "base/str.h"

#include <ctype.h>
#include <stdarg.h>
#include <unistd.h>

struct Report {
    ReportStyle style;
    json_t *root;  /* NULL on the console */
    bool progress; /* such a line stands on standard error */
};

enum { RED = 31, GREEN = 32, YELLOW = 33 };

static void
clear_progress(Report *report)
{
    if (report->progress)
        fputs("\r\033[K", stderr);
    report->progress = false;
}

Report *
report_new(const ReportStyle *style)
{
    Report *report = mem_alloc(sizeof(*report));
    report->style = *style;
    if (style->json)
        report->root = json_object();
    return report;
}

int
report_end(Report *report)
{
    int result = 0;
    if (report->root && !report->style.quiet &&
        json_dumpf(report->root, stdout, JSON_SORT_KEYS | JSON_ENSURE_ASCII) < 0)
        result = -1;
    if (fflush(stdout) != 0 || ferror(stdout))
        result = -1;
    clear_progress(report);
    json_decref(report->root);
    free(report);
    return result < 0 ? fail(ERR_IO, "cannot write to standard output") : 0;
}

bool
report_is_watched(const Report *report)
{
    return !report->root && !report->style.quiet && isatty(STDERR_FILENO);
}

void
report_progress(Report *report, const char *format, ...)
{
    va_list args;
    if (!report_is_watched(report))
        return;
    clear_progress(report);
    va_start(args, format);
    report->progress = vfprintf(stderr, format, args) > 0;
    va_end(args);
    fflush(stderr);
}

bool
report_is_json(const Report *report)
{
    return report->root != NULL;
}

void
report_leave_stdout(Report *report)
{
    json_decref(report->root);
    report->root = NULL;
    report->style.quiet = true;
}

json_t *
report_text(const char *text)
{
    AUTO(free) char *clean_text = mem_dup(text);
    str_make_utf8(clean_text);
    return json_string(clean_text);
}

void
report_set(Report *report, const char *key, json_t *value)
{
    AUTO(free) char *clean_key = mem_dup(key);
    str_make_utf8(clean_key);
    if (report->root)
        json_object_set_new(report->root, clean_key, value);
    else
        json_decref(value);
}

/* A tab at the start is layout; anything else below a blank came from a file name. */
static void
clean(char *text)
{
    for (char *p = text; *p; p++)
        if (iscntrl((unsigned char)*p) && !(p == text && *p == '\t'))
            *p = '?';
}

static char *printable(const char *format, va_list args) PRINTF_LIKE(1, 0);

static char *
printable(const char *format, va_list args)
{
    char *text = mem_vprintf(format, args);
    clean(text);
    return text;
}

static void
add_message(Report *report, const char *key, const char *text)
{
    json_t *list = json_object_get(report->root, key);
    if (!list) {
        list = json_array();
        json_object_set_new(report->root, key, list);
    }
    json_array_append_new(list, report_text(text));
}

static void
print_prefixed(Report *report, int colour, const char *prefix, const char *text)
{
    clear_progress(report);
    fflush(stdout);
    if (report->style.colour && colour)
        fprintf(stderr, "\033[%dm%s%s\033[0m\n", colour, prefix, text);
    else
        fprintf(stderr, "%s%s\n", prefix, text);
}

static void
tell(Report *report, const char *key, int colour, const char *prefix, const char *text)
{
    if (report->root)
        add_message(report, key, text);
    else
        print_prefixed(report, colour, prefix, text);
}

void
report_info(Report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = printable(format, args);
    va_end(args);
    if (report->root) {
        add_message(report, "_INFO", text);
    } else if (!report->style.quiet) {
        clear_progress(report);
        puts(text);
    }
}

void
report_check(Report *report, const char *name, bool good, const char *hint)
{
    const char *word = good ? "OK" : "FAILED";
    AUTO(free)
    char *text =
        *hint ? mem_printf("\t%s: %s (%s)", name, word, hint) : mem_printf("\t%s: %s", name, word);
    if (report->root || report->style.quiet)
        return;
    clean(text);
    if (report->style.colour) {
        size_t before = strlen(name) + 3; /* the tab, the colon and the blank */
        printf("%.*s\033[%dm%s\033[0m%s\n", (int)before, text, good ? GREEN : RED, word,
               text + before + strlen(word));
    } else {
        puts(text);
    }
}

void
report_debug(Report *report, const char *format, ...)
{
    if (!report->style.debug)
        return;
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = printable(format, args);
    va_end(args);
    tell(report, "_DEBUG", 0, "DEBUG: ", text);
}

void
report_warning(Report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = printable(format, args);
    va_end(args);
    tell(report, "_WARNING", YELLOW, "WARNING: ", text);
    if (!log_on_stderr())
        log_warning("%s", text);
}

static void
tell_error(Report *report, const char *text)
{
    tell(report, "_ERROR", RED, "ERROR: ", text);
    if (!log_on_stderr() || report->root)
        log_error("%s", text);
}

void
report_error(Report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = printable(format, args);
    va_end(args);
    tell_error(report, text);
}

void
report_failure(Report *report, const Error *error)
{
    AUTO(free)
    char *text = error->hint[0] ? mem_printf("%s (hint: %s)", error->text, error->hint)
                                : mem_dup(error->text);
    clean(text);
    tell_error(report, text);
}
