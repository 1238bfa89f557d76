/* SPDX-License-Identifier: PostgreSQL
 * What a server says of itself when it is asked with SQL. */
#ifndef WALDEN_PG_FACTS_H
#define WALDEN_PG_FACTS_H

#include "config/config.h"
#include "pg/connection.h"

/* Which of a server's connection strings is meant; NULL: it has none. */
const char *server_wal_conninfo(const ServerConfig *server);           /* SQL, where WAL is from */
const char *server_wal_streaming_conninfo(const ServerConfig *server); /* receiving WAL */
const char *server_primary_conninfo(const ServerConfig *server);       /* SQL, to the primary */

/* The application_name under which a server knows the receiver of its WAL: that of the connection
 * string, if it has one. Memory is the arena's, or the server's. */
const char *server_wal_application(const ServerConfig *server, Arena *arena);

typedef struct PgFacts {
    int version;           /* PG_VERSION_NUM */
    const char *user;      /* as whom we are connected */
    bool in_recovery;      /* a standby */
    Timeline timeline;     /* of a standby: of its last restart point */
    Lsn lsn;               /* insert position; of a standby: replayed up to there */
    uint32_t segment_size; /* bytes */
    bool may_switch;       /* call pg_switch_wal() */
    bool may_checkpoint;   /* CHECKPOINT */
    bool may_monitor;      /* see the columns of pg_stat_replication */
    uint64_t system_id;    /* of the cluster */
    const char *wal_level;
} PgFacts;

/* Servers before version 10 are refused (ERR_UNSUPPORTED). Memory is the arena's. */
int pg_facts_read(PgConnection *connection, Arena *arena, PgFacts *ret_facts);

#endif
