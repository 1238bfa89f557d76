/* SPDX-License-Identifier: PostgreSQL
 * The policy alone, in numbers; the waiting itself is pg_stream_wait's. What it is worth is in
 * docs/benchmarks.md, below the results of streaming. */
#include "flow/intake/pace.h"

#include "base/clock.h"

#include <sched.h>

enum {
    BRISK_US = 500,   /* after a wait so short the next one is likely to be */
    LOOK_US = 100000, /* between two looks at the processors */
    /* Who commits soon runs shortly. Who does not, a compressor say, keeps the processor for a
     * whole slice, some milliseconds, and is better not met often. */
    AWAY_MAX_US = 1000, /* on average of some times */
    REST = 1000,
};

/* Of the time. On the two processors of our benchmarks a receiver queues for less than a hundredth
 * while one client commits, for a tenth if there are two busy loops besides, and for a half among
 * sixteen clients. */
static const double CALM = 0.05, CROWDED = 0.25;

void
pace_begin(Pace *pace)
{
    *pace = (Pace){.queued = -1};
    cpu_wait_begin(&pace->cpu);
}

void
pace_end(Pace *pace)
{
    cpu_wait_end(&pace->cpu);
}

int64_t
pace_awake_us(const Pace *pace)
{
    return pace->brisk && pace->queued >= 0 && pace->queued < CALM ? BRISK_US : 0;
}

void
pace_gather(Pace *pace)
{
    if (!pace->several || pace->queued < CROWDED)
        return;
    if (pace->resting > 0) {
        pace->resting--;
        return;
    }
    int64_t start = clock_us();
    sched_yield();
    pace->away_us += (clock_us() - start - pace->away_us) / 8;
    if (pace->away_us < AWAY_MAX_US)
        return;
    pace->away_us = 0;
    pace->resting = REST;
}

void
pace_heed(Pace *pace, int64_t waited_us, int taken)
{
    pace->brisk = waited_us < BRISK_US;
    pace->several = taken > 1;
    if (clock_us() - pace->cpu.looked_us >= LOOK_US)
        pace->queued = cpu_wait_share(&pace->cpu);
}
