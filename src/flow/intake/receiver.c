/* SPDX-License-Identifier: PostgreSQL
 * The receiver's life: connect, make sure that it is the right cluster, find the position, stream
 * timeline after timeline, and begin again when the connection breaks. What cannot get better by
 * coming again ends it with the reason: WAL that is gone is never stepped over. */
#include "flow/intake/receiver.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"
#include "flow/intake/client.h"
#include "flow/intake/held.h"
#include "flow/intake/histories.h"
#include "flow/intake/preflight.h"
#include "flow/intake/segment.h"
#include "flow/intake/stream.h"
#include "wal/name.h"

#include <stdarg.h>

enum {
    WATCH_MS = 30000, /* between two looks at what only SQL tells */
    PAUSE_MIN_MS = 1000,
    PAUSE_MAX_MS = 30000,
    SLOT_PATIENCE_MS = 5000, /* for the walsender of a receiver that was killed */
};

typedef struct Receiver {
    const ReceiverSpec *spec;
    const ServerConfig *server;
    SyncWatch *watch;
    uint64_t asked_id; /* of the cluster that answers with SQL; 0: unknown */
    bool begun;        /* has streamed once: from now on it comes again */
    int64_t pause_ms;  /* before it comes again */
    bool disk_failed;  /* the stream's end is no matter of connections */
} Receiver;

/* What one connection knows of the server */
typedef struct Session {
    PgConnection *connection; /* NULL: closed */
    Arena *arena;
    PgSystem system;
    uint32_t segment_size;
    bool synchronous;
    History history; /* of system.timeline; empty for the first */
} Session;

static inline void
auto_session(const Session *session)
{
    if (session->connection)
        pg_close(session->connection);
    arena_free(session->arena);
}

static void tell(const Receiver *receiver, const char *format, ...) PRINTF_LIKE(2, 3);

static void
tell(const Receiver *receiver, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *line = mem_vprintf(format, args);
    va_end(args);
    log_info("server '%s': %s", receiver->server->name, line);
    receiver->spec->tell(receiver->spec->context, line);
}

/* Before the first stream only: a slot that vanishes later has taken WAL with it, and a new one
 * would hide that. */
static int
provide_slot(const Receiver *receiver, PgConnection *connection)
{
    const ServerConfig *server = receiver->server;
    Lsn restart = 0;
    if (receiver->begun || !server->slot_name)
        return 0;
    int result = receiver_find_slot(server, connection, &restart);
    if (result != PG_SLOT_MISSING)
        return result;
    if (strcmp(server->create_slot, "auto") != 0)
        return hint(fail(ERR_DATA, "replication slot '%s' doesn't exist", server->slot_name),
                    "execute 'walden receive-wal --create-slot %s', or set create_slot = auto",
                    server->name);
    tell(receiver, "Creating replication slot '%s'", server->slot_name);
    result = pg_slot_create(connection, server->slot_name);
    return result == PG_SLOT_EXISTS ? 0 : result;
}

static int
learn_timeline(const Receiver *receiver, Session *session, Timeline timeline, History *ret_history)
{
    const char *text = NULL;
    *ret_history = (History){0};
    if (timeline == 1)
        return 0;
    TRY(history_ask(session->connection, session->arena, timeline, &text, ret_history));
    TRY(history_check(receiver->spec, timeline, ret_history));
    return history_save(receiver->server->streaming_wals_directory, timeline, text);
}

/* A position is only a number, and where a partial segment is gone on from, its bytes are compared.
 * Where nothing of the segment is there yet, the one before it may be. */
