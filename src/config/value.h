/* SPDX-License-Identifier: PostgreSQL
 * The kinds of values: how each is read from text and written back. */
#ifndef WALDEN_CONFIG_VALUE_H
#define WALDEN_CONFIG_VALUE_H

#include "base/mem.h"

#include <stdbool.h>

typedef struct ValueKind {
    const char *expected; /* for "expected ..."; NULL: the option's choices */
    bool is_text;         /* the field is a const char *, NULL when not set */

    /* Text to field; false when it is no such value. Memory is the arena's. `choices` is
     * "one|two|..." or unused. */
    bool (*read)(const char *text, const char *choices, Arena *arena, void *ret_field);

    /* Field to text for people, without secrets; NULL when it is not set. */
    const char *(*write)(const void *field, Arena *arena);
} ValueKind;

extern const ValueKind value_BOOL, value_COUNT, value_SECONDS, value_TEXT, value_PATH, value_SHELL,
    value_SECRET, value_CHOICE, value_MAGIC, value_LEVEL, value_LOGLEVEL, value_CONNINFO,
    value_SLOT, value_RETENTION, value_TAGS, value_SIZE;

#endif
