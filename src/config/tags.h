/* SPDX-License-Identifier: PostgreSQL
 * Tags of objects as the configuration has them: "KEY=VALUE, KEY=VALUE". */
#ifndef WALDEN_CONFIG_TAGS_H
#define WALDEN_CONFIG_TAGS_H

#include "base/mem.h"

/* The pairs as "KEY=VALUE" without blanks around key and value, ended by NULL; memory is the
 * arena's. NULL when the text is no such list. */
const char **tags_parse(const char *text, Arena *arena, size_t *ret_count);

#endif