static int
find_seam(const Receiver *receiver, const Session *session, const WalPosition *position,
          const History *history, Seam **ret_seam)
{
    const char *directory = receiver->server->streaming_wals_directory;
    AUTO(close) int fd = -1;
    char name[WAL_NAME_ROOM];
    uint32_t size = session->segment_size;
    if (position->lsn == 0)
        return 0;
    wal_segment_name(position->timeline, position->lsn, size, name);
    int result = segment_is_blank(directory, name);
    if (result != SEGMENT_BLANK)
        return result;
    Lsn before = position->lsn - 1;
    wal_segment_name(position_timeline(before, position->timeline, history), before, size, name);
    result = held_open(receiver->spec, name, &fd);
    if (result == 0)
        result = seam_open(fd, name, position->timeline, position->lsn, size, ret_seam);
    return result < 0 ? result : 0;
}

static int
learn_server(const Receiver *receiver, Session *session)
{
    const ServerConfig *server = receiver->server;
    const char *text = NULL;
    TRY(pg_identify_system(session->connection, &session->system));
    TRY(preflight_system(server, receiver->asked_id, &session->system,
                         pg_version(session->connection)));
    TRY(pg_segment_size(session->connection, &session->segment_size));
    TRY(receiver_is_synchronous(server, session->connection, &session->synchronous));
    if (session->system.timeline > 1)
        TRY(history_ask(session->connection, session->arena, session->system.timeline, &text,
                        &session->history));
    /* Before anything is concluded from what is held: it may be another server's. */
    return history_check(receiver->spec, session->system.timeline, &session->history);
}

/* The archive may end before the place where we begin: a slot was lost, and what had been received
 * with it. Nothing better can be done than to begin; but people must know. */
static int
tell_missing(const Receiver *receiver, uint32_t segment_size, const WalPosition *position)
{
    char begin[WAL_NAME_ROOM], end[WAL_NAME_ROOM];
    WalName archived;
    Lsn lsn = 0;
    wal_segment_name(position->timeline, position->lsn, segment_size, begin);
    TRY(receiver->spec->find_archived(receiver->spec->context, begin, end));
    if (!wal_name_parse(end, &archived) || !wal_segment_start(&archived, segment_size, &lsn) ||
        lsn + segment_size >= position->lsn)
        return 0;
    AUTO(free)
    char *line = mem_printf("receiving begins with segment %s, and the archive ends with %s: what "
                            "is between them is missing, unless it comes from archive_command; "
                            "bring it by hand, or take a new base backup",
                            begin, end);
    log_warning("server '%s': %s", receiver->server->name, line);
    receiver->spec->tell(receiver->spec->context, line);
    return 0;
}

/* Where nothing was received yet: what the slot has kept, else from now on. */
static int
position_by_server(const Receiver *receiver, const Session *session, WalPosition *ret_position)
{
    Lsn lsn = 0;
    if (receiver->server->slot_name) {
        int result = receiver_find_slot(receiver->server, session->connection, &lsn);
        if (result == PG_SLOT_MISSING)
            return fail(ERR_DATA, "replication slot '%s' doesn't exist",
                        receiver->server->slot_name);
        TRY(result);
    }
    if (lsn == 0)
        lsn = session->system.flush;
    ret_position->timeline = position_timeline(lsn, session->system.timeline, &session->history);
    ret_position->lsn = lsn - lsn % session->segment_size;
    if (receiver->spec->find_archived &&
        tell_missing(receiver, session->segment_size, ret_position) < 0) {
        TRY(stop_check());
        log_warning("server '%s': it was not found out whether WAL is missing before where "
                    "receiving begins: %s",
                    receiver->server->name, error_last()->text);
    }
    return 0;
}

/* A standby may have less than we, which came from another server. It will have more. */
static int
check_ahead(const Session *session, const WalPosition *position)
{
    if (position->timeline != session->system.timeline || position->lsn <= session->system.flush)
        return 0;
    char ours[LSN_ROOM], theirs[LSN_ROOM];
    lsn_format(position->lsn, ours);
    lsn_format(session->system.flush, theirs);
    return hint(
        fail(ERR_IO, "the server has WAL only up to %s, and %s was received already", theirs, ours),
        "is it a standby that lags, or was the server set back to an earlier state?");
}

