/* SPDX-License-Identifier: PostgreSQL
 * What the site's scripts are told, and what their answers mean. */
#include "site.h"

#include "base/clock.h"
#include "base/proc.h"
#include "flow/hook.h"

static const WalFile wal = {SEG_1, WAL_SEGMENT, 2635, {1795249002, 320225200}, "gzip", NULL};

static HookEvent
event_of(const Site *site)
{
    return (HookEvent){
        .config = &site->config, .server = &site->server, .wal = &wal, .path = "/a/file"};
}

/* Appends to the log of this test. */
static const char *
script(const Site *site, const char *text)
{
    return arena_printf(site->arena, "exec >>%s/out; %s", site->dir, text);
}

static void
assert_output(const Site *site, const char *expected)
{
    assert_text(site_path(site, "out"), expected);
}

#define PRINT                                                                                      \
    "env -u PWD -u _ | grep -e ^BARMAN_ -e ^WALDEN_ENC -e ^WALDEN_ERR -e ^HOOK_TEST | sort"

static void
test_nothing_configured(void **state)
{
    Site *site = *state;
    HookEvent event = event_of(site);
    char *error = NULL;
    assert_false(hooks_configured(&site->server));
    assert_done(hooks_before_archive(&event, &error));
    assert_done(hooks_after_archive(&event));
    assert_null(error);
}

static void
test_any_is_configured(void **state)
{
    (void)state;
    ServerConfig server = {.pre_archive_script = "x"};
    assert_true(hooks_configured(&server));
    server = (ServerConfig){.pre_archive_retry_script = "x"};
    assert_true(hooks_configured(&server));
    server = (ServerConfig){.post_archive_retry_script = "x"};
    assert_true(hooks_configured(&server));
    server = (ServerConfig){.post_archive_script = "x"};
    assert_true(hooks_configured(&server));
}

static void
test_environment(void **state)
{
    Site *site = *state;
    HookEvent event = event_of(site);
    char *error = NULL;
    setenv("BARMAN_PHASE", "left over", 1);
    setenv("HOOK_TEST", "kept", 1);
    site->server.pre_archive_script = script(site, PRINT);
    assert_done(hooks_before_archive(&event, &error));
    assert_output(site, "BARMAN_COMPRESSION=gzip\n"
                        "BARMAN_CONFIGURATION=/etc/main.conf\n"
                        "BARMAN_ERROR=\n"
                        "BARMAN_FILE=/a/file\n"
                        "BARMAN_HOOK=archive_script\n"
                        "BARMAN_PHASE=pre\n"
                        "BARMAN_RETRY=0\n"
                        "BARMAN_SEGMENT=" SEG_1 "\n"
                        "BARMAN_SERVER=main\n"
                        "BARMAN_SIZE=2635\n"
                        "BARMAN_TIMESTAMP=1795249002.3202252\n"
                        "BARMAN_VERSION=3.17.0\n"
                        "HOOK_TEST=kept\n"
                        "WALDEN_ENCRYPTION=\n"
                        "WALDEN_ERROR=\n");
    unsetenv("BARMAN_PHASE");
}

/* Only retry hooks see the error under Barman's name, all of them under ours. */
static void
test_error_in_environment(void **state)
{
    Site *site = *state;
    WalFile plain = {SEG_1, WAL_SEGMENT, 5, {1, 0}, NULL, "gpg"};
    HookEvent event = event_of(site);
    event.error = "it's $(broken)\nbadly";
    event.wal = &plain;
    const char *print = "printf '%s|' $BARMAN_HOOK $BARMAN_PHASE $BARMAN_RETRY \"$BARMAN_ERROR\" "
                        "\"$WALDEN_ERROR\" \"$BARMAN_COMPRESSION\" $WALDEN_ENCRYPTION; echo";
    site->server.post_archive_script = script(site, print);
    site->server.post_archive_retry_script = script(site, print);
    assert_done(hooks_after_archive(&event));
    assert_output(site,
                  "archive_retry_script|post|1|it's $(broken)\nbadly|it's $(broken)\nbadly||gpg|\n"
                  "archive_script|post|0||it's $(broken)\nbadly||gpg|\n");
}

/* Of deletion all hooks see it. */
static void
test_delete_hooks(void **state)
{
    Site *site = *state;
    HookEvent event = event_of(site);
    char *error = NULL;
    const char *print =
        "echo $BARMAN_PHASE $BARMAN_HOOK $BARMAN_RETRY \"$BARMAN_ERROR\" $BARMAN_FILE";
    assert_false(delete_hooks_configured(&site->server));
    site->server.pre_archive_script = script(site, "echo wrong");
    assert_false(delete_hooks_configured(&site->server));
    site->server.pre_wal_delete_script = script(site, print);
    assert_true(delete_hooks_configured(&site->server));
    site->server.pre_wal_delete_retry_script = site->server.pre_wal_delete_script;
    site->server.post_wal_delete_script = site->server.pre_wal_delete_script;
    site->server.post_wal_delete_retry_script = site->server.pre_wal_delete_script;
    assert_done(hooks_before_delete(&event, &error));
    event.error = "stuck";
    assert_done(hooks_after_delete(&event));
    assert_output(site, "pre wal_delete_script 0  /a/file\n"
                        "pre wal_delete_retry_script 1  /a/file\n"
                        "post wal_delete_retry_script 1 stuck /a/file\n"
                        "post wal_delete_script 0 stuck /a/file\n");
    site->server.pre_wal_delete_retry_script = "exit 63";
    site->server.pre_wal_delete_script = NULL;
    assert_int_equal(hooks_before_delete(&event, &error), HOOK_ABORTED);
    assert_non_null(strstr(error, "Abort 'pre_wal_delete_retry_script'"));
    free(error);
}

