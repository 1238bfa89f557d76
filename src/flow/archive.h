/* SPDX-License-Identifier: PostgreSQL
 * Archiving what waits in incoming/: the file archiver of the documented system. */
#ifndef WALDEN_FLOW_ARCHIVE_H
#define WALDEN_FLOW_ARCHIVE_H

#include "config/config.h"

/* Who is told what happens. Called on the thread that called archive_incoming. */
typedef struct ArchiveObserver {
    void *context;
    void (*info)(void *context, const char *line);      /* Barman's console output, line by line */
    void (*debug)(void *context, const char *line);     /* why a file is left, and the like */
    void (*problem)(void *context, const Error *error); /* one file could not be archived */
} ArchiveObserver;

typedef struct ArchiveSummary {
    size_t archived;             /* stored, recorded, source removed */
    size_t duplicates;           /* were archived already with the same content */
    size_t waiting;              /* left for the next run */
    size_t rejected;             /* moved to errors/ */
    size_t failed;               /* told as problems */
    int64_t bytes_in, bytes_out; /* of the archived: as they waited, as they are stored */
} ArchiveSummary;

/* One run over incoming/, at most archiver_batch_size files. The caller holds the server's
 * archive-wal lock. 0 also when files were rejected or failed (see the summary, which is always
 * set); <0 when the run had to end early. */
int archive_incoming(const Config *config, const ServerConfig *server,
                     const ArchiveObserver *observer, ArchiveSummary *ret_summary);

#endif
