/* SPDX-License-Identifier: PostgreSQL
 * The stream of a walsender (protocol "Streaming Replication", PostgreSQL 10 to 18) as messages
 * that are at hand or not: nothing here waits but pg_stream_wait. Never writes WAL anywhere. What
 * comes over the wire is checked for its form; whether the WAL is the expected one is the
 * receiver's business. */
#include "pg/replication.h"

#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "pg/internal.h"
#include "pg/libpq.h"
#include "wal/name.h"

#include <endian.h>
#include <poll.h>
#include <sched.h>

enum {
    WAL_HEAD = 25,       /* 'w', start, end of WAL, time */
    KEEPALIVE_SIZE = 18, /* 'k', end of WAL, time, reply wanted */
    FINISH_MS = 10000,   /* for the end of a stream to be told */
    POSTGRES_EPOCH = 946684800,
};

AUTO_DEFINE(result, PGresult *, PQclear)

ErrorClass
sqlstate_class(const char *sqlstate)
{
    static const char *const passing[] = {"08", "53", "57"};
    if (strcmp(sqlstate, "55006") == 0)
        return ERR_BUSY;
    for (size_t i = 0; i < COUNT_OF(passing); i++)
        if (str_starts(sqlstate, passing[i]))
            return ERR_IO;
    return *sqlstate ? ERR_DATA : ERR_IO;
}

static void
set_class(ErrorClass class)
{
    Error error = *error_last();
    error.class = class;
    error_restore(&error);
}

int
pg_judge(const PgConnection *connection, int result)
{
    if (result < 0 && error_last()->class == ERR_IO)
        set_class(sqlstate_class(pg_sqlstate(connection)));
    return result;
}

static uint64_t
load_be64(const unsigned char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return be64toh(value);
}

static void
store_be64(unsigned char *bytes, uint64_t value)
{
    value = htobe64(value);
    memcpy(bytes, &value, sizeof(value));
}

int
pg_message_parse(const void *payload, size_t size, PgMessage *ret_message)
{
    const unsigned char *bytes = payload;
    if (size == 0)
        return fail(ERR_DATA, "the server sent an empty message");
    if (bytes[0] == 'w' && size >= WAL_HEAD) {
        *ret_message = (PgMessage){.kind = PG_MESSAGE_WAL,
                                   .start = load_be64(bytes + 1),
                                   .server_end = load_be64(bytes + 9),
                                   .data = (const char *)bytes + WAL_HEAD,
                                   .size = size - WAL_HEAD};
        return 0;
    }
    if (bytes[0] == 'k' && size == KEEPALIVE_SIZE) {
        *ret_message = (PgMessage){.kind = PG_MESSAGE_KEEPALIVE,
                                   .server_end = load_be64(bytes + 1),
                                   .wants_reply = bytes[17] != 0};
        return 0;
    }
    return fail(ERR_DATA, "the server sent a message of type 0x%02X with %zu bytes, which is none",
                bytes[0], size);
}

void
pg_message_free(void *memory)
{
    PQfreemem(memory);
}

void
pg_status_format(Lsn written, Lsn flushed, bool wants_reply, void *ret_payload)
{
    unsigned char *bytes = ret_payload;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    bytes[0] = 'r';
    store_be64(bytes + 1, written);
    store_be64(bytes + 9, flushed);
    store_be64(bytes + 17, 0); /* we do not apply */
    store_be64(bytes + 25,
               (uint64_t)((now.tv_sec - POSTGRES_EPOCH) * INT64_C(1000000) + now.tv_nsec / 1000));
    bytes[33] = wants_reply;
}

/* The server's words, or libpq's if the connection was lost. */
static int
fail_stream(PGconn *libpq, const PGresult *result)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *words = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    AUTO(free) char *text = mem_dup(words ? words : PQerrorMessage(libpq));
    for (size_t length = strlen(text); length > 0 && text[length - 1] == '\n'; length--)
        text[length - 1] = '\0';
    return fail(sqlstate_class(state ? state : ""), "%s", *text ? text : "the connection was lost");
}

static int
timeline_end_parse(const PgTable *table, PgTimelineEnd *ret_end)
{
    PgTimelineEnd end = {0};
    int64_t next = 0;
    if (table->rows != 1 || table->columns < 2 || !table->values[0] || !table->values[1] ||
        !int_parse(table->values[0], 1, UINT32_MAX, &next) ||
        !lsn_parse(table->values[1], &end.start))
        return fail(ERR_DATA,
                    "the server neither sends WAL nor says what comes after the timeline");
    end.next = (Timeline)next;
    *ret_end = end;
    return PG_STREAM_SWITCHED;
}

int
pg_stream_start(PgConnection *connection, const char *slot, Timeline timeline, Lsn start,
                PgTimelineEnd *ret_end)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(str) Str command = {0};
    char position[LSN_ROOM];
    PgTable table;
    lsn_format(start, position);
    str_append(&command, "START_REPLICATION ");
    if (slot) {
        AUTO(free) char *name = pg_quoted(slot);
        str_appendf(&command, "SLOT %s ", name);
    }
    str_appendf(&command, "PHYSICAL %s TIMELINE %u", position, timeline);
    TRY(pg_judge(connection, pg_query(connection, arena, str_text(&command), NULL, 0, &table)));
    return table.copies ? 0 : timeline_end_parse(&table, ret_end);
}

