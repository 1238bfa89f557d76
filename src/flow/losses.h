/* SPDX-License-Identifier: PostgreSQL
 * WAL that is known to be lost: ranges of segments that somebody has acknowledged, with the reason.
 * Kept beside the catalog as <server>-xlog.db.lost:
 *
 *   {"lost": [{"first": NAME, "last": NAME, "reason": TEXT, "by": USER, "at": "2026-01-31T..."}]}
 */
#ifndef WALDEN_FLOW_LOSSES_H
#define WALDEN_FLOW_LOSSES_H

#include "config/config.h"
#include "wal/coverage.h"

typedef struct Loss {
    const char *first, *last; /* names of segments of one timeline */
    const char *reason, *by, *at;
    Timeline timeline;
    Lsn begin, end; /* both 0 while the segment size is not known */
} Loss;

typedef struct Losses {
    Loss *items;
    size_t count;
} Losses;

/* All of them; none when there is no such file. Memory is the arena's. A file that cannot be
 * understood is ERR_DATA: nobody may take its losses for none. */
int losses_load(const ServerConfig *server, Arena *arena, Losses *ret_losses);

/* Writes one more down, durably. ERR_USAGE for names that are no range. */
int losses_add(const ServerConfig *server, const char *first, const char *last, const char *reason);

/* Works out the positions, which losses_explaining and coverage need. ERR_DATA names a loss that
 * does not fit the segment size. */
int losses_place(Losses *losses, uint32_t segment_size);

/* Index of the loss that holds this position, or -1. */
int losses_explaining(const Losses *losses, Timeline timeline, Lsn lsn);

#endif
