/* SPDX-License-Identifier: PostgreSQL */
#include "base/log.h"

#include "../files.h"

#include <pthread.h>

typedef struct Logs {
    char *dir, *path;
} Logs;

static int
setup(void **state)
{
    Logs *logs = mem_alloc(sizeof(*logs));
    logs->dir = scratch_make();
    logs->path = mem_printf("%s/deep/er/walden.log", logs->dir);
    *state = logs;
    return 0;
}

static int
teardown(void **state)
{
    Logs *logs = *state;
    log_open(NULL, LOG_WARNING);
    free(logs->path);
    scratch_remove(logs->dir);
    free(logs);
    return 0;
}

/* The texts of the lines, each of which must begin as Barman's tools expect it. */
static void
assert_lines(const char *path, const char *expected)
{
    AUTO(str) Str text = {0}, got = {0};
    AUTO(free) char *pid = mem_printf(" [%d] walden ", (int)getpid());
    assert_done(file_read_text(path, MIB(1), &text));
    for (char *line = text.data; *line;) {
        char *end = strchr(line, '\n');
        *end = '\0';
        static const char shape[] = "dddd-dd-dd dd:dd:dd,ddd";
        for (size_t i = 0; shape[i]; i++)
            if (shape[i] == 'd' ? line[i] < '0' || line[i] > '9' : line[i] != shape[i])
                fail_msg("'%s'", line);
        line += strlen(shape);
        assert_true(str_starts(line, pid));
        str_appendf(&got, "%s\n", line + strlen(pid));
        line = end + 1;
    }
    assert_string_equal(str_text(&got), expected);
}

static void
test_lines(void **state)
{
    Logs *logs = *state;
    assert_done(log_open(logs->path, LOG_INFO));
    assert_false(log_on_stderr());
    log_debug("not this");
    log_info("one %d", 1);
    log_warning("a\nb\r\nc");
    log_error("%s", "");
    log_line(LOG_CRITICAL, "last");
    assert_lines(logs->path, "INFO: one 1\nWARNING: a b  c\nERROR: \nCRITICAL: last\n");
    assert_done(log_open(logs->path, LOG_DEBUG)); /* again: goes on in the same file */
    log_debug("more");
    assert_lines(logs->path,
                 "INFO: one 1\nWARNING: a b  c\nERROR: \nCRITICAL: last\nDEBUG: more\n");
    assert_done(log_open(NULL, LOG_CRITICAL));
    assert_true(log_on_stderr());
}

static void
test_long_line(void **state)
{
    Logs *logs = *state;
    AUTO(free) char *text = mem_alloc(100001);
    memset(text, 'x', 100000);
    AUTO(free) char *expected = mem_printf("INFO: %s\n", text);
    assert_done(log_open(logs->path, LOG_INFO));
    log_info("%s", text);
    assert_lines(logs->path, expected);
}

static void
test_rotation(void **state)
{
    Logs *logs = *state;
    AUTO(free) char *moved = mem_printf("%s.1", logs->path);
    assert_done(log_open(logs->path, LOG_INFO));
    log_info("before");
    assert_int_equal(rename(logs->path, moved), 0);
    log_info("after");
    assert_lines(moved, "INFO: before\n");
    assert_lines(logs->path, "INFO: after\n");
    unlink(logs->path);
    log_info("again");
    assert_lines(logs->path, "INFO: again\n");
    write_text(moved, ""); /* moved there and already replaced by a new one */
    assert_int_equal(rename(moved, logs->path), 0);
    log_info("new");
    assert_lines(logs->path, "INFO: new\n");
}

static void
test_cannot_open(void **state)
{
    Logs *logs = *state;
    AUTO(free) char *below = mem_printf("%s/file/log", logs->dir);
    AUTO(free) char *file = mem_printf("%s/file", logs->dir);
    write_text(file, "");
    assert_done(log_open(logs->path, LOG_CRITICAL));
    assert_fails(log_open(below, LOG_CRITICAL), ERR_IO, "/file");
    assert_true(log_on_stderr());
    assert_fails(log_open(logs->dir, LOG_CRITICAL), ERR_IO, "open log file");
    assert_true(log_on_stderr());
}

static void *
log_much(void *argument)
{
    for (int i = 0; i < 200; i++)
        log_info("thread %d line %d, and enough text to make a mixture visible", *(int *)argument,
                 i);
    return NULL;
}

static void
test_threads(void **state)
{
    Logs *logs = *state;
    pthread_t threads[4];
    int numbers[4] = {0, 1, 2, 3};
    assert_done(log_open(logs->path, LOG_INFO));
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, log_much, &numbers[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    AUTO(str) Str text = {0};
    size_t lines = 0;
    assert_done(file_read_text(logs->path, MIB(1), &text));
    for (char *line = text.data; *line; line = strchr(line, '\n') + 1, lines++)
        assert_true(str_starts(strchr(line, '\n') - strlen("visible"), "visible\n"));
    assert_int_equal(lines, 800);
}

static void
test_levels(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int level; /* -1: none */
    } levels[] = {{"DEBUG", 10}, {"info", 20},  {"Warning", 30}, {"ERROR", 40},    {"CRITICAL", 50},
                  {"NOTSET", 0}, {"0", 0},      {"15", 15},      {"1000", 1000},   {"1001", -1},
                  {"-1", -1},    {"WARN!", -1}, {"", -1},        {"DEBUGGING", -1}};
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        int level = -1;
        bool good = log_level_parse(levels[i].text, &level);
        if (good != (levels[i].level >= 0) || level != levels[i].level)
            fail_msg("'%s': %d", levels[i].text, level);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
        TEST(lines),       TEST(long_line), TEST(rotation),
        TEST(cannot_open), TEST(threads),   cmocka_unit_test(test_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
