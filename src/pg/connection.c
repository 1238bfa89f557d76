/* SPDX-License-Identifier: PostgreSQL
 * libpq behind deadlines: it is only ever called in its non-blocking way, and every wait is a
 * stop_poll() here, which ends at the deadline or when we are told to stop. Names it does not get
 * to resolve: that would wait (resolve.c). What libpq and the server say becomes one line; the text
 * of a connection string, which may hold a password, is never repeated. What is asked of a server
 * is none of this file's business. */
#include "pg/connection.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "pg/conninfo.h"
#include "pg/libpq.h"
#include "pg/resolve.h"

enum {
    SQLSTATE_LENGTH = 5,
    LOOK_MS = 500, /* a signal wakes one thread only: others look so often whether to stop */
};

struct PgConnection {
    PGconn *libpq;
    PgKind kind;
    int64_t timeout_ms;
    char sqlstate[SQLSTATE_LENGTH + 1];
};

AUTO_DEFINE(result, PGresult *, PQclear)

/* libpq's messages end in line feeds and may have several lines. */
static void
append_one_line(Str *line, const char *text)
{
    while (*text) {
        size_t blanks = strspn(text, " \t\r\n"), word = strcspn(text + blanks, " \t\r\n");
        if (blanks && word && line->length)
            str_append(line, " ");
        str_append_part(line, text + blanks, word);
        text += blanks + word;
    }
}

static int
fail_words(const char *words)
{
    AUTO(str) Str line = {0};
    append_one_line(&line, words);
    return fail(ERR_IO, "%s", line.length ? str_text(&line) : "the connection was lost");
}

static int
fail_libpq(const PgConnection *connection)
{
    return fail_words(PQerrorMessage(connection->libpq));
}

static int
fail_late(const PgConnection *connection)
{
    const char *host = PQhost(connection->libpq), *port = PQport(connection->libpq);
    return fail(ERR_TIMEOUT, "server at '%s', port %s: no answer in %lld ms", host ? host : "",
                port ? port : "", (long long)connection->timeout_ms);
}

/* Until the socket is ready for one of the events. */
static int
wait_socket(const PgConnection *connection, short events, int64_t deadline)
{
    for (;;) {
        TRY(stop_check());
        int64_t left = deadline - clock_ms();
        if (left <= 0)
            return fail_late(connection);
        struct pollfd socket = {.fd = PQsocket(connection->libpq), .events = events};
        if (socket.fd < 0)
            return fail_libpq(connection);
        if (stop_poll(&socket, 1, left < LOOK_MS ? left : LOOK_MS) > 0)
            return 0;
    }
}

static void
note_notice(void *context, const char *text)
{
    (void)context;
    AUTO(str) Str line = {0};
    append_one_line(&line, text);
    log_debug("PostgreSQL says: %s", str_text(&line));
}

static int
finish_connecting(const PgConnection *connection, int64_t deadline)
{
    if (PQstatus(connection->libpq) == CONNECTION_BAD)
        return fail_libpq(connection);
    short events = POLLOUT;
    for (;;) {
        TRY(wait_socket(connection, events, deadline));
        switch (PQconnectPoll(connection->libpq)) {
        case PGRES_POLLING_OK:
            /* So that not even saying good-bye can block. */
            if (PQsetnonblocking(connection->libpq, 1) != 0)
                return fail_libpq(connection);
            return 0;
        case PGRES_POLLING_READING:
            events = POLLIN;
            break;
        case PGRES_POLLING_WRITING:
            events = POLLOUT;
            break;
        default:
            return fail_libpq(connection);
        }
    }
}

/* libpq goes on to the next host by itself when one refuses; here, too, when one keeps silent. */
static int
connect_hosts(PgConnection *connection, Conninfo *conninfo, int64_t timeout_ms)
{
    int64_t deadline = clock_ms() + timeout_ms;
    int resolved = resolve_hosts(conninfo, conninfo_host_timeout(conninfo, timeout_ms));
    if (resolved < 0)
        return resolved;
    int64_t host_ms = conninfo_host_timeout(conninfo, timeout_ms);
    for (int64_t left = resolved == RESOLVE_NOTHING ? timeout_ms : deadline - clock_ms();;) {
        connection->timeout_ms = host_ms < left ? host_ms : left;
        int64_t host_deadline = clock_ms() + connection->timeout_ms;
        connection->libpq = PQconnectStartParams(conninfo->names, conninfo->values, 0);
        if (!connection->libpq)
            mem_exhausted(sizeof(void *));
        PQsetNoticeProcessor(connection->libpq, note_notice, NULL);
        int result = finish_connecting(connection, host_deadline);
        left = deadline - clock_ms();
        const char *host = PQhost(connection->libpq), *port = PQport(connection->libpq);
        if (result == 0 || error_last()->class != ERR_TIMEOUT || left <= 0 || !host ||
            !conninfo_drop_host(conninfo, host, port ? port : ""))
            return result;
        log_debug("%s; trying the other hosts", error_last()->text);
        PQfinish(take(connection->libpq));
    }
}

