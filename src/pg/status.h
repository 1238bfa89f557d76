/* SPDX-License-Identifier: PostgreSQL
 * What a server says of its archiving and of its WAL, for people and for monitoring. */
#ifndef WALDEN_PG_STATUS_H
#define WALDEN_PG_STATUS_H

#include "pg/connection.h"

typedef enum PgStatusKey {
#define STATUS(key, name, type, expression) PG_STATUS_##key,
#include "pg/status.def"
#undef STATUS
    PG_STATUS_COUNT
} PgStatusKey;

/* PG_TIME: seconds since the epoch */
typedef enum PgStatusType { PG_TEXT, PG_INTEGER, PG_NUMBER, PG_TIME, PG_BOOL } PgStatusType;

/* No pointers inside, so that it can be handed from one process to another. */
enum { PG_STATUS_ROOM = 1024 };
typedef struct PgStatus {
    bool known[PG_STATUS_COUNT]; /* false: SQL's NULL, or not known to this version */
    char text[PG_STATUS_COUNT][PG_STATUS_ROOM];
} PgStatus;

/* Its name in show-servers, which is Barman's, and its type. */
const char *pg_status_name(PgStatusKey key);
PgStatusType pg_status_type(PgStatusKey key);

/* The value, or NULL when it is not known. */
const char *pg_status_text(const PgStatus *status, PgStatusKey key);

/* The value as a number; fallback when it is not known. */
int64_t pg_status_integer(const PgStatus *status, PgStatusKey key, int64_t fallback);

/* True for SQL's true. */
bool pg_status_is(const PgStatus *status, PgStatusKey key);

/* Everything of one moment, in one query. slot and application (of the receiver) may be NULL. */
int pg_status_read(PgConnection *connection, const char *slot, const char *application,
                   PgStatus *ret_status);

#endif
