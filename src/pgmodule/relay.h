/* SPDX-License-Identifier: PostgreSQL
 * A finished WAL file handed over to a helper program, for roads that the server's own process
 * should not go: ssh to a host with put-wal, an object store, and into an archive that is
 * compressed or encrypted. Knows nothing of the server that it runs in. */
#ifndef WALDEN_PGMODULE_RELAY_H
#define WALDEN_PGMODULE_RELAY_H

#include "base/error.h"

#include <stdbool.h>

typedef enum RelayRoad {
    RELAY_PUT_WAL,      /* by barman-wal-archive, ours or Barman's */
    RELAY_OBJECT_STORE, /* by walden cloud-wal-archive, which looks ahead in archive_status/ */
    RELAY_NONE,         /* only asked, see relay_compare */
} RelayRoad;

/* Texts may be NULL or "" where they are not needed. */
typedef struct Relay {
    RelayRoad road;
    const char *program;     /* instead of that program, found through PATH */
    const char *config_file; /* of Walden; on the other host for RELAY_PUT_WAL */
    const char *server;      /* its section there */
    const char *host;        /* for RELAY_PUT_WAL: [USER@]HOST */
    bool (*stop)(void);      /* are we to end? Asked several times a second; NULL: never */
} Relay;

/* What is missing for this road, or NULL. */
const char *relay_lacks(const Relay *relay);

/* When it returns 0, the program has said that the file at this path is safe. ERR_HOOK with its
 * last words when it has not, ERR_STOPPED when stop() said so; then it has been ended. */
int relay_file(const Relay *relay, const char *path);

/* Has the archive the contents of the file at this path under that name? By walden get-wal, which
 * knows all its codecs and keys. ERR_STOPPED as above; all other failures say why it could not be
 * found out. */
enum { RELAY_DIFFERENT = 1 };
int relay_compare(const Relay *relay, const char *name, const char *path);

#endif
