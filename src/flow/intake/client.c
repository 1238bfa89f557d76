/* SPDX-License-Identifier: PostgreSQL
 * receiver = pg_receivewal: PostgreSQL's program receives, as it does for Barman, into the same
 * files as ours. We find it, hold its beginning against what was received, and stand by while it
 * runs; its WAL is not our business. Passwords go to it through its environment, which only its
 * owner can read, never through its arguments. */
#include "flow/intake/client.h"

#include "base/log.h"
#include "base/proc.h"
#include "flow/intake/intake.h"
#include "flow/intake/segment.h"
#include "pg/facts.h"
#include "wal/name.h"

#include <signal.h>
#include <sys/stat.h>

enum { VERSION_MS = 10000 };

bool
client_version_parse(const char *line, Arena *arena, WalClient *ret_client)
{
    const char *word = strchr(line, ' ');
    while (word && *(word += strspn(word, " ")) == '(') {
        word = strchr(word, ')');
        word = word ? word + 1 : NULL;
    }
    size_t length = word ? strcspn(word, " ") : 0;
    char *end = NULL;
    if (length == 0 || strspn(word, "0123456789") == 0)
        return false;
    long major = strtol(word, &end, 10);
    if (major < 1 || major > 1000)
        return false;
    ret_client->major = (int)major;
    ret_client->version = arena_dup_part(arena, word, length);
    return true;
}

static void
keep_first(void *context, bool is_stderr, const char *line)
{
    Str *text = context;
    if (!is_stderr && text->length == 0)
        str_append(text, line);
}

/* CLIENT_NONE when it does not answer as it should: Debian's wrapper does not without a server's
 * version to choose. */
static int
ask_version(const char *path, const char *path_prefix, Arena *arena, WalClient *ret_client)
{
    AUTO(str) Str line = {0};
    int status = 0;
    const char *const argv[] = {path, "--version", NULL};
    ProcSpec spec = {.argv = argv,
                     .path_prefix = path_prefix,
                     .stdin_fd = -1,
                     .stdout_fd = -1,
                     .on_line = keep_first,
                     .context = &line,
                     .timeout_ms = VERSION_MS};
    int result = proc_run(&spec, &status);
    TRY(stop_check());
    if (result < 0)
        log_warning("%s", error_last()->text);
    if (result < 0 || status != 0 || !client_version_parse(str_text(&line), arena, ret_client))
        return CLIENT_NONE;
    ret_client->path = arena_dup(arena, path);
    return 0;
}

int
client_find(const char *path_prefix, Arena *arena, WalClient *ret_client)
{
    static const char *const names[] = {"pg_receivewal", "pg_receivexlog"};
    const char *path = getenv("PATH");
    AUTO(free) char *all = mem_printf("%s:%s", path_prefix ? path_prefix : "", path ? path : "");
    char *rest = NULL;
    for (char *dir = strtok_r(all, ":", &rest); dir; dir = strtok_r(NULL, ":", &rest))
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            AUTO(free) char *file = mem_printf("%s/%s", dir, names[i]);
            int result = access(file, X_OK) < 0 ? CLIENT_NONE
                                                : ask_version(file, path_prefix, arena, ret_client);
            if (result != CLIENT_NONE)
                return result;
        }
    return CLIENT_NONE;
}

bool
client_fits(const WalClient *client, int server_version)
{
    return server_version / 10000 <= client->major;
}

/* Where the program would begin, found as it finds that: by the number of the segment, whatever the
 * timeline, and only then by the timeline. */
static int
find_beginning(const char *directory, uint32_t segment_size, bool *ret_found,
               WalPosition *ret_position, bool *ret_partial)
{
    AUTO(strlist) StrList files = {0}, others = {0};
    TRY(incoming_scan(directory, &files, &others));
    WalPosition best = {0}; /* start of its segment */
    bool found = false, partial = false;
    for (size_t i = 0; i < files.count; i++) {
        WalName name;
        WalPosition position;
        struct stat st;
        AUTO(free) char *path = mem_printf("%s/%s", directory, files.items[i]);
        if (!wal_name_parse(files.items[i], &name) ||
            (name.kind != WAL_SEGMENT && name.kind != WAL_PARTIAL) ||
            !wal_segment_start(&name, segment_size, &position.lsn) || stat(path, &st) < 0)
            continue;
        position.timeline = name.timeline;
        bool whole = name.kind == WAL_SEGMENT;
        bool same = found && position.lsn == best.lsn && position.timeline == best.timeline;
        if (whole && st.st_size != (off_t)segment_size)
            continue;
        if (found && !(same && whole) &&
            (position.lsn < best.lsn ||
             (position.lsn == best.lsn && position.timeline <= best.timeline)))
            continue;
        best = position;
        found = true;
        partial = !whole;
    }
    if (found && !partial)
        best.lsn += segment_size;
    *ret_found = found;
    *ret_partial = partial;
    *ret_position = best;
    return 0;
}

