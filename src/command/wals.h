/* SPDX-License-Identifier: PostgreSQL
 * What show-wals has found out, as JSON and as a page. Only for show_wals.c, wals_json.c and
 * wals_page.c. */
#ifndef WALDEN_COMMAND_WALS_H
#define WALDEN_COMMAND_WALS_H

#include "flow/holdings.h"
#include "flow/volume.h"

#include <jansson.h>

typedef struct Wals {
    const ServerConfig *server;
    Holdings holdings;
    Volume volume;
    time_t now;
} Wals;

/* WAL that was stored, over the bytes that it takes; 0: not known. */
static inline double
wals_ratio(const Wals *wals, uint64_t segments, int64_t stored)
{
    return stored > 0 ? (double)segments * wals->holdings.segment_size / (double)stored : 0;
}

/* Segments for each hour between the first and the last one; 0: not known. */
double wals_per_hour(const Wals *wals);

/* The times of the oldest and the newest segment; false without any. */
bool wals_times(const Wals *wals, struct timespec *ret_oldest, struct timespec *ret_newest);

/* Bytes of all segments, without partial ones, labels and history files. */
int64_t wals_stored(const Wals *wals);

/* All of it; the keys are in docs/operations.md. */
json_t *wals_json(const Wals *wals);

/* One HTML file that needs nothing else, in the place of whatever file has the path. */
int wals_write_page(const json_t *data, const char *path);

#endif
