/* SPDX-License-Identifier: PostgreSQL
 * Physical replication: the commands of the walsender, and its stream of WAL as messages. All
 * functions want a connection of PG_REPLICATION, unless they say otherwise.
 *
 * A failure's class says whether to come again: ERR_IO, ERR_TIMEOUT and ERR_BUSY (the slot is in
 * use) may pass; ERR_DATA (the server does not have what was asked for, or talks nonsense) does
 * not. */
#ifndef WALDEN_PG_REPLICATION_H
#define WALDEN_PG_REPLICATION_H

#include "pg/connection.h"

typedef struct PgSystem {
    uint64_t id; /* of the cluster; never 0 */
    Timeline timeline;
    Lsn flush; /* up to where the server has WAL that can be had */
} PgSystem;

/* IDENTIFY_SYSTEM */
int pg_identify_system(PgConnection *connection, PgSystem *ret_system);

/* SHOW of a setting; memory is the arena's. */
int pg_show(PgConnection *connection, Arena *arena, const char *setting, const char **ret_value);

/* Bytes of a WAL segment. */
int pg_segment_size(PgConnection *connection, uint32_t *ret_size);

/* Is either application, or everybody, in the server's synchronous_standby_names? */
int pg_is_synchronous(PgConnection *connection, const char *application, const char *other,
                      bool *ret_synchronous);

/* The contents of the timeline's history file; memory is the arena's. */
int pg_timeline_history(PgConnection *connection, Arena *arena, Timeline timeline,
                        const char **ret_text);

/* Physical slots. Named outcomes of the functions below. */
enum {
    PG_SLOT_MISSING = 1,
    PG_SLOT_EXISTS = 2, /* already */
    PG_SLOT_IN_USE = 3, /* by another connection */
};

/* Where the server keeps WAL for the slot from; 0: it does not yet keep any. On a PG_SQL
 * connection too, where a server before version 15 must be asked. PG_SLOT_MISSING. */
int pg_slot_find(PgConnection *connection, const char *name, Lsn *ret_restart);

/* Does somebody receive by it? On a PG_SQL connection. false: also when there is no such slot. */
int pg_slot_is_active(PgConnection *connection, const char *name, bool *ret_active);

/* Creates it so that WAL is kept from now on. PG_SLOT_EXISTS. */
int pg_slot_create(PgConnection *connection, const char *name);

/* PG_SLOT_MISSING, PG_SLOT_IN_USE. */
int pg_slot_drop(PgConnection *connection, const char *name);

/* The stream of one timeline */

typedef enum PgMessageKind { PG_MESSAGE_WAL, PG_MESSAGE_KEEPALIVE } PgMessageKind;

typedef struct PgMessage {
    PgMessageKind kind;
    Lsn start;      /* of the WAL in it */
    Lsn server_end; /* the server's end of WAL */
    const char *data;
    size_t size;
    bool wants_reply; /* of a keepalive: at once */
    void *memory;     /* owns data: pg_message_free */
} PgMessage;

/* Reads the payload of one message; its data points into it. ERR_DATA. */
int pg_message_parse(const void *payload, size_t size, PgMessage *ret_message);
void pg_message_free(void *memory);

/* What the receiver says; the payload has PG_STATUS_SIZE bytes. Time is now. */
enum { PG_STATUS_SIZE = 34 };
void pg_status_format(Lsn written, Lsn flushed, bool wants_reply, void *ret_payload);

/* What comes after a timeline that has ended. */
typedef struct PgTimelineEnd {
    Timeline next;
    Lsn start; /* where the next one begins */
} PgTimelineEnd;

/* START_REPLICATION; slot NULL: none. PG_STREAM_SWITCHED when the timeline has ended just there;
 * then *ret_end is set. */
enum {
    PG_STREAM_EMPTY = 1,    /* nothing is at hand now: pg_stream_wait */
    PG_STREAM_ENDED = 2,    /* the server sends no more: pg_stream_finish */
    PG_STREAM_SWITCHED = 3, /* the timeline is at its end */
};
int pg_stream_start(PgConnection *connection, const char *slot, Timeline timeline, Lsn start,
                    PgTimelineEnd *ret_end);

/* The next message if one is at hand. Never waits. PG_STREAM_EMPTY, PG_STREAM_ENDED. */
int pg_stream_next(PgConnection *connection, PgMessage *ret_message);

/* Until there may be a message (if `input`), or wake_fd is readable, or timeout_ms is over, or a
 * signal has come. For the first awake_us it does not sleep, but gives way to others. */
int pg_stream_wait(PgConnection *connection, bool input, int wake_fd, int64_t timeout_ms,
                   int64_t awake_us);

/* Tells the server how far we are. Never waits: what does not go out now does so during
 * pg_stream_wait. */
int pg_stream_report(PgConnection *connection, Lsn written, Lsn flushed, bool wants_reply);

/* Says that we end the stream; the server may still send messages before PG_STREAM_ENDED. */
int pg_stream_close(PgConnection *connection);

/* After PG_STREAM_ENDED: 0 when the server closed the stream because it shuts down or because we
 * did, PG_STREAM_SWITCHED when its timeline ended. The connection can take commands again. */
int pg_stream_finish(PgConnection *connection, PgTimelineEnd *ret_end);

#endif
