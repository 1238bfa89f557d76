/* SPDX-License-Identifier: PostgreSQL
 * Is a server's archiving healthy? What was gathered is held against what it should be. */
#ifndef WALDEN_MONITOR_CHECK_H
#define WALDEN_MONITOR_CHECK_H

#include "monitor/state.h"

/* One check: its name in Barman's words, and what is to be known or done, or "". */
typedef struct CheckRow {
    char name[80];
    bool good;
    char hint[REASON_ROOM];
} CheckRow;

typedef void CheckTell(void *context, const CheckRow *row);

/* Calls tell for each check that applies, in Barman's order, ours last. False when one failed. The
 * state must have been asked for all parts. */
bool check_state(const ServerState *state, CheckTell *tell, void *context);

#endif
