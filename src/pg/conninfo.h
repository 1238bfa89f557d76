/* SPDX-License-Identifier: PostgreSQL
 * A connection string taken apart, for connection.c only. */
#ifndef WALDEN_PG_CONNINFO_H
#define WALDEN_PG_CONNINFO_H

#include "pg/connection.h"

enum { CONNINFO_MAX = 96 }; /* libpq 18 has 50 keywords */

/* Keywords and values as PQconnectStartParams takes them, NULL behind the last. */
typedef struct Conninfo {
    size_t count;
    const char *names[CONNINFO_MAX + 1], *values[CONNINFO_MAX + 1];
    Arena *arena; /* owns the text */
} Conninfo;

/* Reads the string and adds what the kind of connection needs, and application_name unless the
 * string has one. ERR_CONFIG, without repeating any piece of the string. */
int conninfo_parse(const char *text, PgKind kind, const char *application, Arena *arena,
                   Conninfo *ret_conninfo);

/* NULL: the string does not have it. */
const char *conninfo_value(const Conninfo *conninfo, const char *name);
void conninfo_set(Conninfo *conninfo, const char *name, const char *value);

/* How long to wait for one host: its share of timeout_ms, or connect_timeout if that is less. libpq
 * itself heeds connect_timeout only when it does the waiting, which is never here. */
int64_t conninfo_host_timeout(const Conninfo *conninfo, int64_t timeout_ms);

/* Takes a host out of a list of several; false when it is the only one, or not there. */
bool conninfo_drop_host(Conninfo *conninfo, const char *host, const char *port);

#endif