int
pg_connect(const char *conninfo, PgKind kind, const char *application, int64_t timeout_ms,
           PgConnection **ret_connection)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(pg) PgConnection *connection = mem_alloc(sizeof(*connection));
    Conninfo parsed;
    TRY(conninfo_parse(conninfo, kind, application, arena, &parsed));
    connection->kind = kind;
    TRY(connect_hosts(connection, &parsed, timeout_ms));
    connection->timeout_ms = timeout_ms;
    *ret_connection = take(connection);
    return 0;
}

void
pg_close(PgConnection *connection)
{
    PQfinish(connection->libpq);
    free(connection);
}

void
pg_set_timeout(PgConnection *connection, int64_t timeout_ms)
{
    connection->timeout_ms = timeout_ms;
}

PgKind
pg_kind(const PgConnection *connection)
{
    return connection->kind;
}

int
pg_version(const PgConnection *connection)
{
    return PQserverVersion(connection->libpq);
}

static int
send_command(PgConnection *connection, const char *command, const char *const *parameters,
             size_t count, int64_t deadline)
{
    /* A walsender speaks the simple protocol only. */
    int sent = connection->kind == PG_REPLICATION
                   ? PQsendQuery(connection->libpq, command)
                   : PQsendQueryParams(connection->libpq, command, (int)count, NULL, parameters,
                                       NULL, NULL, 0);
    if (!sent)
        return fail_libpq(connection);
    for (int left; (left = PQflush(connection->libpq)) != 0;) {
        if (left < 0)
            return fail_libpq(connection);
        /* The server may have to say something before it takes more. */
        TRY(wait_socket(connection, POLLIN | POLLOUT, deadline));
        if (!PQconsumeInput(connection->libpq))
            return fail_libpq(connection);
    }
    return 0;
}

/* *ret_result is NULL after the last one. */
static int
next_result(PgConnection *connection, int64_t deadline, PGresult **ret_result)
{
    while (PQisBusy(connection->libpq)) {
        TRY(wait_socket(connection, POLLIN, deadline));
        if (!PQconsumeInput(connection->libpq))
            return fail_libpq(connection);
    }
    *ret_result = PQgetResult(connection->libpq);
    return 0;
}

static int
fail_query(PgConnection *connection, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *advice = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    snprintf(connection->sqlstate, sizeof(connection->sqlstate), "%s", state ? state : "");
    if (!primary) /* libpq's own: the connection was lost */
        return fail_words(PQresultErrorMessage(result));
    AUTO(str) Str line = {0};
    append_one_line(&line, primary);
    if (detail) {
        str_append(&line, ": ");
        append_one_line(&line, detail);
    }
    int failed = fail(ERR_IO, "%s", str_text(&line));
    return advice ? hint(failed, "%s", advice) : failed;
}

static int
copy_table(const PGresult *result, Arena *arena, PgTable *ret_table)
{
    PgTable table = {.rows = (size_t)PQntuples(result),
                     .columns = (size_t)PQnfields(result),
                     .copies = PQresultStatus(result) == PGRES_COPY_BOTH};
    table.values = arena_alloc(arena, (table.rows * table.columns + 1) * sizeof(char *));
    for (size_t i = 0; i < table.rows * table.columns; i++) {
        int row = (int)(i / table.columns), column = (int)(i % table.columns);
        const char *value = PQgetvalue(result, row, column);
        if (PQgetisnull(result, row, column))
            continue;
        if (strlen(value) != (size_t)PQgetlength(result, row, column))
            return fail(ERR_DATA, "the server's answer has a zero byte in it");
        table.values[i] = arena_dup(arena, value);
    }
    *ret_table = table;
    return 0;
}

int
pg_query(PgConnection *connection, Arena *arena, const char *command, const char *const *parameters,
         size_t count, PgTable *ret_table)
{
    assert(connection->kind == PG_SQL || count == 0);
    int64_t deadline = clock_ms() + connection->timeout_ms;
    connection->sqlstate[0] = '\0';
    TRY(send_command(connection, command, parameters, count, deadline));

    AUTO(result) PGresult *kept = NULL;
    for (;;) {
        AUTO(result) PGresult *result = NULL;
        TRY(next_result(connection, deadline, &result));
        if (!result)
            break;
        ExecStatusType status = PQresultStatus(result);
        bool failed = kept && PQresultStatus(kept) == PGRES_FATAL_ERROR;
        if (!kept || status == PGRES_FATAL_ERROR || (status == PGRES_TUPLES_OK && !failed)) {
            PQclear(kept);
            kept = take(result);
        }
        if (status == PGRES_COPY_BOTH || status == PGRES_COPY_OUT || status == PGRES_COPY_IN)
            break; /* libpq would say so again and again */
    }
    if (!kept)
        return fail_libpq(connection);
    if (PQresultStatus(kept) == PGRES_FATAL_ERROR || PQresultStatus(kept) == PGRES_BAD_RESPONSE)
        return fail_query(connection, kept);
    return copy_table(kept, arena, ret_table);
}

const char *
pg_sqlstate(const PgConnection *connection)
{
    return connection->sqlstate;
}

void *
pg_handle(PgConnection *connection)
{
    return connection->libpq;
}
