/* SPDX-License-Identifier: PostgreSQL
 * What is asked of a server beside its stream, when it answers, keeps silent, or is not there. */
#include "../files.h"
#include "../pg/server.h"

#include "base/clock.h"
#include "flow/intake/status.h"
#include "flow/intake/sync_watch.h"
#include "version.h"

enum { SHORT_MS = 300, LONG_MS = 20000 };

typedef struct Fixture {
    Server listener;
    Arena *arena;
    ServerConfig server;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = mem_alloc(sizeof(*f));
    f->listener = server_listen();
    f->arena = arena_new();
    f->server = (ServerConfig){.receiver = "walden",
                               .streaming_archiver_name = "me",
                               .conninfo = arena_printf(f->arena,
                                                        "host='%s' port=%d user=x sslmode=disable",
                                                        f->listener.directory, SERVER_PORT)};
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;
    server_end(&f->listener);
    arena_free(f->arena);
    free(f);
    return 0;
}

/* Of version 18.1, with these synchronous_standby_names. */
static void
play(Fixture *f, const char *names)
{
    Str answers[2] = {{0}, {0}};
    AUTO(str) Str row = {0};
    uint32_t length = htonl((uint32_t)strlen(names));
    say_welcome(&answers[0]);
    str_append_part(&row, "\0\1", 2);
    str_append_part(&row, (const char *)&length, sizeof(length));
    str_append(&row, names);
    MESSAGE(&answers[1], '1', "");
    MESSAGE(&answers[1], '2', "");
    MESSAGE(&answers[1], 'T', "\0\1n\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    message(&answers[1], 'D', row.data, row.length);
    MESSAGE(&answers[1], 'C', "SHOW\0");
    MESSAGE(&answers[1], 'Z', "I");
    server_play(&f->listener, answers, COUNT_OF(answers));
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        str_done(&answers[i]);
}

static void
our_own(void **state)
{
    Fixture *f = *state;
    ReceiverStatus status;
    play(f, "FIRST 1 (other, \"me\")");
    assert_done(receiver_status(&f->server, LONG_MS, f->arena, &status));
    assert_null(status.problem);
    assert_true(status.installed);
    assert_int_equal(access(status.path, X_OK), 0);
    assert_string_equal(status.version, WALDEN_VERSION);
    assert_int_equal(status.compatible, ANSWER_YES);
    assert_int_equal(status.supports_slots, ANSWER_YES);
    assert_int_equal(status.synchronous, ANSWER_YES);
}

static void
a_program_that_is_too_old(void **state)
{
    Fixture *f = *state;
    ReceiverStatus status;
    AUTO(free) char *path = mem_printf("%s/pg_receivewal", f->listener.directory);
    write_text(path, "#!/bin/sh\necho pg_receivewal 17.2\n");
    assert_int_equal(chmod(path, 0755), 0);
    f->server.receiver = "pg_receivewal";
    f->server.path_prefix = f->listener.directory;
    play(f, "other");
    assert_done(receiver_status(&f->server, LONG_MS, f->arena, &status));
    assert_true(status.installed);
    assert_string_equal(status.path, path);
    assert_string_equal(status.version, "17.2");
    assert_int_equal(status.compatible, ANSWER_NO);
    assert_int_equal(status.supports_slots, ANSWER_YES);
    assert_int_equal(status.synchronous, ANSWER_NO);
}

static void
silence_ends_in_time(void **state)
{
    Fixture *f = *state;
    ReceiverStatus status;
    int64_t begin = clock_ms();
    assert_done(receiver_status(&f->server, SHORT_MS, f->arena, &status));
    assert_true(clock_ms() - begin < LONG_MS);
    assert_non_null(strstr(status.problem, "no answer in 300 ms"));
    assert_int_equal(status.compatible, ANSWER_YES);
    assert_int_equal(status.synchronous, ANSWER_UNKNOWN);
}

static void
nobody_to_ask(void **state)
{
    Fixture *f = *state;
    ReceiverStatus status;
    f->server.conninfo = NULL;
    assert_done(receiver_status(&f->server, LONG_MS, f->arena, &status));
    assert_non_null(strstr(status.problem, "no connection for streaming"));
    assert_int_equal(status.synchronous, ANSWER_UNKNOWN);
}

/* The watch asks the server that streams. */
static void
lead_streaming_here(Fixture *f)
{
    f->server.streaming_conninfo = f->server.conninfo;
    f->server.conninfo = "host=/nonexistent";
}

/* What somebody else has heard counts until the server says something else. */
static void
the_watch_hears_of_a_change(void **state)
{
    Fixture *f = *state;
    lead_streaming_here(f);
    SyncWatch *watch = NULL;
    play(f, "*");
    assert_done(sync_watch_start(&f->server, SHORT_MS, &watch));
    assert_false(sync_watch_get(watch));
    sync_watch_set(watch, true);
    assert_true(sync_watch_get(watch));
    sync_watch_set(watch, false);
    for (int64_t deadline = clock_ms() + LONG_MS; !sync_watch_get(watch); clock_pause_ms(1))
        assert_true(clock_ms() < deadline);
    sync_watch_stop(watch);
}

static void
a_watch_without_an_answer_changes_nothing(void **state)
{
    Fixture *f = *state;
    SyncWatch *watch = NULL;
    f->server.streaming_conninfo = "host=/nonexistent";
    assert_done(sync_watch_start(&f->server, 1, &watch));
    sync_watch_set(watch, true);
    clock_pause_ms(50);
    assert_true(sync_watch_get(watch));
    sync_watch_stop(watch);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(our_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_program_that_is_too_old, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_ends_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_to_ask, setup, teardown),
        cmocka_unit_test_setup_teardown(the_watch_hears_of_a_change, setup, teardown),
        cmocka_unit_test_setup_teardown(a_watch_without_an_answer_changes_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
