/* SPDX-License-Identifier: PostgreSQL
 * Which archived files may be deleted. Reads and touches nothing: it is told of every row of the
 * catalog, of the timelines' histories and of Barman's backups, and then asked about names.
 *
 * The horizon is one position for each timeline; what is before it goes. It is put where somebody
 * wants it, or where the policy is met, and never behind the start of a backup that is kept, on any
 * timeline that can be reached from there. */
#ifndef WALDEN_FLOW_HORIZON_H
#define WALDEN_FLOW_HORIZON_H

#include "base/error.h"
#include "wal/history.h"
#include "wal/name.h"

#include <stdbool.h>

/* Order of segments, whatever their size: both groups of digits behind the timeline. */
typedef uint64_t WalPosition;
#define POSITION_NONE UINT64_MAX

static inline WalPosition
wal_position(const WalName *name)
{
    return (WalPosition)name->log << 32 | name->seg;
}

#define OFFSET_UNKNOWN UINT32_MAX

/* A backup of which we know: by its label in the archive, or by Barman's backup.info. */
typedef struct Backup {
    char name[WAL_NAME_ROOM]; /* of the label file, or Barman's id */
    Timeline timeline;
    WalPosition start, end;
    uint32_t offset;      /* where in the segment it starts */
    struct timespec time; /* labels: when the backup ended */
    bool standalone;      /* only start to end is kept for it, not what comes later */
    bool kept;            /* labels: the policy keeps it */
} Backup;

/* One timeline of which the catalog has files */
typedef struct Branch {
    Timeline timeline;
    WalPosition last; /* highest of its rows */
    WalPosition kept; /* lowest of what the policy keeps; POSITION_NONE: nothing */
    WalPosition cut;  /* set by the horizon: what is before may go */
    bool lives;       /* set by the horizon: has something that the policy keeps */
    History history;  /* no entries: not known, or timeline 1 */
} Branch;

typedef struct Horizon {
    Arena *arena;          /* owns what is below */
    uint32_t segment_size; /* 0: not known; then every timeline counts as reachable */
    Branch *branches;
    size_t branch_count, branch_room;
    Backup *labels;
    size_t label_count, label_room;
    const Backup *barman; /* the caller's */
    size_t barman_count;
    WalFile newest;    /* the segment that was archived last, name "" without any; always stays */
    int64_t bytes;     /* of all rows */
    WalPosition other; /* the cut of timelines of which the catalog has nothing */
} Horizon;

/* Forgets all rows; backups, segment size and arena stay. */
void horizon_clear(Horizon *horizon);

/* Another row of the catalog; kept: the policy wants to keep what is there. */
void horizon_add(Horizon *horizon, const WalFile *row, bool kept);

/* Puts it at the position for all timelines. Refused (ERR_USAGE, with the reason) when that would
 * break a backup of Barman, or one whose label is in the archive unless these are given up. */
int horizon_set(Horizon *horizon, WalPosition position, bool give_up_labels);

/* Puts it where the rows begin that are kept, and before them where the kept backups begin. window:
 * the newest backup that is not kept stays, too, so that every moment since then can be reached.
 * Without that a backup stays from which each timeline can be reached that has rows to keep, if
 * there is one. */
void horizon_fit(Horizon *horizon, bool window);

/* The label of that name, or NULL. */
const Backup *horizon_label(const Horizon *horizon, const char *name);

/* Lowest position that the policy keeps, on any timeline; POSITION_NONE. */
WalPosition horizon_lowest_kept(const Horizon *horizon);

/* May the file go? Never a history file. */
bool horizon_deletes(const Horizon *horizon, const char *name);

/* May there be files in this hash directory that may go? */
bool horizon_concerns(const Horizon *horizon, const char *hash_dir);

#endif
