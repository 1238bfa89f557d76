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

/* Parses the text of a history file; memory is the arena's. Blank lines and comments (#) are passed
 * over; the reason is optional ("" then), as PostgreSQL itself reads it. ERR_DATA names the line
 * that cannot be read, or whose timeline is not greater than the one before. A file without any
 * entry is ERR_DATA too: the server writes none such. */
int history_parse(const char *text, Arena *arena, History *ret_history);

#endif
