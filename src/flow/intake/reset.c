/* SPDX-License-Identifier: PostgreSQL
 * receive-wal --reset, in Barman's way: for when the receiver's position is one that the server
 * cannot serve any more. It steps over WAL, so it is only done when somebody says so. Nothing is
 * removed that the server may not have any more. */
#include "base/file.h"
#include "flow/intake/histories.h"
#include "flow/intake/intake.h"
#include "flow/intake/position.h"
#include "flow/intake/preflight.h"
#include "flow/intake/segment.h"
#include "wal/name.h"

#include <stdarg.h>

/* The newest segment or partial one by name; "" if there is none. Room for WAL_NAME_ROOM. */
static int
find_newest(const char *directory, char *ret_name)
{
    AUTO(strlist) StrList files = {0}, others = {0};
    TRY(incoming_scan(directory, &files, &others));
    ret_name[0] = '\0';
    for (size_t i = 0; i < files.count; i++) {
        WalKind kind = wal_kind(files.items[i]);
        if ((kind == WAL_SEGMENT || kind == WAL_PARTIAL) && strcmp(files.items[i], ret_name) > 0)
            snprintf(ret_name, WAL_NAME_ROOM, "%s", files.items[i]);
    }
    return 0;
}

/* Names of the segments of the server's position and the slot's. Each has WAL_NAME_ROOM. */
static int
find_server_segments(const ServerConfig *server, uint64_t asked_id, char *ret_current,
                     char *ret_restart)
{
    AUTO(pg) PgConnection *connection = NULL;
    AUTO(arena) Arena *arena = arena_new();
    History history = {0};
    PgSystem system;
    const char *text = NULL;
    uint32_t size = 0;
    Lsn restart = 0;
    TRY(receiver_connect(server, RECEIVER_CONNECT_MS, &connection));
    TRY(pg_identify_system(connection, &system));
    TRY(preflight_system(server, asked_id, &system, pg_version(connection)));
    TRY(pg_segment_size(connection, &size));
    if (server->slot_name) {
        int result = receiver_find_slot(server, connection, &restart);
        if (result < 0)
            return result;
    }
    if (system.timeline > 1)
        TRY(history_ask(connection, arena, system.timeline, &text, &history));
    if (!restart)
        restart = system.flush;
    wal_segment_name(system.timeline, system.flush, size, ret_current);
    wal_segment_name(position_timeline(restart, system.timeline, &history), restart, size,
                     ret_restart);
    return 0;
}

static void tell(const ReceiverSpec *spec, const char *format, ...) PRINTF_LIKE(2, 3);

static void
tell(const ReceiverSpec *spec, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *line = mem_vprintf(format, args);
    va_end(args);
    spec->tell(spec->context, line);
}

/* The newest partial segment would be gone on from. One from before the new position is not, once
 * that has its file; and it may be all that there is of the last commits before the gap. So it
 * stays, and the archiver takes it. */
static int
retire_partial(const ReceiverSpec *spec, const char *newest, const char *restart)
{
    struct stat st;
    AUTO(free)
    char *path = mem_printf("%s/%s", spec->server->streaming_wals_directory, newest);
    if (stat(path, &st) < 0)
        return fail_errno("stat '%s'", path);
    if (st.st_size > 0 && strncmp(newest, restart, WAL_SEGMENT_LENGTH) < 0) {
        tell(spec, "Keeping %s, to be archived", path);
        return 0;
    }
    tell(spec, "Removing status file %s", path);
    return unlink(path) < 0 ? fail_errno("remove '%s'", path) : 0;
}

int
receiver_reset(const ReceiverSpec *spec)
{
    const char *directory = spec->server->streaming_wals_directory;
    char newest[WAL_NAME_ROOM], current[WAL_NAME_ROOM], restart[WAL_NAME_ROOM];
    uint64_t asked_id = 0;
    TRY(preflight_ask(spec, &asked_id));
    TRY(find_server_segments(spec->server, asked_id, current, restart));
    TRY(dir_make(directory));
    TRY(find_newest(directory, newest));
    if (!*newest || strncmp(newest, restart, WAL_SEGMENT_LENGTH) == 0) {
        tell(spec, "Nothing to do. Position of receive-wal is aligned.");
        return 0;
    }
    if (strncmp(newest, current, WAL_SEGMENT_LENGTH) > 0)
        return hint(
            fail(ERR_DATA,
                 "The receive-wal position is ahead of PostgreSQL current WAL lsn (%s > %s)",
                 newest, current),
            "if the server was set back to an earlier state, execute 'walden archive-wal %s', and "
            "move what is left in '%s' elsewhere",
            spec->server->name, directory);
    AUTO(free) char *new = mem_printf("%s/%s.partial", directory, restart);
    tell(spec, "Resetting receive-wal directory status");
    if (wal_kind(newest) == WAL_PARTIAL)
        TRY(retire_partial(spec, newest, restart));
    tell(spec, "Creating status file %s", new);
    return segment_mark(directory, restart);
}
