/* SPDX-License-Identifier: PostgreSQL */
#include "server.h"

#include "pg/replication.h"

#include <endian.h>

static PgConnection *
connect_to(const Server *server)
{
    AUTO(free)
    char *conninfo = mem_printf("host=%s port=%d user=u sslmode=disable gssencmode=disable",
                                server->directory, SERVER_PORT);
    PgConnection *connection = NULL;
    assert_done(pg_connect(conninfo, PG_REPLICATION, "test", 5000, &connection));
    return connection;
}

/* A row of text values: NULL for SQL's NULL. */
static void
say_row(Str *out, const char *const *values, size_t count)
{
    AUTO(str) Str names = {0}, row = {0};
    uint16_t columns = htons((uint16_t)count);
    str_append_part(&names, (const char *)&columns, 2);
    str_append_part(&row, (const char *)&columns, 2);
    for (size_t i = 0; i < count; i++) {
        str_append_part(&names, "c\0\0\0\0\0\0\0\0\0\0\031\377\377\377\377\377\377\0\0", 20);
        uint32_t length = htonl(values[i] ? (uint32_t)strlen(values[i]) : UINT32_MAX);
        str_append_part(&row, (const char *)&length, 4);
        if (values[i])
            str_append(&row, values[i]);
    }
    message(out, 'T', names.data, names.length);
    message(out, 'D', row.data, row.length);
}

static void
say_done(Str *out)
{
    MESSAGE(out, 'C', "SELECT 1\0");
    MESSAGE(out, 'Z', "I");
}

static void
say_error(Str *out, const char *state, const char *text)
{
    AUTO(str) Str body = {0};
    str_append(&body, "SERROR");
    str_append_part(&body, "", 1);
    str_appendf(&body, "C%s", state);
    str_append_part(&body, "", 1);
    str_appendf(&body, "M%s", text);
    str_append_part(&body, "\0", 2);
    message(out, 'E', body.data, body.length);
}

static void
say_be64(Str *out, uint64_t value)
{
    value = htobe64(value);
    str_append_part(out, (const char *)&value, sizeof(value));
}

static void
test_message(void **state)
{
    (void)state;
    AUTO(str) Str text = {0};
    PgMessage got;
    str_append(&text, "w");
    say_be64(&text, 0x0123456789ABCDEF);
    say_be64(&text, 0x0123456789ABCFFF);
    say_be64(&text, 1);
    str_append(&text, "WAL");
    assert_done(pg_message_parse(text.data, text.length, &got));
    assert_int_equal(got.kind, PG_MESSAGE_WAL);
    assert_true(got.start == 0x0123456789ABCDEF && got.server_end == 0x0123456789ABCFFF);
    assert_int_equal(got.size, 3);
    assert_memory_equal(got.data, "WAL", 3);
    for (size_t size = 0; size < 25; size++)
        assert_fails(pg_message_parse(text.data, size, &got), ERR_DATA, "the server sent");

    str_clear(&text);
    str_append(&text, "k");
    say_be64(&text, 77);
    say_be64(&text, 1);
    str_append_part(&text, "\1", 1);
    assert_done(pg_message_parse(text.data, text.length, &got));
    assert_int_equal(got.kind, PG_MESSAGE_KEEPALIVE);
    assert_true(got.server_end == 77 && got.wants_reply);
    assert_fails(pg_message_parse(text.data, text.length - 1, &got), ERR_DATA, "0x6B");
    text.data[17] = 0;
    assert_done(pg_message_parse(text.data, text.length, &got));
    assert_false(got.wants_reply);
    assert_fails(pg_message_parse("Z", 1, &got), ERR_DATA, "0x5A");
}

