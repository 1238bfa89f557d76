/* SPDX-License-Identifier: PostgreSQL
 * docs/benchmarks.md has what this is worth. */
#include "flow/intake/pace.h"

#include "base/clock.h"

#include <sched.h>

enum {
    BRISK_US = 500,   /* after a wait so short the next one is likely to be */
    LOOK_US = 100000, /* between two looks at the processors */
    /* Who commits soon runs shortly. Who does not, a compressor say, keeps the processor for his
     * whole slice, and is better not met often. */
    SLICE_US = 4000,
    REST = 500,
};

/* Of the time. A thread that waits for one client's commits, with processors to spare, queues for
 * less than a hundredth; beside two busy loops for a tenth, among sixteen clients on two processors
 * for a half. */
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
    if (clock_us() - start >= SLICE_US)
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
