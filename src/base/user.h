/* SPDX-License-Identifier: PostgreSQL
 * Which account this process runs as. */
#ifndef WALDEN_BASE_USER_H
#define WALDEN_BASE_USER_H

#include "base/error.h"

#include <stdbool.h>

/* Root becomes the named account (groups, ids, HOME), as Barman does, so that files of the archive
 * never belong to root. Somebody else who is not that account gets ERR_CONFIG when must_be is set,
 * and goes on as he is when not. An account that does not exist: ERR_CONFIG when must_be is set. */
int user_become(const char *name, bool must_be);

#endif
