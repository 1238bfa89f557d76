/* SPDX-License-Identifier: PostgreSQL
 * Deadlines are counted on the monotonic clock, which nobody sets. */
#ifndef WALDEN_BASE_CLOCK_H
#define WALDEN_BASE_CLOCK_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>

static inline int64_t
clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline int64_t
clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* A condition whose waits are timed by this clock. */
static inline void
clock_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* Sleeps; a signal ends it early. */
static inline void
clock_pause_ms(int64_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

#endif
