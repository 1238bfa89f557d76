/* SPDX-License-Identifier: PostgreSQL
 * How WAL arrives: what waits in a directory, found by reading it once. */
#ifndef WALDEN_FLOW_INTAKE_INTAKE_H
#define WALDEN_FLOW_INTAKE_INTAKE_H

#include "base/error.h"
#include "base/mem.h"

#include <stdbool.h>

/* Names are kept with a mark before them, see found_is_file: one allocation a name, since a million
 * may wait. */
typedef struct Found {
    const char **names; /* in directory order; memory is the arena's */
    size_t count;
    size_t room;
} Found;

/* Everything in incoming/ but dot-files and *.tmp, which are still being made. A missing directory
 * is an empty one: whoever puts WAL there creates it. */
int incoming_scan(const char *directory, Arena *arena, Found *ret_found);

/* True for a regular file; false for a directory, a symbolic link or anything else. */
bool found_is_file(const char *name);

/* Frees the array of names; the names themselves go with the arena. */
void found_done(Found *found);

#endif
