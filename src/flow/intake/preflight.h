/* SPDX-License-Identifier: PostgreSQL
 * What is held against the server before its WAL is received. */
#ifndef WALDEN_FLOW_INTAKE_PREFLIGHT_H
#define WALDEN_FLOW_INTAKE_PREFLIGHT_H

#include "flow/intake/receiver.h"

/* Asks with SQL, where there is a connection for that: fails for what keeps WAL from being received
 * (wal_level, a server that is too old), and tells of what does not: missing privileges, or a
 * server that cannot be asked. The cluster that answered; 0: none. */
int preflight_ask(const ReceiverSpec *spec, uint64_t *ret_system_id);

/* Is it one cluster that answers with SQL (0: unknown), that streams, and whose archive this is?
 * ERR_DATA if not. */
int preflight_system(const ServerConfig *server, uint64_t asked_id, const PgSystem *system,
                     int version);

#endif
