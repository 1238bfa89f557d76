/* SPDX-License-Identifier: PostgreSQL
 * Being woken when something comes into a directory. Network file systems do not tell of what other
 * hosts do, so whoever waits here also has to look by himself from time to time. */
#ifndef WALDEN_BASE_WATCH_H
#define WALDEN_BASE_WATCH_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { WATCH_MAX = 2 };

typedef struct Watch {
    int fd; /* of inotify; -1: there is none yet */
    size_t count;
    const char *paths[WATCH_MAX];
    int ids[WATCH_MAX]; /* -1: not watched now */
} Watch;

/* Up to WATCH_MAX directories, which need not exist yet. Nothing is watched before the refresh. */
void watch_init(Watch *watch, const char *const *paths, size_t count);
void watch_done(Watch *watch);

/* From now on what comes into the directories wakes: also those that have appeared or been replaced
 * since the last time. To be called before looking into them, so that nothing is missed. Fails when
 * one that exists cannot be watched; the others are. */
int watch_refresh(Watch *watch);

/* Waits until a file is created in one of the directories, moved there, or closed after it was
 * written to (WATCH_WOKEN); until the time is over (0), or until we are told to stop (0). */
enum { WATCH_WOKEN = 1 };
int watch_wait(Watch *watch, int64_t timeout_ms);

static inline void
auto_watch(Watch *watch)
{
    watch_done(watch);
}

#endif
