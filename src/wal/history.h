/* SPDX-License-Identifier: PostgreSQL
 * Timeline history files (PostgreSQL's access/timeline.c): one line for each ancestor, "parent TLI,
 * switch LSN, reason". */
#ifndef WALDEN_WAL_HISTORY_H
#define WALDEN_WAL_HISTORY_H

#include "base/mem.h"
#include "wal/wal.h"

typedef struct HistoryEntry {
    Timeline parent;
    Lsn switch_lsn; /* first byte that is not of the parent any more */
    const char *reason;
} HistoryEntry;

typedef struct History {
    size_t count;
    HistoryEntry *entries; /* oldest ancestor first */
} History;

/* Parses the text of a history file; memory is the arena's. ERR_DATA names the line. Blank lines
 * and comments (#) are passed over; the reason is optional, as PostgreSQL itself reads it. */
int history_parse(const char *text, Arena *arena, History *ret_history);

#endif