static void
test_order_before(void **state)
{
    Site *site = *state;
    HookEvent event = event_of(site);
    char *error = NULL;
    site->server.pre_archive_script = script(site, "echo standard; exit 9");
    site->server.pre_archive_retry_script = script(site, "echo retry");
    assert_done(hooks_before_archive(&event, &error));
    assert_output(site, "standard\nretry\n");
    assert_null(error);
}

static const struct {
    const char *answer;
    int before;        /* of hooks_before_archive */
    const char *error; /* with HOOK_ABORTED */
} answers[] = {
    {"exit 0", 0, NULL},
    {"exit 62", 0, NULL},
    {"exit 63", HOOK_ABORTED, "Abort 'pre_archive_retry_script' retry hook script ("},
    {"exit 1", HOOK_ABORTED, "did not succeed within hook_timeout (1 s)"},
    {"exit 64", HOOK_ABORTED, "did not succeed within hook_timeout (1 s)"},
    {"kill -9 $$", HOOK_ABORTED, "did not succeed within hook_timeout (1 s)"},
    {"sleep 60", HOOK_ABORTED, "did not succeed within hook_timeout (1 s)"},
};

static void
test_answers(void **state)
{
    Site *site = *state;
    HookEvent event = event_of(site);
    site->server.hook_timeout = 1;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        AUTO(free) char *error = NULL;
        int64_t begin = clock_ms();
        site->server.pre_archive_retry_script = answers[i].answer;
        assert_int_equal(hooks_before_archive(&event, &error), answers[i].before);
        if (answers[i].error && !strstr(error, answers[i].error))
            fail_msg("'%s': '%s'", answers[i].answer, error);
        assert_true(!error == !answers[i].error);
        assert_true(clock_ms() - begin < 10000);
    }
}

/* What was archived stays archived, whatever hooks answer then. */
static void
test_answers_after(void **state)
{
    Site *site = *state;
    HookEvent event = event_of(site);
    site->server.post_archive_retry_script = script(site, "echo retry; exit 63");
    site->server.post_archive_script = script(site, "echo standard; exit 63");
    assert_done(hooks_after_archive(&event));
    assert_output(site, "retry\nstandard\n");
}

/* 63 means nothing from a standard hook, and its time is limited as well. */
static void
test_standard_hooks_decide_nothing(void **state)
{
    Site *site = *state;
    HookEvent event = event_of(site);
    char *error = NULL;
    site->server.hook_timeout = 1;
    static const char *const scripts[] = {"exit 63", "exit 1", "sleep 60", "kill -9 $$"};
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        site->server.pre_archive_script = scripts[i];
        assert_done(hooks_before_archive(&event, &error));
        assert_null(error);
    }
}

static void
test_tries_again(void **state)
{
    Site *site = *state;
    HookEvent event = event_of(site);
    char *error = NULL;
    int64_t begin = clock_ms();
    site->server.hook_timeout = 30;
    site->server.pre_archive_retry_script = arena_printf(
        site->arena, "echo try >> %s/out; test $(wc -l < %s/out) -ge 2", site->dir, site->dir);
    assert_done(hooks_before_archive(&event, &error));
    assert_output(site, "try\ntry\n");
    assert_true(clock_ms() - begin >= 2900 && clock_ms() - begin < 10000);
}

static void
test_path_prefix(void **state)
{
    Site *site = *state;
    HookEvent event = event_of(site);
    char *error = NULL;
    const char *tool = site_path(site, "bin/hook-tool");
    write_text(tool, "#!/bin/sh\necho found\n");
    chmod(tool, 0755);
    site->server.path_prefix = site_path(site, "bin");
    site->server.pre_archive_script = script(site, "hook-tool");
    assert_done(hooks_before_archive(&event, &error));
    assert_output(site, "found\n");
}

/* Last of all: the process counts as told to stop from here on. */
static void
test_stop(void **state)
{
    Site *site = *state;
    HookEvent event = event_of(site);
    char *error = NULL;
    stop_on_signals();
    int64_t begin = clock_ms();
    site->server.pre_archive_retry_script =
        arena_printf(site->arena, "kill -TERM %d; sleep 60", (int)getpid());
    assert_fails(hooks_before_archive(&event, &error), ERR_STOPPED, "signal 15");
    assert_null(error);
    assert_true(clock_ms() - begin < 10000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, site_setup, site_teardown)
        TEST(nothing_configured),
        TEST(any_is_configured),
        TEST(environment),
        TEST(error_in_environment),
        TEST(delete_hooks),
        TEST(order_before),
        TEST(answers),
        TEST(answers_after),
        TEST(standard_hooks_decide_nothing),
        TEST(tries_again),
        TEST(path_prefix),
        TEST(stop),
    };
    log_open(NULL, LOG_CRITICAL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
