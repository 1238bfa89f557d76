/* SPDX-License-Identifier: PostgreSQL
 * Connections against servers that are not there, keep silent, answer and go away. */
#include "server.h"

#include "base/clock.h"
#include "pg/connection.h"

enum { SHORT_MS = 300, LONG_MS = 20000 };

static char *
conninfo_of(const Server *server)
{
    return mem_printf("host='%s' port=%d user=x password='s3 cret' sslmode=disable",
                      server->directory, SERVER_PORT);
}

static void
nobody_listens(void **state)
{
    (void)state;
    PgConnection *connection = NULL;
    assert_fails(
        pg_connect("host=/nonexistent password=s3cret", PG_SQL, NULL, LONG_MS, &connection), ERR_IO,
        "/nonexistent");
    assert_null(strchr(error_last()->text, '\n'));
    assert_null(strstr(error_last()->text, "s3cret"));
    assert_null(connection);
}

static void
passwords_in_bad_strings_are_not_repeated(void **state)
{
    (void)state;
    static const char *const strings[] = {
        "host=x password=open s3cret",
        "host=x password=open s3cret=x",
        "password='s3cret",
        "postgresql://user:s3cret@[::1/db",
        "postgresql://user:s3\"s3cret@[::1]x/db",
        "postgresql://user:s3cret%zz@host/db",
        "postgresql://user@host/db?s3cret",
    };
    for (size_t i = 0; i < COUNT_OF(strings); i++) {
        PgConnection *connection = NULL;
        assert_fails(pg_connect(strings[i], PG_SQL, NULL, LONG_MS, &connection), ERR_CONFIG,
                     "connection string");
        assert_null(strstr(error_last()->text, "s3cret"));
    }
}

static void
silence_ends_at_the_deadline(void **state)
{
    (void)state;
    Server server = server_listen();
    AUTO(free) char *conninfo = conninfo_of(&server);
    PgConnection *connection = NULL;
    int64_t begin = clock_ms();
    assert_fails(pg_connect(conninfo, PG_SQL, NULL, SHORT_MS, &connection), ERR_TIMEOUT,
                 server.directory);
    int64_t taken = clock_ms() - begin;
    assert_in_range(taken, SHORT_MS, SHORT_MS + 2000);
    server_end(&server);
}

static void
connect_timeout_shortens_the_deadline(void **state)
{
    (void)state;
    Server server = server_listen();
    AUTO(free) char *conninfo = mem_printf("host=%s connect_timeout=1", server.directory);
    PgConnection *connection = NULL;
    assert_fails(pg_connect(conninfo, PG_SQL, NULL, LONG_MS, &connection), ERR_TIMEOUT, "1000 ms");
    server_end(&server);
}

/* A host that keeps silent does not keep us from the next one, whatever stands before it. */
static void
the_next_host_is_tried(void **state)
{
    (void)state;
    Server silent = server_listen(), good = server_listen();
    Str welcome = {0};
    say_welcome(&welcome);
    server_play(&good, &welcome, 1);
    AUTO(free)
    char *conninfo = mem_printf("host=/nonexistent,%s,%s port=%d sslmode=disable user=x",
                                silent.directory, good.directory, SERVER_PORT);
    AUTO(pg) PgConnection *connection = NULL;
    assert_done(pg_connect(conninfo, PG_REPLICATION, NULL, 10 * SHORT_MS, &connection));
    str_done(&welcome);
    server_end(&silent);
    server_end(&good);
}

/* Connects to a server that plays these answers behind its welcome. */
static PgConnection *
connect_to(Server *server, PgKind kind, int64_t timeout_ms, const Str *answers, size_t count)
{
    Str all[4] = {0};
    assert_true(count < COUNT_OF(all));
    say_welcome(&all[0]);
    for (size_t i = 0; i < count; i++)
        all[i + 1] = answers[i];
    *server = server_listen();
    server_play(server, all, count + 1);
    str_done(&all[0]);
    AUTO(free) char *conninfo = conninfo_of(server);
    PgConnection *connection = NULL;
    assert_done(pg_connect(conninfo, kind, "walden", timeout_ms, &connection));
    return connection;
}

