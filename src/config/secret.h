/* SPDX-License-Identifier: PostgreSQL
 * Connection strings without their passwords, for people. */
#ifndef WALDEN_CONFIG_SECRET_H
#define WALDEN_CONFIG_SECRET_H

#include "base/mem.h"

/* The connection string with "*REDACTED*" in the place of each password; memory is the arena's.
 * From where it cannot be read as keywords or a URI, all is replaced. */
const char *conninfo_redact(const char *conninfo, Arena *arena);

#endif
