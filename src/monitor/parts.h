/* SPDX-License-Identifier: PostgreSQL
 * The looks behind state_gather(), for it alone: each fills its part of the state and nothing else.
 */
#ifndef WALDEN_MONITOR_PARTS_H
#define WALDEN_MONITOR_PARTS_H

#include "monitor/state.h"

/* PART_FILES */
int files_look(void *state);

/* PART_ARCHIVE, PART_STORE */
int archive_look(void *state);
int store_look(void *state);

/* Seconds since the epoch */
double time_now(void);
double time_seconds(struct timespec time);

#endif
