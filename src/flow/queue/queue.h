/* SPDX-License-Identifier: PostgreSQL
 * What is next: of all that waits, the WAL files in the order in which they are archived, and what
 * is not WAL. And where that goes: errors/. */
#ifndef WALDEN_FLOW_QUEUE_QUEUE_H
#define WALDEN_FLOW_QUEUE_QUEUE_H

#include "base/error.h"
#include "base/str.h"

typedef struct Queue {
    char *const *files; /* WAL files in the order of archiving */
    size_t count;
    size_t waiting; /* WAL files that wait in all; more than count when the batch is limited */
    char *const *strangers; /* what is not WAL, by name */
    size_t stranger_count;
} Queue;

/* Puts both lists in order, and the files whose names are not of WAL among the others, which are
 * never WAL whatever their names. WAL files are in the order of wal_archive_order, but with
 * partials_last partial files are behind all others. The limit counts WAL files only; 0 is none.
 * The queue refers to the lists. */
void
queue_build(StrList *files, StrList *others, size_t limit, bool partials_last, Queue *ret_queue);

/* Moves `name` from a directory to errors/ (created when missing) as NAME.YYYYMMDDTHHMMSSZ.suffix;
 * when that is taken, with a later second: nothing there is ever overwritten. Durable when it
 * returns 0. QUARANTINE_GONE when the file is not there any more. */
enum { QUARANTINE_GONE = 1 };
int quarantine(const char *errors_directory, const char *from_directory, const char *name,
               const char *suffix);

#endif
