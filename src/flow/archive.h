/* SPDX-License-Identifier: PostgreSQL
 * Archiving what waits in streaming/ and in incoming/. */
#ifndef WALDEN_FLOW_ARCHIVE_H
#define WALDEN_FLOW_ARCHIVE_H

#include "config/config.h"

/* Who is told what happens. Called on the thread that called archive_server. */
typedef struct ArchiveObserver {
    void *context;
    void (*info)(void *context, const char *line);      /* Barman's console output, line by line */
    void (*debug)(void *context, const char *line);     /* why a file is left, and the like */
    void (*problem)(void *context, const Error *error); /* one file could not be archived */
    bool terse; /* nothing is told of an archiver that finds nothing to do, or of what waits */
} ArchiveObserver;

typedef struct ArchiveSummary {
    size_t archived;             /* stored, recorded, source removed */
    size_t duplicates;           /* were archived already with the same content */
    size_t waiting;              /* left for the next run */
    size_t rejected;             /* moved to errors/ */
    size_t failed;               /* told as problems */
    size_t beyond;               /* not looked at, because the batch is limited */
    int64_t bytes_in, bytes_out; /* of the archived: as they waited, as they are stored */
} ArchiveSummary;

/* What an archiver leaves to the next one: an object store that is open, with its connections and
 * what is known of it. {0} before the first. */
typedef struct ArchiveKept {
    struct Store *store;
} ArchiveKept;

void archive_kept_done(ArchiveKept *kept);

static inline void
auto_archive_kept(ArchiveKept *kept)
{
    archive_kept_done(kept);
}

/* One run of each archiver that is on, over at most as many files as its batch size says: first
 * what was received by streaming (streaming_archiver), then what archive_command sent (archiver).
 * The caller holds the server's archive-wal lock. An archiver that had to end early is told as a
 * problem, and the next one goes on. 0 also when files were rejected or failed (see the summary,
 * which is always set); <0 (ERR_STOPPED) when we were told to stop. */
int archive_server(const Config *config, const ServerConfig *server,
                   const ArchiveObserver *observer, ArchiveKept *kept, ArchiveSummary *ret_summary);

#endif
