/* SPDX-License-Identifier: PostgreSQL
 * The addresses of the hosts of a connection string, for connection.c only: libpq would wait for a
 * name server itself, for as long as that takes, within a call that nothing ends. */
#ifndef WALDEN_PG_RESOLVE_H
#define WALDEN_PG_RESOLVE_H

#include "pg/conninfo.h"

/* Looks up the names among the hosts, all at once, and adds the addresses; the names stay, as TLS
 * and the password file go by them. A name with several addresses becomes several hosts. A name
 * that has none, or not within timeout_ms, is left out; ERR_IO or ERR_TIMEOUT when no host is left.
 * Or when we are told to stop. RESOLVE_NOTHING: there was no name to look up, or the hosts come
 * from elsewhere; the string is left as it is. */
enum { RESOLVE_NOTHING = 1 };
int resolve_hosts(Conninfo *conninfo, int64_t timeout_ms);

#endif
