/* SPDX-License-Identifier: PostgreSQL
 * The archive as far as it can be seen where PostgreSQL runs: identity.json and wals/ beside
 * incoming/, as in a Barman home. Knows names and headers, changes nothing. */
#ifndef WALDEN_PGMODULE_BESIDE_H
#define WALDEN_PGMODULE_BESIDE_H

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

typedef struct Beside {
    char directory[PATH_MAX]; /* in which incoming/ is */
    uint64_t cluster;         /* whose files we bring: its system identifier, 0: not known */
    uint64_t owner;           /* whose archive it is, by identity.json; 0: not known */
    struct stat identity;     /* that file as it was when it was read */
    char notice[sizeof(((Error *)0)->text)]; /* what could not be found out, or empty */
} Beside;

/* Where from now on: the path of incoming/. Keeps the cluster. */
void beside_of(const char *incoming, Beside *beside);

/* May the file `path` be there under this name? ERR_DATA when it is not what its name says, or of
 * another cluster than the archive. */
int beside_admits(Beside *beside, const char *name, const char *path);

/* Is something archived under the name? *ret_path says where, with room for PATH_MAX bytes. */
bool beside_has(const Beside *beside, const char *name, char *ret_path);

/* Does the archived file hold WAL as it is, so that other bytes are other contents? */
bool beside_is_plain(const char *path, const char *name);

#endif
