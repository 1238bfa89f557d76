/* SPDX-License-Identifier: PostgreSQL
 * History files of timelines, from the server into streaming/. */
#ifndef WALDEN_FLOW_INTAKE_HISTORIES_H
#define WALDEN_FLOW_INTAKE_HISTORIES_H

#include "flow/intake/receiver.h"
#include "wal/history.h"

/* Asks the server for a timeline's history; not for that of the first, which has none. ERR_DATA if
 * it makes no sense. Memory is the arena's. */
int history_ask(PgConnection *connection, Arena *arena, Timeline timeline, const char **ret_text,
                History *ret_history);

/* Is it the history that is held of this timeline, or of its newest ancestor of which one is held?
 * ERR_DATA if not: then timelines of the same number are of two servers. Looks for that of a few
 * ancestors only. What is held of one whose file cannot be understood is told, and passed over. */
int history_check(const ReceiverSpec *spec, Timeline timeline, const History *history);

/* Makes it a file of the directory, durably, unless there is one already. */
int history_save(const char *directory, Timeline timeline, const char *text);

#endif
