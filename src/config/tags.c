/* SPDX-License-Identifier: PostgreSQL
 * Which characters a tag may have, and how many tags there may be, is for the store to say. */
#include "config/tags.h"

#include <string.h>

static const char blanks[] = " \t";

/* The text from `from` to `to` without blanks around it */
static const char *
trim(const char *from, const char *to, Arena *arena)
{
    from += strspn(from, blanks);
    while (to > from && strchr(blanks, to[-1]))
        to--;
    return arena_dup_part(arena, from, to > from ? (size_t)(to - from) : 0);
}

const char **
tags_parse(const char *text, Arena *arena, size_t *ret_count)
{
    size_t most = 2, count = 0;
    for (const char *comma = text; (comma = strchr(comma, ',')); comma++)
        most++;
    const char **tags = arena_alloc(arena, most * sizeof(char *));
    for (const char *end; text; text = *end ? end + 1 : NULL) {
        end = text + strcspn(text, ",");
        const char *equals = memchr(text, '=', (size_t)(end - text));
        if (!equals)
            return NULL;
        const char *key = trim(text, equals, arena);
        if (!*key)
            return NULL;
        tags[count++] = arena_printf(arena, "%s=%s", key, trim(equals + 1, end, arena));
    }
    *ret_count = count;
    return tags;
}
