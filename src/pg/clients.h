/* SPDX-License-Identifier: PostgreSQL
 * Who receives WAL from a server: its walsenders, as pg_stat_replication shows them. */
#ifndef WALDEN_PG_CLIENTS_H
#define WALDEN_PG_CLIENTS_H

#include "pg/connection.h"

typedef enum PgClientKind {
    PG_CLIENT_ANY,
    PG_CLIENT_STANDBY,  /* replays what it gets */
    PG_CLIENT_STREAMER, /* only stores it */
} PgClientKind;

typedef enum PgStage { PG_SENT, PG_WRITTEN, PG_FLUSHED, PG_REPLAYED, PG_STAGES } PgStage;

/* Text that is absent is NULL. */
typedef struct PgClient {
    const char *application, *user, *state, *sync_state;
    const char *address, *port, *host; /* address NULL: a Unix domain socket */
    const char *slot, *xmin;
    const char *started; /* YYYY-MM-DD HH:MM:SS.UUUUUU+HH:MM */
    int64_t pid, priority;
    const char *position[PG_STAGES]; /* "X/Y" */
    int64_t behind[PG_STAGES];       /* bytes from the server's position, negative; 0 if absent */
} PgClient;

typedef struct PgClients {
    const char *position; /* up to where the server has written; of a standby: received */
    size_t count;
    PgClient *items; /* the most synchronous first */
} PgClients;

/* All of one moment. Logical replication is left out. Memory is the arena's. */
int
pg_clients_read(PgConnection *connection, Arena *arena, PgClientKind kind, PgClients *ret_clients);

#endif
