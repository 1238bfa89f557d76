/* SPDX-License-Identifier: PostgreSQL
 * Named locks, the same ones that Barman takes: flock(2) on a file that holds the owner's pid and a
 * line feed. The file is never removed by us, and others may remove it at any time, so a lock
 * counts only while the path still leads to the file that we hold. */
#ifndef WALDEN_BASE_LOCK_H
#define WALDEN_BASE_LOCK_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct Lock {
    int fd; /* -1: not held */
} Lock;

#define LOCK_NONE ((Lock){.fd = -1})

typedef enum LockKind {
    LOCK_EXCLUSIVE, /* writes our pid into the file */
    LOCK_SHARED,    /* for readers, who need not be allowed to write the file; leaves the pid alone,
                       and never makes the file: without one, nothing is locked and nothing held */
} LockKind;

/* Takes the lock, waiting up to wait_ms milliseconds or until we are told to stop. LOCK_BUSY when
 * somebody else kept it; then *ret_holder is the pid read from the file, or 0. */
enum { LOCK_BUSY = 1 };
int lock_take(const char *path, LockKind kind, int wait_ms, Lock *ret_lock, pid_t *ret_holder);

/* Releasing what is not held is fine. */
void lock_release(Lock *lock);

static inline void
auto_lock(Lock *lock)
{
    lock_release(lock);
}

#endif
