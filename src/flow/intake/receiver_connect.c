/* SPDX-License-Identifier: PostgreSQL
 * Where the receiver and those who ask about it connect to. Which of a server's connection strings
 * leads where its WAL comes from is known here; what is asked there is not. */
#include "flow/intake/receiver.h"

#include "base/clock.h"
#include "base/proc.h"
#include "pg/facts.h"

enum {
    FIRST_SQL_FREE_VERSION = 150000, /* READ_REPLICATION_SLOT */
    LET_GO_MS = 2000,
};

static int
connect_as(const ServerConfig *server, const char *application, int64_t timeout_ms,
           PgConnection **ret_connection)
{
    const char *conninfo = server_wal_streaming_conninfo(server);
    if (!conninfo)
        return hint(fail(ERR_CONFIG, "there is no connection for streaming"),
                    "set streaming_conninfo");
    return wrap(pg_connect(conninfo, PG_REPLICATION, application, timeout_ms, ret_connection),
                "connect to the server for streaming");
}

int
receiver_connect(const ServerConfig *server, int64_t timeout_ms, PgConnection **ret_connection)
{
    return connect_as(server, server->streaming_archiver_name, timeout_ms, ret_connection);
}

int
receiver_connect_aside(const ServerConfig *server, int64_t timeout_ms,
                       PgConnection **ret_connection)
{
    return connect_as(server, "walden", timeout_ms, ret_connection);
}

int
receiver_connect_any(const ServerConfig *server, int64_t timeout_ms, PgConnection **ret_connection)
{
    const char *conninfo = server_wal_conninfo(server);
    if (!conninfo)
        return receiver_connect(server, timeout_ms, ret_connection);
    return pg_connect(conninfo, PG_SQL, "walden", timeout_ms, ret_connection);
}

static int
connect_for_slots(const ServerConfig *server, const char *conninfo, PgConnection **ret_sql)
{
    return wrap(
        pg_connect(conninfo, PG_SQL, server->streaming_archiver_name, RECEIVER_CONNECT_MS, ret_sql),
        "connect to the server to ask for replication slots");
}

/* Servers before version 15 tell that in SQL only. */
int
receiver_find_slot(const ServerConfig *server, PgConnection *connection, Lsn *ret_restart)
{
    if (pg_version(connection) >= FIRST_SQL_FREE_VERSION)
        return pg_slot_find(connection, server->slot_name, ret_restart);
    AUTO(pg) PgConnection *sql = NULL;
    const char *conninfo = server_wal_conninfo(server);
    if (!conninfo)
        return hint(fail(ERR_CONFIG, "there is no connection to ask for replication slots"),
                    "set conninfo");
    TRY(connect_for_slots(server, conninfo, &sql));
    return pg_slot_find(sql, server->slot_name, ret_restart);
}

/* The walsender of a receiver that has just ended takes a moment to let go. */
int
receiver_check_slot_free(const ServerConfig *server)
{
    bool active = true;
    AUTO(pg) PgConnection *sql = NULL;
    const char *conninfo = server_wal_conninfo(server);
    if (!conninfo)
        return 0;
    TRY(connect_for_slots(server, conninfo, &sql));
    TRY(pg_slot_is_active(sql, server->slot_name, &active));
    for (int64_t deadline = clock_ms() + LET_GO_MS; active && clock_ms() < deadline;) {
        TRY(stop_check());
        clock_pause_ms(LET_GO_MS / 20);
        TRY(pg_slot_is_active(sql, server->slot_name, &active));
    }
    return active
               ? hint(fail(ERR_BUSY, "replication slot '%s' is already in use", server->slot_name),
                      "pg_stat_replication shows who receives by it; it has to end first")
               : 0;
}

int
receiver_is_synchronous(const ServerConfig *server, PgConnection *connection, bool *ret_synchronous)
{
    AUTO(arena) Arena *arena = arena_new();
    return pg_is_synchronous(connection, server->streaming_archiver_name,
                             server_wal_application(server, arena), ret_synchronous);
}
