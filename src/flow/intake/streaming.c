/* SPDX-License-Identifier: PostgreSQL
 * First stage of the way of a segment: what a receiver has left in streaming/. A receiver that
 * starts looks there for the newest segment, whole or partial, and goes on behind it; so that one
 * is never taken, whatever else is there. A partial file that is not the last was left behind by a
 * switch of the timeline, nobody writes into it any more, and it is archived under its name. */
#include "flow/intake/intake.h"

#include "wal/name.h"

/* Is `a` what a receiver would rather go on from? */
static bool
is_newer(const char *a, const char *b)
{
    WalKind a_kind = wal_kind(a), b_kind = wal_kind(b);
    bool a_position = a_kind == WAL_SEGMENT || a_kind == WAL_PARTIAL;
    bool b_position = b_kind == WAL_SEGMENT || b_kind == WAL_PARTIAL;
    return a_position != b_position ? a_position : strcmp(a, b) > 0;
}

static void
hold_back(StrList *files)
{
    const char *newest = NULL, *partial = NULL;
    for (size_t i = 0; i < files->count; i++) {
        const char *name = files->items[i];
        WalKind kind = wal_kind(name);
        if (kind != WAL_NONE && (!newest || is_newer(name, newest)))
            newest = name;
        if (kind == WAL_PARTIAL && (!partial || is_newer(name, partial)))
            partial = name;
    }
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++)
        if (files->items[i] == newest || files->items[i] == partial)
            free(files->items[i]);
        else
            files->items[kept++] = files->items[i];
    files->count = kept;
}

int
streaming_scan(const char *directory, StrList *files, StrList *others)
{
    TRY(incoming_scan(directory, files, others));
    hold_back(files);
    return 0;
}
