/* SPDX-License-Identifier: PostgreSQL
 * Between the files of this folder: what the SQLSTATE of a failure means for another
 * try, and names in commands of the walsender. */
#ifndef WALDEN_PG_INTERNAL_H
#define WALDEN_PG_INTERNAL_H

#include "pg/connection.h"

/* The class for an SQLSTATE: ERR_IO when the connection was lost, the server is short of something,
 * or shuts down; ERR_BUSY when an object is in use; ERR_DATA for all that stays so. */
ErrorClass sqlstate_class(const char *sqlstate);

/* Gives the record of a failed pg_query its class; returns result. */
int pg_judge(const PgConnection *connection, int result);

/* The name in double quotes, as SQL and the replication protocol read it; free() it. */
char *pg_quoted(const char *name);

#endif
