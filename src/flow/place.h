/* SPDX-License-Identifier: PostgreSQL
 * The archive of a server, as its configuration says where it is. */
#ifndef WALDEN_FLOW_PLACE_H
#define WALDEN_FLOW_PLACE_H

#include "config/config.h"
#include "flow/store/store.h"

/* For archiving: a directory is created when it is missing. */
int archive_open(const ServerConfig *server, Store **ret_store);

/* For looking: nothing is created, and STORE_MISSING when there is no such directory. */
int archive_find(const ServerConfig *server, Store **ret_store);

/* For what makes no sense without an archive: that it is missing is a failure, with advice. An
 * object store has at most limit_ms for each answer; 0: what the configuration says. */
int archive_need(const ServerConfig *server, int64_t limit_ms, Store **ret_store);

/* Where the bucket of an archive in an object store is: bucket_place. */
int archive_bucket(const ServerConfig *server, char **ret_place);

/* The failure of an archive that holds nothing, not even a catalog. */
int archive_fail_empty(const ServerConfig *server);

#endif
