/* SPDX-License-Identifier: PostgreSQL
 * Does the WAL that comes go on where the segment ends that is held before it? A position is only a
 * number: another server of the same cluster may have other WAL there. */
#ifndef WALDEN_FLOW_INTAKE_SEAM_H
#define WALDEN_FLOW_INTAKE_SEAM_H

#include "base/error.h"
#include "base/mem.h"
#include "wal/name.h"

#include <stddef.h>

typedef struct Seam Seam;

/* Reads the whole segment `held`, of which fd is the plain contents; the segment that starts at lsn
 * on the timeline is to follow it. SEAM_NONE: it is no WAL that can be checked, which is told at
 * debug level. */
enum { SEAM_NONE = 1 };
int seam_open(int fd, const char *held, Timeline timeline, Lsn lsn, uint32_t segment_size,
              Seam **ret_seam);
void seam_free(Seam *seam);
AUTO_DEFINE(seam, Seam *, seam_free)

/* The next bytes of the segment that comes, from its first on. SEAM_HOLDS: it does go on there, or
 * a record is so long that no end of it will be seen here. 0: that is not decided yet. <0
 * (ERR_DATA): it does not. To be called no more after either. */
enum { SEAM_HOLDS = 1 };
int seam_feed(Seam *seam, const void *data, size_t size);

#endif