int
client_prepare(const char *directory, uint32_t segment_size, const WalPosition *position)
{
    WalPosition begin;
    bool found = false, partial = false;
    char name[WAL_NAME_ROOM], theirs[WAL_NAME_ROOM];
    TRY(find_beginning(directory, segment_size, &found, &begin, &partial));
    wal_segment_name(position->timeline, position->lsn, segment_size, name);
    if (found && (begin.lsn != position->lsn || begin.timeline != position->timeline)) {
        wal_segment_name(begin.timeline, begin.lsn, segment_size, theirs);
        return hint(fail(ERR_DATA,
                         "WAL is to be received from segment %s on, and by what lies in '%s' "
                         "pg_receivewal would begin with %s",
                         name, directory, theirs),
                    "receiver = walden goes on where the server's timelines lead; or move what "
                    "belongs to a timeline that was given up out of the directory");
    }
    if (!found)
        return segment_mark(directory, name);
    if (!partial)
        return 0;
    /* Opened as our own receiver opens it: filled up. */
    Segment segment;
    TRY(segment_open(directory, position->timeline, position->lsn, segment_size, 0, false,
                     &segment));
    int result = segment_sync(&segment);
    segment_close(&segment);
    return result;
}

typedef struct Listener {
    const ReceiverSpec *spec;
    char *before, *last; /* of its lines: the reason for an end, and its farewell */
} Listener;

static void
listen(void *context, bool is_stderr, const char *line)
{
    Listener *listener = context;
    log_info("server '%s': %s", listener->spec->server->name, line);
    listener->spec->tell(listener->spec->context, line);
    if (!is_stderr)
        return;
    free(listener->before);
    listener->before = listener->last;
    listener->last = mem_dup(line);
}

static int
judge(const WalClient *client, int status, const Listener *listener)
{
    if (status == 0)
        return 0;
    char text[PROC_STATUS_ROOM];
    proc_status_format(status, text);
    return fail(ERR_IO, "'%s' ended with %s%s%s%s%s", client->path, text,
                listener->before ? ": " : "", listener->before ? listener->before : "",
                listener->last ? ": " : "", listener->last ? listener->last : "");
}

int
client_run(const ReceiverSpec *spec, const WalClient *client, bool synchronous)
{
    const ServerConfig *server = spec->server;
    AUTO(arena) Arena *arena = arena_new();
    AUTO(strlist) StrList env = {0};
    const char *conninfo = NULL, *argv[16];
    int status = 0;
    size_t count = 0;
    TRY(hint(pg_conninfo_export(server_wal_streaming_conninfo(server), PG_REPLICATION,
                                server->streaming_archiver_name, RECEIVER_CONNECT_MS, arena,
                                &conninfo, &env),
             "with receiver = walden it need not be handed to another program"));
    argv[count++] = client->path;
    argv[count++] = arena_printf(arena, "--dbname=%s", conninfo);
    argv[count++] = "--verbose";
    argv[count++] = "--no-loop";
    argv[count++] = "--no-password";
    argv[count++] = arena_printf(arena, "--directory=%s", server->streaming_wals_directory);
    if (server->slot_name)
        argv[count++] = arena_printf(arena, "--slot=%s", server->slot_name);
    if (synchronous)
        argv[count++] = "--synchronous";
    argv[count] = NULL;
    /* It always gets SIGINT, on which it syncs what it has and tells the server; before version 16
     * it does not know SIGTERM. */
    Listener listener = {.spec = spec};
    ProcSpec run = {.argv = argv,
                    .env = &env,
                    .path_prefix = server->path_prefix,
                    .stdin_fd = -1,
                    .stdout_fd = -1,
                    .on_line = listen,
                    .context = &listener,
                    .end_signal = SIGINT,
                    .tied = true};
    int result = proc_run(&run, &status);
    if (result == 0)
        result = stop_check();
    if (result == 0)
        result = judge(client, status, &listener);
    free(listener.before);
    free(listener.last);
    return result;
}
