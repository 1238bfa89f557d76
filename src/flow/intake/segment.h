/* SPDX-License-Identifier: PostgreSQL
 * One segment in streaming/: NAME.partial while it grows, NAME when it is whole. */
#ifndef WALDEN_FLOW_INTAKE_SEGMENT_H
#define WALDEN_FLOW_INTAKE_SEGMENT_H

#include "base/error.h"
#include "wal/name.h"

#include <stddef.h>

typedef struct Segment {
    int fd; /* -1: none is open */
    char name[WAL_NAME_ROOM];
    const char *directory;
    uint32_t size, filled; /* bytes */
    uint32_t started;      /* up to where the kernel was told to write back */
    bool fresh;            /* size and name are not yet synced */
} Segment;

/* Opens or creates NAME.partial of full size. Bytes that it holds stay until they
 * are written again. directory must stay. */
int segment_open(const char *directory, Timeline timeline, Lsn lsn, uint32_t size,
                 Segment *ret_segment);

/* Adds bytes; no more than fit. */
int segment_write(Segment *segment, const void *data, size_t size);

/* What was added, and the name, survive a crash of the machine. */
int segment_sync(Segment *segment);

/* The whole segment: synced, then given its final name, which must be free, durably. Closes. */
int segment_finish(Segment *segment);

void segment_close(Segment *segment);

#endif
