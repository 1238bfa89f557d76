/* SPDX-License-Identifier: PostgreSQL
 * How much a thread has to wait for a processor, as Linux counts it in /proc/thread-self/schedstat
 * (see "sched-stats" in the kernel's documentation). */
#ifndef WALDEN_BASE_CPU_WAIT_H
#define WALDEN_BASE_CPU_WAIT_H

#include <stdint.h>

typedef struct CpuWait {
    int fd; /* -1: the kernel does not count */
    int64_t looked_us;
    uint64_t waited_ns; /* then, since the thread began */
} CpuWait;

/* Begins to watch the calling thread. */
void cpu_wait_begin(CpuWait *wait);

/* Of the time since the last question (or the beginning) the share, 0 to 1, in which the watched
 * thread could have run, and others did. <0: not known. */
double cpu_wait_share(CpuWait *wait);

void cpu_wait_end(CpuWait *wait);

#endif
