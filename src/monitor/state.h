/* SPDX-License-Identifier: PostgreSQL
 * How a server and its archive are now: gathered once, within a time limit, and then shown by
 * check, status, show-servers and metrics, each in its own way. Nothing here is judged, and nothing
 * is changed but for what a look needs (directories that are missing, a file that is written to see
 * whether that works, and removed). */
#ifndef WALDEN_MONITOR_STATE_H
#define WALDEN_MONITOR_STATE_H

#include "config/config.h"
#include "flow/intake/status.h"
#include "monitor/probe.h"
#include "pg/replication.h"
#include "pg/status.h"
#include "wal/wal.h"

#include <stdbool.h>

enum { PATH_ROOM = 1024, REASON_ROOM = 512 };

/* A directory in which WAL waits to be archived. */
typedef struct QueueState {
    int64_t entries; /* all but *.tmp and dot-files */
    int64_t files;   /* of these, WAL that the archiver will take */
    int64_t bytes;   /* of these files */
    double age;      /* seconds since the oldest of them was written; 0: none waits */
} QueueState;

/* What lies in errors/, by the suffix that it got there. */
typedef struct ErrorFiles {
    int64_t duplicate, unknown, invalid, irrelevant, other;
} ErrorFiles;

/* Of the files and processes on this host */
typedef struct FilesState {
    char broken_directory[REASON_ROOM]; /* the first that cannot be made or used, and why; or "" */
    QueueState incoming, streaming;
    ErrorFiles errors;
    uint64_t system_id;               /* of identity.json, 0: none */
    pid_t archiver_pid, receiver_pid; /* who holds their locks; 0: nobody */
    int64_t disk_size, disk_free;     /* bytes, where the archive is; where WAL waits, if
                                         the archive is in an object store */
    int64_t inodes, inodes_free;      /* the first 0 where there are none to run out of */
} FilesState;

/* Of the archive and its catalog */
typedef struct ArchiveState {
    bool catalog; /* there is one */
    char catalog_path[PATH_ROOM];
    int64_t rows, damaged;
    uint32_t segment_size;                /* bytes; 0: not known, there is no segment that tells */
    int64_t segments, gaps, acknowledged; /* missing ranges; of these: known to be lost */
    char first_gap[2 * WAL_NAME_ROOM];    /* "FIRST..LAST" of the first that is not, or "" */
    int64_t stored;                       /* bytes */
    char first[WAL_NAME_ROOM], last[WAL_NAME_ROOM]; /* segments of the newest timeline, or "" */
    int64_t misfits;            /* segments with numbers that there are not with this size */
    int64_t ahead;              /* files that are dated in the future */
    char newest[WAL_NAME_ROOM]; /* by date, but for these; or "" */
    double newest_age;          /* seconds since its WAL was written */
    double per_hour;            /* rows of the last hour */
} ArchiveState;

/* Of the program that receives, in the words of ReceiverStatus */
typedef struct ReceiverState {
    bool installed;
    char path[PATH_ROOM], version[64];
    Answer compatible, supports_slots, synchronous;
} ReceiverState;

typedef enum Part {
    PART_FILES,
    PART_ARCHIVE,
    PART_SQL,        /* conninfo */
    PART_STREAM,     /* streaming_conninfo */
    PART_WAL_SQL,    /* wal_conninfo, where it is another server than conninfo's */
    PART_WAL_STREAM, /* wal_streaming_conninfo, the same */
    PART_RECEIVER,   /* what receives, and whether it fits the server */
    PART_STORE,      /* can a file be written into the archive? */
    PART_COUNT
} Part;

/* All in memory that is shared with the probes: no pointers in what they write. */
typedef struct ServerState {
    const Config *config;
    const ServerConfig *server;
    bool asked[PART_COUNT]; /* was there anything to ask? */
    Probe parts[PART_COUNT];
    FilesState files;
    ArchiveState archive;
    ReceiverState receiver;
    PgStatus sql, wal_sql;
    PgSystem stream, wal_stream;
    double now; /* Unix time at which everything was begun */
} ServerState;

/* Looks at the parts (a set of 1 << PART_...), at most timeout_ms; 0: no limit. That a part did not
 * answer is its own matter (parts[].outcome); <0 when nothing could be done at all, or when we are
 * told to stop. */
int state_gather(const Config *config, const ServerConfig *server, unsigned parts,
                 int64_t timeout_ms, ServerState **ret_state);

/* The same of many servers at once: the limit is that of all of them together. */
int state_gather_all(const Config *config, const ServerConfig *const *servers, size_t count,
                     unsigned parts, int64_t timeout_ms, ServerState **ret_states);
void state_free(ServerState *state);
AUTO_DEFINE(state, ServerState *, state_free)

/* Some file systems say that they have 8 EiB. */
int64_t state_percent(int64_t part, int64_t whole);

/* Has this part been asked and answered? */
bool state_has(const ServerState *state, Part part);

/* What the server says that WAL is received from, of its slot and walsender; NULL: no answer. */
const PgStatus *state_wal_status(const ServerState *state);

#endif
