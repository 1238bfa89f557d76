/* SPDX-License-Identifier: PostgreSQL
 * Deletion of archived WAL that nobody needs any more. */
#ifndef WALDEN_FLOW_EXPIRE_H
#define WALDEN_FLOW_EXPIRE_H

#include "config/config.h"
#include "flow/before.h"

typedef struct Expiry {
    const Config *config;
    const ServerConfig *server;
    const Before *before; /* NULL: as the server's wal_retention says, which must be set then */
    bool force;           /* give up backups whose labels are in the archive (never Barman's) */
    bool dry_run;         /* only tell what would be deleted */
    void *context;
    void (*deleted)(void *context, const char *name); /* told of each file that is gone */
} Expiry;

typedef struct ExpirySummary {
    size_t deleted;  /* files that are gone now, or would be */
    int64_t bytes;   /* what they took in the archive */
    size_t missing;  /* rows that are gone, of files that were not there any more */
    size_t unlisted; /* of the deleted: files that the catalog did not know */
} ExpirySummary;

/* Deletes. Refused (ERR_USAGE) with the reason when a backup that is kept needs what would go. The
 * caller holds the server's delete-wals lock, so that no two do this; archiving, handing out and
 * Barman may go on meanwhile. The summary is set, too, when it fails on the way. */
int expire_wals(const Expiry *expiry, ExpirySummary *ret_summary);

#endif
