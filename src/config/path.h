/* SPDX-License-Identifier: PostgreSQL
 * Paths as Python's os.path sees them. */
#ifndef WALDEN_CONFIG_PATH_H
#define WALDEN_CONFIG_PATH_H

#include "base/mem.h"

/* "~" and "~user" at the front replaced by the home directory, where there is one. */
const char *path_expand(Arena *arena, const char *path);

/* Absolute, without "." and "..", symbolic links followed as far as the path exists. */
const char *path_real(Arena *arena, const char *path);

#endif
