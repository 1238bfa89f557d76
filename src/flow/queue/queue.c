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
byte_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void
queue_build(const char **names, size_t count, size_t limit, QueueIsFile *is_file, Queue *ret_queue)
{
    size_t files = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = names[i];
        if (!is_file(name) || wal_kind(name) == WAL_NONE)
            continue;
        names[i] = names[files];
        names[files++] = name;
    }
    if (files)
        qsort(names, files, sizeof(*names), archive_order);
    if (count > files)
        qsort(names + files, count - files, sizeof(*names), byte_order);
    *ret_queue = (Queue){.files = names,
                         .count = limit && limit < files ? limit : files,
                         .waiting = files,
                         .strangers = names + files,
                         .stranger_count = count - files};
}
