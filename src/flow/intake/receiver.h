/* SPDX-License-Identifier: PostgreSQL
 * Receives a server's WAL by streaming replication into its streaming directory, as PostgreSQL's
 * pg_receivewal does and in its files. */
#ifndef WALDEN_FLOW_INTAKE_RECEIVER_H
#define WALDEN_FLOW_INTAKE_RECEIVER_H

#include "config/config.h"
#include "pg/replication.h"

enum { RECEIVER_CONNECT_MS = 20000 };

typedef struct ReceiverSpec {
    const ServerConfig *server;
    void (*tell)(void *context, const char *line); /* what people want to know */
    /* The archived segment that comes last before this name, "" without any; room for
     * WAL_NAME_ROOM. NULL: nobody knows. */
    int (*find_archived)(void *context, const char *before, char *ret_name);
    /* The plain contents of a file of the archive, which may be a copy: the archive may have it
     * compressed and encrypted. HELD_NONE (held.h): it has none of this name. NULL: there is no
     * archive to look into. */
    int (*open_archived)(void *context, const char *name, int *ret_fd);
    /* Moves a file of streaming/ to errors/. Needed for receiver_reset. */
    int (*set_aside)(void *context, const char *name);
    void *context;
    /* How far WAL is in the files of the directory; often, and must be quick. NULL: nobody cares.
     * Not with receiver = pg_receivewal. */
    void (*progress)(void *context, Timeline timeline, Lsn written, uint32_t segment_size);
    void *progress_context;
} ReceiverSpec;

/* Receives until we are told to stop (ERR_STOPPED; all that was received is durable then) or until
 * something is wrong that does not pass by itself: WAL that the server no longer has, a foreign
 * cluster, a slot that is gone, a disk that refuses. Lost connections are made again, at least
 * every 30 s, once the first one has streamed. With receiver = pg_receivewal that program is run
 * once, and any end of it is ours: 0 when it was told to end by somebody else. */
int receiver_run(const ReceiverSpec *spec);

/* Makes the next receiver begin where the slot, or the server, is now, as Barman does. A newest
 * partial segment is removed if the server has its bytes; one from before there is left for the
 * archiver, and one that is not of the server's past is set aside. Says what it does. */
int receiver_reset(const ReceiverSpec *spec);

/* A connection for the commands of a walsender, to where the server's WAL comes from. */
int receiver_connect(const ServerConfig *server, int64_t timeout_ms, PgConnection **ret_connection);

/* The same to ask something beside the stream, under a name by which nobody takes it for that. */
int receiver_connect_aside(const ServerConfig *server, int64_t timeout_ms,
                           PgConnection **ret_connection);

/* A connection on which the server's settings can be asked for, of either kind. */
int
receiver_connect_any(const ServerConfig *server, int64_t timeout_ms, PgConnection **ret_connection);

/* Does the server wait for us, by its synchronous_standby_names? connection: of any kind, to the
 * server that streams. */
int receiver_is_synchronous(const ServerConfig *server, PgConnection *connection,
                            bool *ret_synchronous);

/* pg_slot_find of the server's slot, which must be configured. connection: of receiver_connect. */
int receiver_find_slot(const ServerConfig *server, PgConnection *connection, Lsn *ret_restart);

/* Fails (ERR_BUSY) while somebody receives by the server's slot. Only SQL tells: without conninfo
 * it is not known, and 0. */
int receiver_check_slot_free(const ServerConfig *server);

#endif
