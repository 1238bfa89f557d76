/* SPDX-License-Identifier: PostgreSQL
 * A timeline's history belongs into the archive before its WAL: a recovery finds its way by them.
 * What the server answers is read before it is believed; a file that is there is never replaced.
 *
 * A timeline's number is no proof of where it comes from: two standbys that do not see each other
 * are promoted to the same one. Where their histories are the same as well, seam.c finds out. */
#include "flow/intake/histories.h"

#include "base/file.h"
#include "base/log.h"
#include "flow/intake/held.h"
#include "wal/name.h"

enum {
    GENERATIONS = 8, /* timelines that are looked for: each may be a question to the archive */
    HISTORY_MAX = 16 << 20,
};

int
history_ask(PgConnection *connection, Arena *arena, Timeline timeline, const char **ret_text,
            History *ret_history)
{
    const char *text = NULL;
    History history;
    TRY(pg_timeline_history(connection, arena, timeline, &text));
    TRY(wrap(history_parse(text, arena, &history), "history of timeline %u", timeline));
    Timeline parent = history.entries[history.count - 1].parent;
    if (parent >= timeline)
        return fail(ERR_DATA, "history of timeline %u: its parent is timeline %u", timeline,
                    parent);
    *ret_text = text;
    *ret_history = history;
    return 0;
}

static int
read_held(int fd, const char *name, Arena *arena, History *ret_history)
{
    struct stat st;
    size_t got = 0;
    if (fstat(fd, &st) < 0)
        return fail_errno("stat '%s'", name);
    if (st.st_size > HISTORY_MAX)
        return fail(ERR_DATA, "'%s' has %lld bytes", name, (long long)st.st_size);
    char *text = arena_alloc(arena, (size_t)st.st_size + 1);
    TRY(file_read(fd, text, (size_t)st.st_size, name, &got));
    text[got] = '\0';
    return wrap(history_parse(text, arena, ret_history), "'%s'", name);
}

/* How the switch number i of a history goes, "1 at 0/3000028"; "" if it has none. */
enum { SWITCH_ROOM = 48 };

static void
format_switch(const History *history, size_t i, char *ret_text)
{
    char lsn[LSN_ROOM];
    ret_text[0] = '\0';
    if (i >= history->count)
        return;
    lsn_format(history->entries[i].switch_lsn, lsn);
    snprintf(ret_text, SWITCH_ROOM, "timeline %u at %s", history->entries[i].parent, lsn);
}

/* Both are histories of this timeline. */
static int
compare(const ServerConfig *server, Timeline timeline, const History *held, const History *theirs)
{
    char ours[SWITCH_ROOM], other[SWITCH_ROOM];
    size_t count = held->count > theirs->count ? held->count : theirs->count;
    for (size_t i = 0; i < count; i++) {
        format_switch(held, i, ours);
        format_switch(theirs, i, other);
        if (strcmp(ours, other) == 0)
            continue;
        return hint(fail(ERR_DATA,
                         "two servers were promoted to timeline %u: by '%08X.history', which is "
                         "here, it comes from %s, and by this server's from %s",
                         timeline, timeline, *ours ? ours : "no more", *other ? other : "no more"),
                    "the WAL of timeline %u that is in '%s' and in the archive is another "
                    "server's: move it and its history elsewhere (and execute rebuild-xlogdb), or "
                    "receive from this server under another name; then take a base backup of it",
                    timeline, server->streaming_wals_directory);
    }
    return 0;
}

static int
check_held(const ReceiverSpec *spec, Timeline timeline, const History *theirs)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(close) int fd = -1;
    AUTO(free) char *name = mem_printf("%08X.history", timeline);
    History held;
    int result = held_open(spec, name, &fd);
    if (result != 0)
        return result;
    if (read_held(fd, name, arena, &held) < 0) {
        log_warning("server '%s': the history that is held of timeline %u is not understood: %s",
                    spec->server->name, timeline, error_last()->text);
        return HELD_NONE;
    }
    return compare(spec->server, timeline, &held, theirs);
}

int
history_check(const ReceiverSpec *spec, Timeline timeline, const History *history)
{
    size_t oldest = history->count > GENERATIONS ? history->count - GENERATIONS : 0;
    for (size_t i = history->count; i > oldest; i--) {
        /* The first i entries are the history of the timeline that came then. */
        const History part = {.count = i, .entries = history->entries};
        Timeline next = i < history->count ? history->entries[i].parent : timeline;
        int result = check_held(spec, next, &part);
        if (result != HELD_NONE)
            return result;
    }
    return 0;
}

int
history_save(const char *directory, Timeline timeline, const char *text)
{
    AUTO(free) char *name = mem_printf("%08X.history", timeline);
    AUTO(free) char *path = mem_printf("%s/%s", directory, name);
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    if (access(path, F_OK) == 0)
        return 0;
    TRY(atomic_open(directory, name, 0600, &file));
    TRY(file_write(file.fd, text, strlen(text), name));
    TRY(file_sync(file.fd, path));
    int result = atomic_publish(&file);
    return result < 0 ? result : dir_sync(directory);
}
