/* SPDX-License-Identifier: PostgreSQL
 * Archiving straight from pg_wal/ into an object store, for an archive_command that is called for
 * one file at a time: those that it will be called for next are archived along with it. */
#ifndef WALDEN_FLOW_AHEAD_H
#define WALDEN_FLOW_AHEAD_H

#include "flow/deposit.h"

enum { AHEAD_MAX = 64 };

/* Archives the file at path. Unless it was archived ahead of time and has not changed since, this
 * takes `parallel` files at once: the others are the next that have a .ready file in
 * archive_status/ beside it. What becomes of those changes nothing for this one. 0 when it is
 * durable in the store, verified; DEPOSIT_DIFFERENT when other content is there under its name. */
int ahead_archive(const ServerConfig *server, const char *path, size_t parallel);

#endif
