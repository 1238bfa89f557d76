/* SPDX-License-Identifier: PostgreSQL
 * Talking to PostgreSQL through libpq: connections with deadlines, queries, and what there is to
 * know of a server. Nothing above this folder includes libpq-fe.h. */
#ifndef WALDEN_PG_CONNECTION_H
#define WALDEN_PG_CONNECTION_H

#include "base/error.h"
#include "base/str.h"
#include "wal/wal.h"

typedef struct PgConnection PgConnection;

typedef enum PgKind {
    PG_SQL,         /* an ordinary session */
    PG_REPLICATION, /* physical replication: replication=true */
} PgKind;

/* Connects with the site's connection string (keywords or URI, as libpq reads them). application is
 * the application_name unless the string has one; NULL: none. Gives up after timeout_ms, or
 * connect_timeout of the string if that is less (ERR_TIMEOUT); of several hosts, each has its
 * share. Or when we are told to stop. ERR_CONFIG if the string cannot be read; else ERR_IO with the
 * server's words; passwords never appear in messages. */
int pg_connect(const char *conninfo, PgKind kind, const char *application, int64_t timeout_ms,
               PgConnection **ret_connection);
void pg_close(PgConnection *connection);

/* The connection string by which another program makes the same connection, keywords only; memory
 * is the arena's. Nothing secret is in it: other people can read the arguments of programs.
 * Passwords are added to *env as "NAME=value" for the program's environment; a secret for which
 * libpq has no variable is refused (ERR_CONFIG). */
int pg_conninfo_export(const char *conninfo, PgKind kind, const char *application,
                       int64_t timeout_ms, Arena *arena, const char **ret_conninfo, StrList *env);

/* The application_name of a connection that is made so; memory is the arena's, or application's. */
int pg_conninfo_application(const char *conninfo, const char *application, Arena *arena,
                            const char **ret_name);

AUTO_DEFINE(pg, PgConnection *, pg_close)

/* For the queries from now on, instead of that of pg_connect. */
void pg_set_timeout(PgConnection *connection, int64_t timeout_ms);

PgKind pg_kind(const PgConnection *connection);

/* PG_VERSION_NUM of the server: 150020 */
int pg_version(const PgConnection *connection);

/* The answer of a query as text: rows * columns values, NULL for SQL's NULL; memory is the arena's.
 */
typedef struct PgTable {
    size_t rows, columns;
    const char **values; /* of row r, column c at [r * columns + c] */
    bool copies;         /* a copy both ways has begun instead */
} PgTable;

/* Runs one command (SQL, with up to count text parameters, or of the replication protocol, without)
 * and waits up to the connection's timeout_ms for its answer. A command that begins a copy
 * (START_REPLICATION) is done when the copy has begun; its table is empty. On failure, pg_sqlstate
 * says which; after ERR_TIMEOUT and ERR_STOPPED the connection can only be closed. */
int pg_query(PgConnection *connection, Arena *arena, const char *command,
             const char *const *parameters, size_t count, PgTable *ret_table);

/* Five characters of the last failed query's SQLSTATE, or "". */
const char *pg_sqlstate(const PgConnection *connection);

/* For the replication folder-mates only: the libpq connection (PGconn *), which is in non-blocking
 * mode: what was put must be flushed. */
void *pg_handle(PgConnection *connection);

#endif
