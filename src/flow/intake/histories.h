/* SPDX-License-Identifier: PostgreSQL
 * History files of timelines, from the server into streaming/. */
#ifndef WALDEN_FLOW_INTAKE_HISTORIES_H
#define WALDEN_FLOW_INTAKE_HISTORIES_H

#include "pg/replication.h"
#include "wal/history.h"

/* Asks the server for a timeline's history; not for that of the first, which has none. ERR_DATA if
 * it makes no sense. Memory is the arena's. */
int history_ask(PgConnection *connection, Arena *arena, Timeline timeline, const char **ret_text,
                History *ret_history);

/* Makes it a file of the directory, durably, unless there is one already. */
int history_save(const char *directory, Timeline timeline, const char *text);

#endif
