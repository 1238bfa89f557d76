/* SPDX-License-Identifier: PostgreSQL
 * Where the receiver and those who ask about it connect to. Which of a server's connection strings
 * leads where its WAL comes from is known here; what is asked there is not. */
#include "flow/intake/receiver.h"
#include "pg/facts.h"

enum { FIRST_SQL_FREE_VERSION = 150000 }; /* READ_REPLICATION_SLOT */

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
    TRY(wrap(
        pg_connect(conninfo, PG_SQL, server->streaming_archiver_name, RECEIVER_CONNECT_MS, &sql),
        "connect to the server to ask for replication slots"));
    return pg_slot_find(sql, server->slot_name, ret_restart);
}

int
receiver_is_synchronous(const ServerConfig *server, PgConnection *connection, bool *ret_synchronous)
{
    AUTO(arena) Arena *arena = arena_new();
    return pg_is_synchronous(connection, server->streaming_archiver_name,
                             server_wal_application(server, arena), ret_synchronous);
}
