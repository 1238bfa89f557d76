/* SPDX-License-Identifier: PostgreSQL
 * First stage of the way of a segment: what a receiver has left in streaming/. A receiver that
 * starts looks there for the newest segment, whole or partial, and goes on behind it; so that one
 * is never taken, whatever else is there. A partial file that is not the last was left behind by a
 * switch of the timeline, nobody writes into it any more, and it is archived under its name.
 *
 * Which partial file is the last? By name that of the latest timeline. pg_receivewal goes by
 * position first, and so on where it was when a promotion was given up: that one stays, too, since
 * it may be writing into it, and does not lock what it writes. */
#include "flow/intake/intake.h"

#include "wal/name.h"

enum { TIMELINE_DIGITS = 8, POSITION_DIGITS = 16 }; /* of a name */

/* Is `a` what a receiver would rather go on from? */
static bool
is_newer(const char *a, const char *b)
{
    WalKind a_kind = wal_kind(a), b_kind = wal_kind(b);
    bool a_position = a_kind == WAL_SEGMENT || a_kind == WAL_PARTIAL;
    bool b_position = b_kind == WAL_SEGMENT || b_kind == WAL_PARTIAL;
    return a_position != b_position ? a_position : strcmp(a, b) > 0;
}

/* Is `a`, a partial, what pg_receivewal would rather go on in? */
static bool
is_further(const char *a, const char *b)
{
    int order = strncmp(a + TIMELINE_DIGITS, b + TIMELINE_DIGITS, POSITION_DIGITS);
    return order ? order > 0 : strcmp(a, b) > 0;
}

static void
hold_back(StrList *files)
{
    const char *newest = NULL, *partial = NULL, *furthest = NULL;
    for (size_t i = 0; i < files->count; i++) {
        const char *name = files->items[i];
        WalKind kind = wal_kind(name);
        if (kind != WAL_NONE && (!newest || is_newer(name, newest)))
            newest = name;
        if (kind == WAL_PARTIAL && (!partial || is_newer(name, partial)))
            partial = name;
        if (kind == WAL_PARTIAL && (!furthest || is_further(name, furthest)))
            furthest = name;
    }
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++)
        if (files->items[i] == newest || files->items[i] == partial || files->items[i] == furthest)
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