static int
find_position(const Receiver *receiver, const Session *session, WalPosition *ret_position)
{
    const char *directory = receiver->server->streaming_wals_directory;
    /* The receiver before us may have been killed after it gave a segment its name: the server is
     * told that we have it, and then a crash of the machine must not take the name away. */
    TRY(dir_sync(directory));
    int result = position_find(directory, session->segment_size, session->system.timeline,
                               &session->history, ret_position);
    if (result == POSITION_NONE)
        return position_by_server(receiver, session, ret_position);
    if (result == POSITION_FOREIGN)
        return hint(fail(ERR_DATA,
                         "the server is on timeline %u, which does not come from the timelines of "
                         "the WAL in '%s'",
                         session->system.timeline, directory),
                    "if the server was set back, archive what is there, take a base backup and "
                    "execute 'walden receive-wal --reset %s'",
                    receiver->server->name);
    return result;
}

/* The name of what is wanted, when the server says that it does not have it. */
static int
explain(const Receiver *receiver, const Session *session, const WalPosition *from, int result)
{
    if (result >= 0)
        return result;
    if (error_last()->class == ERR_BUSY && receiver->server->slot_name)
        return wrap(result, "replication slot '%s' is already in use", receiver->server->slot_name);
    char name[WAL_NAME_ROOM];
    wal_segment_name(from->timeline, from->lsn, session->segment_size, name);
    bool final = error_last()->class == ERR_DATA && !receiver->disk_failed;
    wrap(result, "receive WAL from segment %s on", name);
    return final ? hint(result,
                        "if the server no longer has WAL from there on, the archive has a gap from "
                        "that segment: bring the missing files by hand, or take a new base "
                        "backup%s and execute 'walden receive-wal --reset %s'",
                        receiver->server->slot_name
                            ? ", drop the slot if it is lost (walden receive-wal --drop-slot)"
                            : "",
                        receiver->server->name)
                 : result;
}

/* Where a timeline begins. */
static Lsn
history_begin(const History *history)
{
    return history->count ? history->entries[history->count - 1].switch_lsn : 0;
}

/* Timeline after timeline. 0: the server closed the stream. */
static int
stream_all(Receiver *receiver, Session *session, WalPosition position)
{
    char lsn[LSN_ROOM];
    for (;;) {
        History history;
        AUTO(seam) Seam *seam = NULL;
        TRY(learn_timeline(receiver, session, position.timeline, &history));
        TRY(find_seam(receiver, session, &position, &history, &seam));
        StreamSpec spec = {.connection = session->connection,
                           .slot = receiver->server->slot_name,
                           .directory = receiver->server->streaming_wals_directory,
                           .segment_size = session->segment_size,
                           .watch = receiver->watch,
                           .from = position,
                           .begins = history_begin(&history),
                           .seam = seam,
                           .progress = receiver->spec->progress,
                           .progress_context = receiver->spec->progress_context};
        StreamResult end;
        lsn_format(position.lsn, lsn);
        tell(receiver, "starting at %s, timeline %u%s", lsn, position.timeline,
             sync_watch_get(receiver->watch) ? ", synchronous" : "");
        int64_t start_ms = clock_ms();
        int result = stream_timeline(&spec, &end);
        receiver->begun |= end.begun;
        if (end.wrote || clock_ms() - start_ms >= receiver->pause_ms)
            receiver->pause_ms = PAUSE_MIN_MS; /* the stream was worth the last pause */
        receiver->disk_failed = end.disk_failed;
        if (result != PG_STREAM_SWITCHED)
            return explain(receiver, session, &position, result);
        lsn_format(end.end.start, lsn);
        tell(receiver, "timeline %u ended at %s, going on with timeline %u", position.timeline, lsn,
             end.end.next);
        position.timeline = end.end.next;
        position.lsn = end.end.start - end.end.start % session->segment_size;
    }
}

