/* SPDX-License-Identifier: PostgreSQL
 * How a receiver that commits wait for awaits the next one. While processors are idle it stays
 * awake for it, since to be woken takes longer than the server needs for a commit. While others
 * want them it sleeps; and while it has to queue for one itself, and commits come several at a
 * time, it gives way once more before it takes them: those that are about to commit join, and what
 * a sync and a report cost is paid once for all of them. */
#ifndef WALDEN_FLOW_INTAKE_PACE_H
#define WALDEN_FLOW_INTAKE_PACE_H

#include "base/cpu_wait.h"

#include <stdbool.h>

typedef struct Pace {
    CpuWait cpu;
    double queued;   /* the share of late in which we waited for a processor; <0: not known */
    bool brisk;      /* the last wait was short */
    bool several;    /* before it more than one message was there */
    int64_t away_us; /* for how long others had the processor when we gave way, on average */
    int resting;     /* times that are left in which we do not give way */
} Pace;

/* Of the calling thread. */
void pace_begin(Pace *pace);
void pace_end(Pace *pace);

/* For how long the next wait is to stay awake; 0: it is to sleep at once. */
int64_t pace_awake_us(const Pace *pace);

/* After a wait: lets others come first where that helps. */
void pace_gather(Pace *pace);

/* How long the last wait was, and how many messages, which are about as many as commits, were taken
 * before it. */
void pace_heed(Pace *pace, int64_t waited_us, int taken);

#endif
