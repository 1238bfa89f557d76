/* SPDX-License-Identifier: PostgreSQL
 * Which segments were found sound, and when: so that the next verification can go on from there.
 * Kept beside the catalog as <server>-xlog.db.verified:
 *
 *   {"segment_size": N, "at": "20260131T120000Z", "sound": [{"first": NAME, "last": NAME}]} */
#ifndef WALDEN_FLOW_VERIFIED_H
#define WALDEN_FLOW_VERIFIED_H

#include "config/config.h"
#include "wal/coverage.h"

typedef struct Verified {
    Coverage *coverage;
    const CoverageReport *report; /* NULL: nothing is known */
} Verified;

/* What was found sound, in segments of this size; nothing if there is no such file. One that cannot
 * be understood is warned of and counts as none, since then everything is verified again. */
int verified_load(const ServerConfig *server, uint32_t segment_size, Verified *ret_verified);

/* Was this segment found sound? */
bool verified_holds(const Verified *verified, Timeline timeline, Lsn lsn);

/* Writes the ranges of the report down, durably, in place of what was there. */
int verified_save(const ServerConfig *server, const CoverageReport *report);

void verified_done(Verified *verified);

static inline void
auto_verified(Verified *verified)
{
    verified_done(verified);
}

#endif