int
pg_stream_next(PgConnection *connection, PgMessage *ret_message)
{
    PGconn *libpq = pg_handle(connection);
    char *buffer = NULL;
    int got = PQgetCopyData(libpq, &buffer, 1);
    if (got == 0) {
        if (!PQconsumeInput(libpq))
            return fail_stream(libpq, NULL);
        got = PQgetCopyData(libpq, &buffer, 1);
    }
    if (got == 0)
        return PG_STREAM_EMPTY;
    if (got == -1)
        return PG_STREAM_ENDED;
    if (got < 0)
        return fail_stream(libpq, NULL);
    PgMessage message;
    if (pg_message_parse(buffer, (size_t)got, &message) < 0) {
        PQfreemem(buffer);
        return -1;
    }
    message.memory = buffer;
    *ret_message = message;
    return 0;
}

/* To be woken takes longer than the server needs for a commit. So we look, and in between let all
 * others run that can. */
static bool
look_awake(struct pollfd *polls, nfds_t count, int64_t awake_us)
{
    for (int64_t end = clock_us() + awake_us; clock_us() < end;) {
        if (poll(polls, count, 0) != 0)
            return true;
        sched_yield();
    }
    return false;
}

int
pg_stream_wait(PgConnection *connection, bool input, int wake_fd, int64_t timeout_ms,
               int64_t awake_us)
{
    PGconn *libpq = pg_handle(connection);
    int pending = PQflush(libpq);
    if (pending < 0)
        return fail_stream(libpq, NULL);
    short events = (short)((input ? POLLIN : 0) | (pending ? POLLOUT : 0));
    struct pollfd polls[2] = {{.fd = events ? PQsocket(libpq) : -1, .events = events},
                              {.fd = wake_fd, .events = POLLIN}};
    /* Whatever ends it, the caller looks at everything. */
    if (!look_awake(polls, 2, awake_us))
        (void)poll(polls, 2, (int)timeout_ms);
    return 0;
}

int
pg_stream_report(PgConnection *connection, Lsn written, Lsn flushed, bool wants_reply)
{
    PGconn *libpq = pg_handle(connection);
    char payload[PG_STATUS_SIZE];
    pg_status_format(written, flushed, wants_reply, payload);
    if (PQputCopyData(libpq, payload, sizeof(payload)) < 0 || PQflush(libpq) < 0)
        return fail_stream(libpq, NULL);
    return 0;
}

int
pg_stream_close(PgConnection *connection)
{
    PGconn *libpq = pg_handle(connection);
    if (PQputCopyEnd(libpq, NULL) < 0 || PQflush(libpq) < 0)
        return fail_stream(libpq, NULL);
    return 0;
}

/* The next result of the connection, NULL after the last. */
static int
next_result(PGconn *libpq, int64_t deadline, PGresult **ret_result)
{
    for (int pending; (pending = PQflush(libpq)) != 0 || PQisBusy(libpq);) {
        TRY(stop_check());
        if (pending < 0)
            return fail_stream(libpq, NULL);
        if (clock_ms() >= deadline)
            return fail(ERR_TIMEOUT, "the server does not end the stream");
        struct pollfd socket = {.fd = PQsocket(libpq),
                                .events = (short)(POLLIN | (pending ? POLLOUT : 0))};
        (void)poll(&socket, 1, 100);
        if (!PQconsumeInput(libpq))
            return fail_stream(libpq, NULL);
    }
    *ret_result = PQgetResult(libpq);
    return 0;
}

int
pg_stream_finish(PgConnection *connection, PgTimelineEnd *ret_end)
{
    PGconn *libpq = pg_handle(connection);
    int64_t deadline = clock_ms() + FINISH_MS;
    int outcome = 0;
    for (;;) {
        AUTO(result) PGresult *result = NULL;
        TRY(next_result(libpq, deadline, &result));
        if (!result)
            return outcome;
        switch (PQresultStatus(result)) {
        case PGRES_COPY_IN: /* the server has closed its way; we have not */
        case PGRES_COPY_BOTH:
            TRY(pg_stream_close(connection));
            break;
        case PGRES_TUPLES_OK: {
            const char *values[2] = {NULL, NULL};
            PgTable table = {(size_t)PQntuples(result), (size_t)PQnfields(result), values};
            for (int i = 0; i < 2 && table.rows == 1 && table.columns >= 2; i++)
                values[i] = PQgetisnull(result, 0, i) ? NULL : PQgetvalue(result, 0, i);
            outcome = timeline_end_parse(&table, ret_end);
            if (outcome < 0)
                return outcome;
            break;
        }
        case PGRES_COMMAND_OK:
            break;
        default:
            return fail_stream(libpq, result);
        }
    }
}
