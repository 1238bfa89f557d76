/* SPDX-License-Identifier: PostgreSQL
 * How WAL came over time: segments counted by the time of their last write, in at most
 * VOLUME_BUCKETS stretches of equal length. The length is found on the way: the shortest "round"
 * one that is enough for all rows, which may come in any order. */
#ifndef WALDEN_FLOW_VOLUME_H
#define WALDEN_FLOW_VOLUME_H

#include "flow/store/store.h"

enum { VOLUME_BUCKETS = 200 };

typedef struct VolumeBucket {
    uint64_t segments;
    int64_t stored; /* bytes of these in the archive */
    char newest[WAL_NAME_ROOM];
    struct timespec time; /* of the newest */
    double lag;           /* seconds; negative: not known. See volume_measure_lag */
} VolumeBucket;

typedef struct Volume {
    int64_t width; /* seconds of a bucket */
    int64_t first; /* buckets[0] begins at first * width, in seconds since 1970 */
    size_t count;  /* 0: no segments */
    VolumeBucket buckets[VOLUME_BUCKETS];
    size_t untimed; /* segments whose time cannot be right, which are in no bucket */
    time_t latest;
} Volume;

/* now: a segment that is a day later than this is taken for one with a wrong time. */
void volume_init(Volume *volume, time_t now);

/* Counts a row, if it is of a segment. */
void volume_add(Volume *volume, const WalFile *row);

/* When bucket i begins, in seconds since 1970. */
int64_t volume_begin(const Volume *volume, size_t i);

/* How long the newest segment of each bucket took into the archive: from its last write, as the
 * catalog has it, to the last change of the archived file (ctime). Whoever copies the archive, or
 * changes its files' owner or mode, changes these times, too. One stat for each bucket. */
void volume_measure_lag(Volume *volume, const Store *store);

#endif
