/* SPDX-License-Identifier: PostgreSQL
 * What the files of this folder share. */
#ifndef WALDEN_FLOW_XLOGDB_INTERNAL_H
#define WALDEN_FLOW_XLOGDB_INTERNAL_H

#include "base/lock.h"
#include "flow/xlogdb/lines.h"

struct XlogDb {
    char *current_dir, *current; /* the current form */
    char *old_dir, *old;         /* the form before 3.13 */
    char *lock_path;
    int lock_wait_ms;
    const char *directory, *path; /* of the form in use */
    bool told_both;
    int columns;
};

/* Takes the catalog's lock and finds out which form is in use. ERR_BUSY. */
int catalog_lock(XlogDb *db, LockKind kind, Lock *ret_lock);

/* xlogdb_read under a lock that is held. */
int catalog_read(const XlogDb *db, XlogDbVisit *visit, void *context, size_t *ret_damaged);

#endif
