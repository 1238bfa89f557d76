/* SPDX-License-Identifier: PostgreSQL
 * Steps 2 to 4 of archive.c for a group of items in archiving order: names, catalog, sources. */
#ifndef WALDEN_FLOW_COMMIT_H
#define WALDEN_FLOW_COMMIT_H

#include "flow/archive.h"
#include "flow/item.h"
#include "flow/xlogdb/xlogdb.h"

#include <stdatomic.h>

enum { GROUP_MAX = 64 };

typedef struct Committer {
    const char *server;
    const char *errors_directory;
    const Recipe *recipe;
    XlogDb *db;
    const ArchiveObserver *observer;
    ArchiveSummary *summary;
    Timeline blocked[8]; /* timelines on which an older file could not be archived in this run */
    atomic_size_t blocked_count; /* only grows; the workers look at it too */
    bool told_opaque;
} Committer;

/* Must the file wait, because an older one of its timeline waits or has failed in this run? */
bool commit_is_blocked(const Committer *committer, const Item *item);

/* Settles up to GROUP_MAX items. Those that cannot be archived are told to the observer and do not
 * make it fail; <0 means that the run must end (the catalog or the archive cannot be written). */
int commit_group(Committer *committer, Item *const *items, size_t count);

#endif
