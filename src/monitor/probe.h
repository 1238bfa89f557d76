/* SPDX-License-Identifier: PostgreSQL
 * Looking at things that may never answer: a dead network file system, a stalled disk, a server
 * that accepts and says nothing. Each look is made by a process of its own, which is left alone
 * when its time is over; even one that the kernel does not let end holds nobody up. */
#ifndef WALDEN_MONITOR_PROBE_H
#define WALDEN_MONITOR_PROBE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef enum ProbeOutcome {
    PROBE_LATE,   /* no answer in time: what it wrote so far may be half of something */
    PROBE_FAILED, /* error says why; so does a process that died */
    PROBE_DONE,
} ProbeOutcome;

typedef struct Probe {
    const char *what; /* "the archive": for messages */
    int (*look)(void *context);
    void *context; /* memory of probe_memory, for what it writes is to be seen here */
    ProbeOutcome outcome;
    Error error; /* FAILED and LATE */
} Probe;

/* Zeroed memory that this process and its probes share; munmap() it. */
void *probe_memory(size_t size);

enum { PROBES_MAX = 64 }; /* at once */

/* Looks at all of them at once and returns when all have answered, at the latest after timeout_ms;
 * 0: no limit. The array must be of probe_memory. <0 when no process can be started, or when we are
 * told to stop. Not while there are threads. */
int probe_all(Probe *probes, size_t count, int64_t timeout_ms);

#endif
