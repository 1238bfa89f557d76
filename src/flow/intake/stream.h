/* SPDX-License-Identifier: PostgreSQL
 * Between the files of the receiver: one timeline from its start to its end. */
#ifndef WALDEN_FLOW_INTAKE_STREAM_H
#define WALDEN_FLOW_INTAKE_STREAM_H

#include "flow/intake/position.h"
#include "flow/intake/seam.h"
#include "flow/intake/sync_watch.h"
#include "pg/replication.h"

typedef struct StreamSpec {
    PgConnection *connection;
    const char *slot; /* or NULL */
    const char *directory;
    uint32_t segment_size;
    SyncWatch *watch; /* whether the server waits for us; may change its mind */
    WalPosition from;
    Lsn begins; /* where the timeline does, 0 for the first */
    Seam *seam; /* what its beginning is held against; NULL: nothing */
    /* As ReceiverSpec has it */
    void (*progress)(void *context, Timeline timeline, Lsn written, uint32_t segment_size);
    void *progress_context;
} StreamSpec;

/* How it went, also when it failed */
typedef struct StreamResult {
    bool begun;       /* the server agreed to send */
    bool wrote;       /* WAL came, and was written */
    bool disk_failed; /* the failure is ours, not the connection's */
    PgTimelineEnd end;
} StreamResult;

/* Receives the timeline until the server ends it (PG_STREAM_SWITCHED) or closes the stream (0).
 * Whatever the result, what was received is durable when this returns, unless the disk failed
 * or not even the beginning of the timeline had come. */
int stream_timeline(const StreamSpec *spec, StreamResult *ret_result);

#endif