static void
test_status(void **state)
{
    (void)state;
    unsigned char got[PG_STATUS_SIZE];
    static const unsigned char expected[25] = {'r', 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0,
                                               0,   0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    pg_status_format(UINT64_C(0x100000002), 0x100, true, got);
    assert_memory_equal(got, expected, sizeof(expected));
    assert_int_equal(got[33], 1);
    uint64_t micros;
    memcpy(&micros, got + 25, sizeof(micros));
    int64_t age = (int64_t)time(NULL) - (int64_t)(be64toh(micros) / 1000000 + 946684800);
    assert_in_range(age + 2, 0, 4);
    pg_status_format(0, 0, false, got);
    assert_int_equal(got[33], 0);
}

static void
test_identify(void **state)
{
    (void)state;
    static const struct {
        const char *values[4];
        bool good;
    } cases[] = {
        {{"7000000000000000001", "3", "A/B000000", NULL}, true},
        {{"18446744073709551615", "1", "0/0", NULL}, true},
        {{"18446744073709551616", "1", "0/0", NULL}, false},
        {{"0", "1", "0/0", NULL}, false},
        {{"-5", "1", "0/0", NULL}, false},
        {{"7", "0", "0/0", NULL}, false},
        {{"7", "1", "0-0", NULL}, false},
        {{NULL, "1", "0/0", NULL}, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Str answers[2] = {{0}};
        say_welcome(&answers[0]);
        say_row(&answers[1], cases[i].values, 4);
        say_done(&answers[1]);
        Server server = server_listen();
        server_play(&server, answers, 2);
        PgConnection *connection = connect_to(&server);
        PgSystem system = {0};
        int result = pg_identify_system(connection, &system);
        assert_int_equal(result, cases[i].good ? 0 : -1);
        if (i == 0)
            assert_true(system.id == UINT64_C(7000000000000000001) && system.timeline == 3 &&
                        system.flush == UINT64_C(0xA0B000000));
        pg_close(connection);
        server_end(&server);
        str_done(&answers[0]);
        str_done(&answers[1]);
    }
}

static void
test_synchronous(void **state)
{
    (void)state;
    static const struct {
        const char *names;
        bool expected;
    } cases[] = {
        {"", false},
        {"*", true},
        {"walden", true},
        {"\"Walden\"", true},
        {"waldens", false},
        {"ANY 1 (a, b)", false},
        {"ANY 1 (a, \"walden\" )", true},
        {"FIRST 2 (*)", true},
        {"2 (walden", false},
        {"first, walden", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Str answers[2] = {{0}};
        say_welcome(&answers[0]);
        say_row(&answers[1], &cases[i].names, 1);
        say_done(&answers[1]);
        Server server = server_listen();
        server_play(&server, answers, 2);
        PgConnection *connection = connect_to(&server);
        bool got = false;
        assert_done(pg_is_synchronous(connection, "walden", "walden", &got));
        if (got != cases[i].expected)
            fail_msg("'%s'", cases[i].names);
        pg_close(connection);
        server_end(&server);
        str_done(&answers[0]);
        str_done(&answers[1]);
    }
}

/* A failed command: its outcome, or its class. */
static void
test_failures(void **state)
{
    (void)state;
    static const struct {
        const char *sqlstate;
        int outcome;
        ErrorClass class;
    } cases[] = {
        {"42704", PG_SLOT_MISSING, 0}, {"55006", PG_SLOT_IN_USE, 0}, {"57P01", -1, ERR_IO},
        {"53400", -1, ERR_IO},         {"58P01", -1, ERR_DATA},      {"55000", -1, ERR_DATA},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Str answers[2] = {{0}};
        say_welcome(&answers[0]);
        say_error(&answers[1], cases[i].sqlstate, "no");
        MESSAGE(&answers[1], 'Z', "I");
        Server server = server_listen();
        server_play(&server, answers, 2);
        PgConnection *connection = connect_to(&server);
        assert_int_equal(pg_slot_drop(connection, "s"), cases[i].outcome);
        if (cases[i].outcome < 0)
            assert_int_equal(error_last()->class, cases[i].class);
        pg_close(connection);
        server_end(&server);
        str_done(&answers[0]);
        str_done(&answers[1]);
    }
}

/* Waits for what is not EMPTY. */
static int
next(PgConnection *connection, PgMessage *ret_message)
{
    int result;
    while ((result = pg_stream_next(connection, ret_message)) == PG_STREAM_EMPTY)
        assert_true(pg_stream_wait(connection, true, -1, 1000, 500) >= 0);
    return result;
}

static PgConnection *
start(Server *server, const Str *answers, size_t count)
{
    PgTimelineEnd end;
    server_play(server, answers, count);
    PgConnection *connection = connect_to(server);
    assert_done(pg_stream_start(connection, "slot", 1, 0x1000000, &end));
    return connection;
}

static void
say_wal(Str *out, Lsn lsn, const char *wal)
{
    AUTO(str) Str body = {0};
    str_append(&body, "w");
    say_be64(&body, lsn);
    say_be64(&body, lsn);
    say_be64(&body, 0);
    str_append(&body, wal);
    message(out, 'd', body.data, body.length);
}

static void
test_stream(void **state)
{
    (void)state;
    static const char *const after[] = {"3", "0/1000003"};
    Str answers[3] = {{0}};
    say_welcome(&answers[0]);
    MESSAGE(&answers[1], 'W', "\0\0\0");
    say_wal(&answers[1], 0x1000000, "abc");
    MESSAGE(&answers[1], 'c', "");
    say_row(&answers[2], after, 2);
    MESSAGE(&answers[2], 'C', "START_STREAMING\0");
    MESSAGE(&answers[2], 'Z', "I");
    Server server = server_listen();
    PgConnection *connection = start(&server, answers, 3);
    PgMessage got;
    assert_done(next(connection, &got));
    assert_int_equal(got.start, 0x1000000);
    assert_memory_equal(got.data, "abc", got.size);
    pg_message_free(got.memory);
    assert_int_equal(next(connection, &got), PG_STREAM_ENDED);
    PgTimelineEnd end = {0};
    assert_int_equal(pg_stream_finish(connection, &end), PG_STREAM_SWITCHED);
    assert_int_equal(end.next, 3);
    assert_int_equal(end.start, 0x1000003);
    pg_close(connection);
    server_end(&server);
    for (size_t i = 0; i < 3; i++)
        str_done(&answers[i]);
}

/* What no walsender says: a failure, never a crash, and told apart from a lost connection. */
static void
test_nonsense(void **state)
{
    (void)state;
    enum { UNKNOWN, SHORT, REMOVED, HANGUP, KINDS };
    static const struct {
        ErrorClass class;
        const char *text;
    } expected[KINDS] = {
        [UNKNOWN] = {ERR_DATA, "0x78"},
        [SHORT] = {ERR_DATA, "0x77"},
        [REMOVED] = {ERR_DATA, "already been removed"},
        [HANGUP] = {ERR_IO, "closed the connection"},
    };
    for (int kind = 0; kind < KINDS; kind++) {
        Str answers[2] = {{0}};
        say_welcome(&answers[0]);
        MESSAGE(&answers[1], 'W', "\0\0\0");
        if (kind == UNKNOWN)
            MESSAGE(&answers[1], 'd', "xyz");
        else if (kind == SHORT)
            MESSAGE(&answers[1], 'd', "w\0\0\0\0\0\0\0");
        else if (kind == REMOVED)
            say_error(&answers[1], "58P01", "requested WAL segment has already been removed");
        Server server = server_listen();
        PgConnection *connection = start(&server, answers, 2);
        PgMessage got;
        PgTimelineEnd end;
        int result = next(connection, &got);
        if (result == PG_STREAM_ENDED)
            result = pg_stream_finish(connection, &end);
        assert_fails(result, expected[kind].class, expected[kind].text);
        pg_close(connection);
        server_end(&server);
        str_done(&answers[0]);
        str_done(&answers[1]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message),  cmocka_unit_test(test_status),
        cmocka_unit_test(test_identify), cmocka_unit_test(test_synchronous),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_stream),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