static void
answers_become_a_table(void **state)
{
    (void)state;
    Str answer = {0};
    MESSAGE(&answer, 'N', "SNOTICE\0C00000\0Mlook at this\0\0");
    MESSAGE(&answer, 'T',
            "\0\2"
            "a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
            "b\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    MESSAGE(&answer, 'D', "\0\2\0\0\0\5hello\xff\xff\xff\xff");
    MESSAGE(&answer, 'D', "\0\2\0\0\0\0\0\0\0\1x");
    MESSAGE(&answer, 'C', "SELECT 2\0");
    MESSAGE(&answer, 'Z', "I");
    Server server;
    AUTO(pg) PgConnection *connection = connect_to(&server, PG_REPLICATION, LONG_MS, &answer, 1);
    assert_int_equal(pg_version(connection), 180001);
    AUTO(arena) Arena *arena = arena_new();
    PgTable table;
    assert_done(pg_query(connection, arena, "ANYTHING", NULL, 0, &table));
    assert_int_equal(table.rows, 2);
    assert_int_equal(table.columns, 2);
    assert_string_equal(table.values[0], "hello");
    assert_null(table.values[1]);
    assert_string_equal(table.values[2], "");
    assert_string_equal(table.values[3], "x");
    assert_string_equal(pg_sqlstate(connection), "");
    str_done(&answer);
    server_end(&server);
}

static void
refusals_keep_their_code_and_the_connection_goes_on(void **state)
{
    (void)state;
    Str answers[2] = {0};
    MESSAGE(&answers[0], 'E',
            "SERROR\0C42710\0Mit exists\nalready\0Dits name is x\0Hchoose another\0\0");
    MESSAGE(&answers[0], 'Z', "I");
    MESSAGE(&answers[1], 'C', "CREATE\0");
    MESSAGE(&answers[1], 'Z', "I");
    Server server;
    AUTO(pg) PgConnection *connection = connect_to(&server, PG_REPLICATION, LONG_MS, answers, 2);
    AUTO(arena) Arena *arena = arena_new();
    PgTable table;
    assert_fails(pg_query(connection, arena, "X", NULL, 0, &table), ERR_IO,
                 "it exists already: its name is x");
    assert_string_equal(error_last()->hint, "choose another");
    assert_string_equal(pg_sqlstate(connection), "42710");
    assert_done(pg_query(connection, arena, "X", NULL, 0, &table));
    assert_int_equal(table.rows, 0);
    assert_string_equal(pg_sqlstate(connection), "");
    str_done(&answers[0]);
    str_done(&answers[1]);
    server_end(&server);
}

static void
a_copy_that_begins_is_an_answer(void **state)
{
    (void)state;
    Str answer = {0};
    MESSAGE(&answer, 'W', "\0\0\0");
    Server server;
    AUTO(pg) PgConnection *connection = connect_to(&server, PG_REPLICATION, LONG_MS, &answer, 1);
    AUTO(arena) Arena *arena = arena_new();
    PgTable table;
    assert_done(pg_query(connection, arena, "START_REPLICATION", NULL, 0, &table));
    assert_int_equal(table.rows, 0);
    str_done(&answer);
    server_end(&server);
}

static void
a_server_that_goes_away_is_a_failure(void **state)
{
    (void)state;
    Str half = {0};
    MESSAGE(&half, 'T', "\0\1a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    Server server;
    AUTO(pg) PgConnection *connection = connect_to(&server, PG_SQL, LONG_MS, &half, 1);
    AUTO(arena) Arena *arena = arena_new();
    PgTable table;
    assert_fails(pg_query(connection, arena, "SELECT 1", NULL, 0, &table), ERR_IO, "closed");
    str_done(&half);
    server_end(&server);
}

static void
a_query_that_is_not_answered_ends_at_the_deadline(void **state)
{
    (void)state;
    Str nothing[2] = {0};
    Server server;
    AUTO(pg) PgConnection *connection = connect_to(&server, PG_SQL, SHORT_MS, nothing, 2);
    AUTO(arena) Arena *arena = arena_new();
    PgTable table;
    assert_fails(pg_query(connection, arena, "SELECT 1", NULL, 0, &table), ERR_TIMEOUT, "300 ms");
    server_end(&server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(passwords_in_bad_strings_are_not_repeated),
        cmocka_unit_test(silence_ends_at_the_deadline),
        cmocka_unit_test(connect_timeout_shortens_the_deadline),
        cmocka_unit_test(the_next_host_is_tried),
        cmocka_unit_test(answers_become_a_table),
        cmocka_unit_test(refusals_keep_their_code_and_the_connection_goes_on),
        cmocka_unit_test(a_copy_that_begins_is_an_answer),
        cmocka_unit_test(a_server_that_goes_away_is_a_failure),
        cmocka_unit_test(a_query_that_is_not_answered_ends_at_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
