/* SPDX-License-Identifier: PostgreSQL
 * The catalog made anew from what is in the archive. */
#ifndef WALDEN_FLOW_REBUILD_H
#define WALDEN_FLOW_REBUILD_H

#include "config/config.h"

typedef struct RebuildSummary {
    size_t history, labels, segments; /* rows of the new catalog; segments: partial ones too */
    size_t added;                     /* of these: were not in the old one */
    size_t dropped;                   /* rows whose files are gone */
    size_t damaged;                   /* lines of the old catalog that could not be read */
    size_t strangers;                 /* objects in the archive that are no WAL files */
} RebuildSummary;

/* Called some times a second with the rows so far. */
typedef struct RebuildObserver {
    void (*progress)(void *context, const RebuildSummary *so_far); /* may be NULL */
    void *context;
} RebuildObserver;

/* Rows of the old catalog whose files are unchanged are kept as they are and where they are; the
 * rest is found out from the files and comes behind them. A crash leaves the old catalog, and so
 * does being told to stop. The caller holds the archive-wal lock. */
int rebuild_catalog(const Config *config, const ServerConfig *server,
                    const RebuildObserver *observer, RebuildSummary *ret_summary);

#endif
