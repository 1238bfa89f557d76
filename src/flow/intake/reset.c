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

/* Where the server is, and the slot */
typedef struct ServerWal {
    PgSystem system;
    History history;
    uint32_t segment_size;
    char current[WAL_NAME_ROOM], restart[WAL_NAME_ROOM]; /* segments */
} ServerWal;

static int
ask_server(const ServerConfig *server, uint64_t asked_id, Arena *arena, ServerWal *ret_wal)
{
    AUTO(pg) PgConnection *connection = NULL;
    ServerWal wal = {0};
    const char *text = NULL;
    Lsn restart = 0;
    TRY(receiver_connect(server, RECEIVER_CONNECT_MS, &connection));
    TRY(pg_identify_system(connection, &wal.system));
    TRY(preflight_system(server, asked_id, &wal.system, pg_version(connection)));
    TRY(pg_segment_size(connection, &wal.segment_size));
    if (server->slot_name) {
        int result = receiver_find_slot(server, connection, &restart);
        if (result < 0)
            return result;
        if (result == 0) /* whose partial it is that would be removed */
            TRY(receiver_check_slot_free(server));
    }
    Timeline timeline = wal.system.timeline;
    if (timeline > 1)
        TRY(history_ask(connection, arena, timeline, &text, &wal.history));
    if (!restart)
        restart = wal.system.flush;
    wal_segment_name(timeline, wal.system.flush, wal.segment_size, wal.current);
    wal_segment_name(position_timeline(restart, timeline, &wal.history), restart, wal.segment_size,
                     wal.restart);
    *ret_wal = wal;
    return 0;
}

/* Does all of the segment belong to the server's past, or to its future? */
static bool
is_of_server(const ServerWal *wal, const char *file)
{
    WalName name;
    Lsn start;
    Timeline server = wal->system.timeline;
    return wal_name_parse(file, &name) && wal_segment_start(&name, wal->segment_size, &start) &&
           position_timeline(start, server, &wal->history) == name.timeline &&
           position_timeline(start + wal->segment_size - 1, server, &wal->history) == name.timeline;
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

/* The newest partial segment would be gone on from. It may be all that there is of the last commits
 * before the gap, or of a server that is gone. One from before the new position is not gone on from
 * once that has its file: it stays, and the archiver takes it. Any other is removed only if it is
 * empty, or if the server has its WAL and sends it again. */
static int
retire_partial(const ReceiverSpec *spec, const char *newest, const ServerWal *wal)
{
    struct stat st;
    AUTO(free)
    char *path = mem_printf("%s/%s", spec->server->streaming_wals_directory, newest);
    if (stat(path, &st) < 0)
        return fail_errno("stat '%s'", path);
    if (st.st_size > 0 && strncmp(newest, wal->restart, WAL_SEGMENT_LENGTH) < 0) {
        tell(spec, "Keeping %s, to be archived", path);
        return 0;
    }
    if (st.st_size > 0 && !is_of_server(wal, newest)) {
        tell(spec, "Moving %s to %s: the server may not have what it holds", path,
             spec->server->errors_directory);
        return spec->set_aside(spec->context, newest);
    }
    tell(spec, "Removing status file %s", path);
    return unlink(path) < 0 ? fail_errno("remove '%s'", path) : 0;
}

static int
fail_ahead(const ServerConfig *server, const char *newest, const ServerWal *wal)
{
    return hint(fail(ERR_DATA,
                     "The receive-wal position is ahead of PostgreSQL current WAL lsn (%s > %s)",
                     newest, wal->current),
                "if the server was set back to an earlier state, execute 'walden archive-wal %s', "
                "and move what is left in '%s' elsewhere",
                server->name, server->streaming_wals_directory);
}

int
receiver_reset(const ReceiverSpec *spec)
{
    const char *directory = spec->server->streaming_wals_directory;
    AUTO(arena) Arena *arena = arena_new();
    char newest[WAL_NAME_ROOM];
    ServerWal wal;
    uint64_t asked_id = 0;
    TRY(preflight_ask(spec, &asked_id));
    TRY(ask_server(spec->server, asked_id, arena, &wal));
    TRY(dir_make(directory));
    TRY(find_newest(directory, newest));
    int against_restart = strncmp(newest, wal.restart, WAL_SEGMENT_LENGTH);
    if (!*newest || against_restart == 0) {
        tell(spec, "Nothing to do. Position of receive-wal is aligned.");
        return 0;
    }
    if (strncmp(newest, wal.current, WAL_SEGMENT_LENGTH) > 0)
        return fail_ahead(spec->server, newest, &wal);
    if (against_restart > 0 && wal_kind(newest) == WAL_SEGMENT && is_of_server(&wal, newest)) {
        tell(spec, "Nothing to do. What the slot keeps was received up to %s.", newest);
        return 0;
    }
    AUTO(free) char *new = mem_printf("%s/%s.partial", directory, wal.restart);
    tell(spec, "Resetting receive-wal directory status");
    if (wal_kind(newest) == WAL_PARTIAL)
        TRY(retire_partial(spec, newest, &wal));
    tell(spec, "Creating status file %s", new);
    return segment_mark(directory, wal.restart);
}
