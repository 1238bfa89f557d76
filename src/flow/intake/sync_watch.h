/* SPDX-License-Identifier: PostgreSQL
 * Does the server wait for us? Nothing in the stream tells when synchronous_standby_names changes.
 */
#ifndef WALDEN_FLOW_INTAKE_SYNC_WATCH_H
#define WALDEN_FLOW_INTAKE_SYNC_WATCH_H

#include "config/config.h"

typedef struct SyncWatch SyncWatch;

/* Asks again and again, from a thread, so that receiving never waits for the answer. */
int sync_watch_start(const ServerConfig *server, int64_t interval_ms, SyncWatch **ret_watch);

/* The last answer; or what somebody else has heard since. No answer changes nothing. */
bool sync_watch_get(SyncWatch *watch);
void sync_watch_set(SyncWatch *watch, bool synchronous);

/* Ends and frees; waits for a question that is being asked. */
void sync_watch_stop(SyncWatch *watch);

AUTO_DEFINE(sync_watch, SyncWatch *, sync_watch_stop)

#endif
