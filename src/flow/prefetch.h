/* SPDX-License-Identifier: PostgreSQL
 * Read-ahead for recoveries: while PostgreSQL replays one segment, those that it will ask for next
 * are fetched from a slow or distant archive, several at once, into a private directory. */
#ifndef WALDEN_FLOW_PREFETCH_H
#define WALDEN_FLOW_PREFETCH_H

#include "flow/retrieve.h"

enum { PREFETCH_MAX = 256 };

/* As retrieve(), of a plain segment or history file: takes what was fetched before, waits for what
 * is being fetched, and asks the archive itself for all else; so no answer is older or weaker than
 * retrieve()'s. Then it leaves a process behind that fetches the next `ahead` segments. */
int prefetch_retrieve(const Retrieval *retrieval, size_t ahead);

/* Removes what recoveries of this server left behind that are over: nothing was fetched or taken
 * for an hour, or the machine was started again. */
int prefetch_sweep(const ServerConfig *server);

#endif
