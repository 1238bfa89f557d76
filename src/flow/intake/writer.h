/* SPDX-License-Identifier: PostgreSQL
 * The receiver's hand on the disk: a thread that writes WAL into NAME.partial and makes it durable,
 * so that a slow disk never keeps the receiver from talking to the server. */
#ifndef WALDEN_FLOW_INTAKE_WRITER_H
#define WALDEN_FLOW_INTAKE_WRITER_H

#include "base/error.h"
#include "flow/intake/seam.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct WalWriter WalWriter;

typedef struct WriterProgress {
    Lsn written;
    Lsn flushed; /* up to here it survives a crash of the machine */
    bool proven; /* and belongs where it is: see WriterSpec.seam */
    bool failed; /* writer_stop tells why; nothing more is written */
} WriterProgress;

typedef struct WriterSpec {
    const char *directory; /* must stay */
    uint32_t segment_size;
    Timeline timeline;
    Lsn start;  /* of a segment */
    Lsn begins; /* where the timeline does: see segment_open() */
    Seam *seam; /* what the beginning is held against, for as long as the writer is; or NULL */
    bool synchronous;              /* sync whatever is at hand, not only whole segments */
    void (*release)(void *memory); /* frees what was pushed; from any thread */
    /* Called from the writer's thread every WRITER_STALL_MS while writer_go is kept by the disk. */
    void (*stalled)(void *context, const WriterProgress *progress);
    void *context;
} WriterSpec;

enum { WRITER_STALL_MS = 1000 };

int writer_start(const WriterSpec *spec, WalWriter **ret_writer);

/* Hands over WAL that follows on what was pushed before; data lies in memory, which is the writer's
 * now. False when the queue is full (nothing was taken): wait for writer_fd. */
bool writer_push(WalWriter *writer, void *memory, const char *data, size_t size);

/* To be called after pushes when synchronous: has them written and synced, little of it at once, on
 * the calling thread, so that a commit does not wait until another thread wakes up. */
void writer_go(WalWriter *writer);

/* Changes what was said at the start. */
void writer_set_synchronous(WalWriter *writer, bool synchronous);

/* What was pushed so far is to be made durable soon. */
void writer_sync(WalWriter *writer);

WriterProgress writer_progress(WalWriter *writer);

/* Readable when something was flushed, has failed, or there is room again. */
int writer_fd(const WalWriter *writer);
void writer_fd_clear(WalWriter *writer);

/* Writes and syncs all that was pushed, ends the thread and frees; *ret_progress, which may be
 * NULL, is set also on failure. The segment in work keeps its partial name; without one it is not
 * flushed, and gone. */
int writer_stop(WalWriter *writer, WriterProgress *ret_progress);

#endif
