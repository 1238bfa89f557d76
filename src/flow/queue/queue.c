/* SPDX-License-Identifier: PostgreSQL
 * Second stage of the way of a segment: order and limit. Filtered before it is limited, so that
 * strangers never use up a batch. */
#include "flow/queue/queue.h"

#include "wal/name.h"

static int
archive_order(const void *a, const void *b)
{
    return wal_archive_order(*(const char *const *)a, *(const char *const *)b);
}

static int
partials_last_order(const void *a, const void *b)
{
    bool a_partial = wal_kind(*(const char *const *)a) == WAL_PARTIAL;
    bool b_partial = wal_kind(*(const char *const *)b) == WAL_PARTIAL;
    return a_partial != b_partial ? a_partial - b_partial : archive_order(a, b);
}

static int
byte_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
sort(StrList *list, int (*order)(const void *, const void *))
{
    if (list->count > 0)
        qsort(list->items, list->count, sizeof(char *), order);
}

void
queue_build(StrList *files, StrList *others, size_t limit, bool partials_last, Queue *ret_queue)
{
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++)
        if (wal_kind(files->items[i]) == WAL_NONE)
            strlist_own(others, files->items[i]);
        else
            files->items[kept++] = files->items[i];
    files->count = kept;
    sort(files, partials_last ? partials_last_order : archive_order);
    sort(others, byte_order);
    *ret_queue = (Queue){.files = files->items,
                         .count = limit && limit < kept ? limit : kept,
                         .waiting = kept,
                         .strangers = others->items,
                         .stranger_count = others->count};
}
