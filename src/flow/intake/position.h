/* SPDX-License-Identifier: PostgreSQL
 * From where to go on receiving: what streaming/ holds, set against the server's timelines. */
#ifndef WALDEN_FLOW_INTAKE_POSITION_H
#define WALDEN_FLOW_INTAKE_POSITION_H

#include "base/error.h"
#include "wal/history.h"

typedef struct WalPosition {
    Timeline timeline;
    Lsn lsn; /* always the start of a segment */
} WalPosition;

/* Named outcomes of position_find */
enum {
    POSITION_NONE = 1,    /* no segment is there: the slot or the server says where to begin */
    POSITION_FOREIGN = 2, /* there are segments, but of timelines that the server does not come
                             from */
};

/* The position after the newest whole segment in the directory, or that of the newest partial one,
 * whose bytes are received again. Only timelines count from which the server comes; where the
 * server has left a timeline before our position, we go back to the segment of that switch. A
 * segment that is not of the right size is not whole: it is passed over with a warning. But one
 * of a size that other segments may have is ERR_DATA, unless its first page says otherwise, or
 * nothing: it says that the server's segment size was changed, and then names are other positions.
 * history: of the server's current timeline; empty for the first one. */
int position_find(const char *directory, uint32_t segment_size, Timeline server_timeline,
                  const History *history, WalPosition *ret_position);

/* On which timeline the server has WAL from this position on. */
Timeline position_timeline(Lsn lsn, Timeline server_timeline, const History *history);

#endif
