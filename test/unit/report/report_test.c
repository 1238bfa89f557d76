/* SPDX-License-Identifier: PostgreSQL
 * The two styles of answers, quiet or not, and what hostile texts become in them. */
#include "../capture.h"

#include "base/log.h"
#include "report/report.h"

#include <fcntl.h>

static void
say_all(Report *report)
{
    Error plain = {.text = "plain\nfailure"}, hinted = {.text = "failure", .hint = "advice\x1b"};
    report_info(report, "\tname %d\tx", 1);
    report_debug(report, "detail");
    report_warning(report, "careful\r");
    report_error(report, "wrong \x1b[31m");
    report_failure(report, &plain);
    report_failure(report, &hinted);
    report_info(report, "%s", "");
}

static const struct {
    ReportStyle style;
    const char *out, *err;
} cases[] = {
    {{0},
     "\tname 1?x\n\n",
     "WARNING: careful?\nERROR: wrong ?[31m\nERROR: plain?failure\n"
     "ERROR: failure (hint: advice?)\n"},
    {{.quiet = true},
     "",
     "WARNING: careful?\nERROR: wrong ?[31m\nERROR: plain?failure\n"
     "ERROR: failure (hint: advice?)\n"},
    {{.debug = true, .colour = true},
     "\tname 1?x\n\n",
     "DEBUG: detail\n\033[33mWARNING: careful?\033[0m\n\033[31mERROR: wrong ?[31m\033[0m\n"
     "\033[31mERROR: plain?failure\033[0m\n\033[31mERROR: failure (hint: advice?)\033[0m\n"},
    {{.json = true},
     "{\"_ERROR\": [\"wrong ?[31m\", \"plain?failure\", \"failure (hint: advice?)\"], "
     "\"_INFO\": [\"\\tname 1?x\", \"\"], \"_WARNING\": [\"careful?\"], \"main\": {\"a\": 1}}",
     ""},
    {{.json = true, .debug = true, .colour = true},
     "{\"_DEBUG\": [\"detail\"], "
     "\"_ERROR\": [\"wrong ?[31m\", \"plain?failure\", \"failure (hint: advice?)\"], "
     "\"_INFO\": [\"\\tname 1?x\", \"\"], \"_WARNING\": [\"careful?\"], \"main\": {\"a\": 1}}",
     ""},
    {{.json = true, .quiet = true}, "", ""},
};

static void
test_styles(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(str) Str out = {0}, err = {0};
        Capture capture_err = capture_begin(stderr), capture_out = capture_begin(stdout);
        Report *report = report_new(&cases[i].style);
        bool json = report_is_json(report);
        say_all(report);
        report_set(report, "main", json_pack("{s:i}", "a", 1));
        int result = report_end(report);
        capture_end(&capture_out, &out);
        capture_end(&capture_err, &err);
        assert_done(result);
        assert_int_equal(json, cases[i].style.json);
        assert_string_equal(str_text(&out), cases[i].out);
        assert_string_equal(str_text(&err), cases[i].err);
    }
}

/* File names are bytes; JSON is UTF-8, and ours ASCII only. */
static void
test_bytes(void **state)
{
    (void)state;
    AUTO(str) Str out = {0};
    Capture capture = capture_begin(stdout);
    Report *report = report_new(&(ReportStyle){.json = true});
    report_info(report, "\xc3\xa9\"\\");
    report_info(report, "bad \xff byte");
    int result = report_end(report);
    capture_end(&capture, &out);
    assert_done(result);
    json_t *root = json_loads(str_text(&out), 0, NULL);
    assert_non_null(root);
    json_t *info = json_object_get(root, "_INFO");
    assert_string_equal(json_string_value(json_array_get(info, 0)), "\xc3\xa9\"\\");
    assert_int_equal(json_array_size(info), 2);
    json_decref(root);
    for (const char *at = str_text(&out); *at; at++)
        assert_true((unsigned char)*at < 0x80);
}

static void
test_full_disk(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        fflush(stdout);
        int saved = dup(STDOUT_FILENO);
        int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        if (full < 0)
            skip();
        dup2(full, STDOUT_FILENO);
        Report *report = report_new(&(ReportStyle){.json = json});
        report_info(report, "text");
        int result = report_end(report);
        dup2(saved, STDOUT_FILENO);
        close(saved);
        close(full);
        clearerr(stdout);
        assert_fails(result, ERR_IO, "standard output");
    }
}

/* One failure, one line: what stands on standard error is not logged there a second time, and what
 * is in a log file is there once. */
static void
test_logged_once(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/log", dir);
    AUTO(str) Str err = {0}, log = {0};
    Capture capture = capture_begin(stderr);
    Report *report = report_new(&(ReportStyle){0});
    report_error(report, "first");
    log_open(path, LOG_INFO);
    report_error(report, "second");
    report_warning(report, "third");
    report_debug(report, "fourth");
    log_open(NULL, LOG_INFO);
    int result = report_end(report);
    capture_end(&capture, &err);
    assert_done(result);
    assert_string_equal(str_text(&err), "ERROR: first\nERROR: second\nWARNING: third\n");
    FILE *file = fopen(path, "re");
    char line[200];
    while (fgets(line, sizeof(line), file))
        str_append(&log, strstr(line, "walden") + strlen("walden"));
    fclose(file);
    assert_string_equal(str_text(&log), " ERROR: second\n WARNING: third\n");
    scratch_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_styles),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_logged_once),
    };
    log_open(NULL, LOG_CRITICAL); /* JSON's errors are logged too */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
