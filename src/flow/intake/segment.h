/* SPDX-License-Identifier: PostgreSQL
 * One segment in streaming/: NAME.partial while it grows, NAME when it is whole. */
#ifndef WALDEN_FLOW_INTAKE_SEGMENT_H
#define WALDEN_FLOW_INTAKE_SEGMENT_H

#include "base/error.h"
#include "base/file.h"
#include "wal/name.h"

#include <stddef.h>

typedef struct Segment {
    int fd; /* -1: none is open */
    char name[WAL_NAME_ROOM];
    const char *directory;
    uint32_t size, filled; /* bytes */
    uint32_t started;      /* up to where the kernel was told to write back */
    uint32_t prepared;     /* up to where it has blocks; only where nothing was before */
    uint32_t held;         /* up to where it may hold bytes of an earlier receiver */
    bool fresh;            /* size and name are not yet synced */
    uint32_t named_at;     /* has no name before it is filled so far; 0: has one */
    bool unproven;         /* has none before segment_prove either */
    bool replaces;         /* a blank file has the name */
    AtomicFile nameless;   /* until then: fd is this one's */
} Segment;

/* Opens or creates NAME.partial of full size. Bytes that it holds stay, and what is written must be
 * the same. directory must stay. begins: where the timeline does. In the segment with that place
 * the file begins with what the timeline before has there, and a recovery would take it for that
 * one's, however little of it is received yet. So a new file gets its name only when it is filled
 * up to there; what dies before leaves nothing. unproven: it may turn out not to belong here, and
 * segment_is_blank; so it gets its name after segment_prove only, and cannot be synced before. */
int segment_open(const char *directory, Timeline timeline, Lsn lsn, uint32_t size, Lsn begins,
                 bool unproven, Segment *ret_segment);

/* It does belong here: the next byte that is written may give it its name. */
void segment_prove(Segment *segment);

/* Is there no NAME.partial of this segment, or none with WAL behind its first page's header?
 * SEGMENT_BLANK, or 0: there is. */
enum { SEGMENT_BLANK = 1 };
int segment_is_blank(const char *directory, const char *name);

/* Makes an empty NAME.partial, durably: there a receiver begins that finds nothing newer. */
int segment_mark(const char *directory, const char *name);

/* Sees to it that bytes of this number can be added in blocks that the file has already: a sync
 * that finds new ones has to write the file system's journal, too. */
int segment_prepare(Segment *segment, size_t size);

/* Adds bytes; no more than fit. ERR_DATA, and nothing is written, where the file holds others. */
int segment_write(Segment *segment, const void *data, size_t size);

/* What was added, and the name, survive a crash of the machine. For a file with a name. */
int segment_sync(Segment *segment);

/* The whole segment: synced, then given its final name, which must be free, durably. Closes. */
int segment_finish(Segment *segment);

void segment_close(Segment *segment);

/* Takes a finished segment out of the kernel's cache, if it is still there: advice only. */
void segment_forget(const char *directory, const char *name);

#endif