static int
open_session(const Receiver *receiver, Session *session, WalPosition *ret_position)
{
    TRY(receiver_connect(receiver->server, RECEIVER_CONNECT_MS, &session->connection));
    TRY(learn_server(receiver, session));
    TRY(provide_slot(receiver, session->connection));
    TRY(find_position(receiver, session, ret_position));
    return check_ahead(session, ret_position);
}

/* One connection from its beginning to its end, which is a failure or (0) the server's. */
static int
receive_once(Receiver *receiver)
{
    AUTO(session) Session session = {.arena = arena_new()};
    WalPosition position;
    TRY(open_session(receiver, &session, &position));
    sync_watch_set(receiver->watch, session.synchronous);
    return stream_all(receiver, &session, position);
}

/* pg_receivewal does the rest, once it is certain that it begins where it must. */
static int
receive_by_client(const Receiver *receiver)
{
    const ServerConfig *server = receiver->server;
    AUTO(session) Session session = {.arena = arena_new()};
    WalClient client;
    WalPosition position;
    int found = client_find(server->path_prefix, session.arena, &client);
    if (found == CLIENT_NONE)
        return hint(
            fail(ERR_CONFIG, "there is no pg_receivewal that works in path_prefix and PATH"),
            "install PostgreSQL's client programs, or set receiver = walden");
    TRY(found);
    TRY(open_session(receiver, &session, &position));
    if (!client_fits(&client, pg_version(session.connection)))
        return hint(fail(ERR_UNSUPPORTED,
                         "'%s' of version %s cannot receive from a server of version %d",
                         client.path, client.version, pg_version(session.connection) / 10000),
                    "install PostgreSQL's client programs of the server's version, and lead "
                    "path_prefix to them");
    TRY(client_prepare(server->streaming_wals_directory, session.segment_size, &position));
    pg_close(take(session.connection)); /* it would hold a walsender of the server's for days */
    return client_run(receiver->spec, &client, session.synchronous);
}

/* Will it pass, so that coming again makes sense? */
static bool
passes(const Receiver *receiver, int64_t started_ms)
{
    ErrorClass class = error_last()->class;
    if (error_last()->os_error) /* our system's, not the connection's */
        return false;
    if (class == ERR_BUSY)
        return receiver->begun || clock_ms() - started_ms < SLOT_PATIENCE_MS;
    return receiver->begun && (class == ERR_IO || class == ERR_TIMEOUT);
}

static int
pause_stoppable(int64_t ms)
{
    for (int64_t end = clock_ms() + ms; clock_ms() < end;) {
        TRY(stop_check());
        clock_pause_ms(100);
    }
    return stop_check();
}

int
receiver_run(const ReceiverSpec *spec)
{
    Receiver receiver = {.spec = spec, .server = spec->server, .pause_ms = PAUSE_MIN_MS};
    int64_t started_ms = clock_ms();
    TRY(dir_make(spec->server->streaming_wals_directory));
    TRY(dir_sweep(spec->server->streaming_wals_directory));
    TRY(preflight_ask(spec, &receiver.asked_id));
    if (strcmp(spec->server->receiver, "pg_receivewal") == 0)
        return receive_by_client(&receiver);
    AUTO(sync_watch) SyncWatch *watch = NULL;
    TRY(sync_watch_start(spec->server, WATCH_MS, &watch));
    receiver.watch = watch;
    for (;;) {
        int result = receive_once(&receiver);
        if (result == 0)
            result = fail(ERR_IO, "the server closed the stream");
        if (!receiver.disk_failed) /* or what was received is not durable */
            TRY(stop_check());     /* whatever else went wrong meanwhile: wanted */
        if (!passes(&receiver, started_ms))
            return result;
        log_warning("server '%s': %s; trying again in %lld s", spec->server->name,
                    error_last()->text, (long long)receiver.pause_ms / 1000);
        TRY(pause_stoppable(receiver.pause_ms));
        receiver.pause_ms =
            receiver.pause_ms * 2 < PAUSE_MAX_MS ? receiver.pause_ms * 2 : PAUSE_MAX_MS;
    }
}
