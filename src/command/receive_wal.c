/* SPDX-License-Identifier: PostgreSQL
 * walden receive-wal SERVER: receives WAL by streaming until it is told to stop, under the server's
 * receive-wal lock, the same that Barman takes and by which either finds the process; and what is
 * to be done around it: the slot, a stop, a reset. */
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/proc.h"
#include "command/task.h"
#include "flow/intake/held.h"
#include "flow/queue/queue.h"
#include "flow/retrieve.h"
#include "flow/shipper.h"
#include "flow/xlogdb/xlogdb.h"
#include "wal/name.h"

#include <signal.h>

/* Who only wants to know whether a receiver runs takes the lock for a moment. */
enum { LOCK_WAIT_MS = 200, STOP_WAIT_MS = 10000, STOP_POLL_MS = 50, CATALOG_WAIT_MS = 2000 };

/* Bytes; what waits to be written while the disk is slow comes and goes. */
enum { KEPT_MEMORY = 32 << 20 };

enum Option { CREATE_SLOT, IF_NOT_EXISTS, DROP_SLOT, IF_EXISTS, STOP, RESET };

static const CommandOption options[] = {
    [CREATE_SLOT] = {"create-slot", "", NULL, "create the replication slot slot_name"},
    [IF_NOT_EXISTS] = {"if-not-exists", "", NULL, "with --create-slot: it may be there already"},
    [DROP_SLOT] = {"drop-slot", "", NULL, "drop the replication slot slot_name"},
    [IF_EXISTS] = {"if-exists", "", NULL, "with --drop-slot: it may be gone already"},
    [STOP] = {"stop", "", NULL, "stop the receiver that runs for this server"},
    [RESET] = {"reset", "", NULL,
               "begin again at the position of the slot, or\nof the server; what lies between is "
               "given up"},
};

typedef struct Teller {
    const Invocation *invocation;
    const ServerConfig *server;
    const char *prefix;
} Teller;

static void
tell(void *context, const char *line)
{
    const Teller *teller = context;
    report_info(teller->invocation->report, "%s%s", teller->prefix, line);
    fflush(stdout); /* it may be the last line for days */
}

typedef struct Search {
    const char *before;
    char found[WAL_NAME_ROOM];
} Search;

static int
consider(void *context, const WalFile *row)
{
    Search *search = context;
    if (wal_kind(row->name) == WAL_SEGMENT && strcmp(row->name, search->before) < 0 &&
        strcmp(row->name, search->found) > 0)
        snprintf(search->found, sizeof(search->found), "%s", row->name);
    return 0;
}

static int
find_archived(void *context, const char *before, char *ret_name)
{
    const Teller *teller = context;
    XlogDbPlace place = xlogdb_place(teller->invocation->config, teller->server);
    place.lock_wait_ms = CATALOG_WAIT_MS;
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    Search search = {.before = before};
    size_t damaged = 0;
    TRY(xlogdb_read(db, consider, &search, &damaged));
    snprintf(ret_name, WAL_NAME_ROOM, "%s", search.found);
    return 0;
}

/* A copy without a name, on the file system that must have room for a segment anyway. */
static int
open_archived(void *context, const char *name, int *ret_fd)
{
    const Teller *teller = context;
    const ServerConfig *server = teller->server;
    AUTO(atomic) AtomicFile copy = ATOMIC_NONE;
    TRY(atomic_open(server->streaming_wals_directory, name, 0600, &copy));
    const Retrieval what = {
        .config = teller->invocation->config, .server = server, .name = name, .fd = copy.fd};
    int result = retrieve(&what);
    if (result == RETRIEVE_MISSING)
        return HELD_NONE;
    TRY(result);
    if (lseek(copy.fd, 0, SEEK_SET) < 0)
        return fail_errno("read '%s' again", name);
    *ret_fd = copy.fd;
    copy.fd = -1;
    return 0;
}

static int
failed(const Invocation *invocation, const ServerConfig *server)
{
    wrap(-1, "receive-wal of server '%s'", server->name);
    report_failure(invocation->report, error_last());
    return EXIT_FAILED;
}

/* SIGINT, and patience. */
static bool
end_process(pid_t pid)
{
    if (kill(pid, SIGINT) < 0)
        return errno == ESRCH;
    for (int64_t deadline = clock_ms() + STOP_WAIT_MS; clock_ms() < deadline;) {
        if (kill(pid, 0) < 0 && errno == ESRCH)
            return true;
        clock_pause_ms(STOP_POLL_MS);
    }
    return false;
}

static int
stop(const Invocation *invocation, const ServerConfig *server)
{
    pid_t pid = 0;
    int result = task_look(invocation, server, "receive-wal", &pid);
    if (result < 0)
        return failed(invocation, server);
    if (result != TASK_RUNS || pid == 0) {
        report_error(invocation->report,
                     "Termination of receive-wal failed: no such process for server %s",
                     server->name);
        return EXIT_FAILED;
    }
    if (!end_process(pid)) {
        report_error(invocation->report, "Cannot terminate process receive-wal(%d)", (int)pid);
        return EXIT_FAILED;
    }
    report_info(invocation->report, "Stopped process receive-wal(%d)", (int)pid);
    return EXIT_DONE;
}

/* A connection for the slot named in the configuration. */
static int
connect_for_slot(const ServerConfig *server, const char *what, PgConnection **ret_connection)
{
    if (!server->slot_name)
        return fail(ERR_CONFIG,
                    "Unable to %s a physical replication slot: slot_name configuration option "
                    "required",
                    what);
    return wrap(receiver_connect(server, RECEIVER_CONNECT_MS, ret_connection),
                "Unable to %s a physical replication slot", what);
}

static int
create_slot(const Invocation *invocation, const ServerConfig *server)
{
    AUTO(pg) PgConnection *connection = NULL;
    Report *report = invocation->report;
    const char *slot = server->slot_name;
    if (connect_for_slot(server, "create", &connection) < 0) {
        report_failure(report, error_last());
        return EXIT_FAILED;
    }
    report_info(report, "Creating physical replication slot '%s' on server '%s'", slot,
                server->name);
    int result = pg_slot_create(connection, slot);
    if (result == 0) {
        report_info(report, "Replication slot '%s' created", slot);
        return EXIT_DONE;
    }
    if (result == PG_SLOT_EXISTS && invocation->options[IF_NOT_EXISTS]) {
        report_info(report, "Replication slot '%s' already exists", slot);
        return EXIT_DONE;
    }
    if (result == PG_SLOT_EXISTS)
        report_error(report, "Replication slot '%s' already exists", slot);
    else if (strcmp(pg_sqlstate(connection), "53400") == 0)
        report_error(report,
                     "All replication slots for server '%s' are in use: free one or increase the "
                     "max_replication_slots value on your PostgreSQL server",
                     server->name);
    else
        report_error(report, "Cannot create replication slot '%s' on server '%s': %s", slot,
                     server->name, error_last()->text);
    return EXIT_FAILED;
}

static int
drop_slot(const Invocation *invocation, const ServerConfig *server)
{
    AUTO(pg) PgConnection *connection = NULL;
    Report *report = invocation->report;
    const char *slot = server->slot_name;
    if (connect_for_slot(server, "drop", &connection) < 0) {
        report_failure(report, error_last());
        return EXIT_FAILED;
    }
    report_info(report, "Dropping physical replication slot '%s' on server '%s'", slot,
                server->name);
    int result = pg_slot_drop(connection, slot);
    if (result == 0) {
        report_info(report, "Replication slot '%s' dropped", slot);
        return EXIT_DONE;
    }
    if (result == PG_SLOT_MISSING && invocation->options[IF_EXISTS]) {
        report_info(report, "Replication slot '%s' does not exist", slot);
        return EXIT_DONE;
    }
    if (result == PG_SLOT_MISSING)
        report_error(report, "Replication slot '%s' does not exist", slot);
    else if (result == PG_SLOT_IN_USE)
        report_error(report,
                     "Cannot drop replication slot '%s' on server '%s' because it is in use.", slot,
                     server->name);
    else
        report_error(report, "Cannot drop replication slot '%s' on server '%s': %s", slot,
                     server->name, error_last()->text);
    return EXIT_FAILED;
}

static int
set_aside(void *context, const char *name)
{
    const ServerConfig *server = ((const Teller *)context)->server;
    int result =
        quarantine(server->errors_directory, server->streaming_wals_directory, name, "reset");
    return result < 0 ? result : 0; /* or the archiver has taken it just now */
}

static int
reset(const Invocation *invocation, const ServerConfig *server)
{
    Teller teller = {invocation, server, ""};
    ReceiverSpec spec = {
        .server = server, .tell = tell, .set_aside = set_aside, .context = &teller};
    return receiver_reset(&spec) < 0 ? failed(invocation, server) : EXIT_DONE;
}

static void
note_progress(void *context, Timeline timeline, Lsn written, uint32_t segment_size)
{
    shipper_note(context, timeline, written, segment_size);
}

static int
receive(const Invocation *invocation, const ServerConfig *server)
{
    AUTO(free) char *prefix = mem_printf("%s: ", server->name);
    Teller teller = {invocation, server, prefix};
    AUTO(shipper) Shipper *shipper = NULL;
    ReceiverSpec spec = {.server = server,
                         .tell = tell,
                         .find_archived = find_archived,
                         .open_archived = open_archived,
                         .context = &teller};
    mem_keep(KEPT_MEMORY);
    if (shipper_start(server, &shipper) < 0)
        return failed(invocation, server);
    if (shipper)
        spec.progress = note_progress, spec.progress_context = shipper;
    if (receiver_run(&spec) == 0)
        return EXIT_DONE;
    if (error_last()->class != ERR_STOPPED)
        return failed(invocation, server);
    if (stop_signal() != SIGINT)
        return 128 + stop_signal();
    report_info(invocation->report, "SIGINT received. Terminate gracefully.");
    return EXIT_DONE;
}

/* With the lock, which says that there is one receiver and which process that is. */
static int
run_locked(const Invocation *invocation, const ServerConfig *server)
{
    bool resets = invocation->options[RESET];
    AUTO(free) char *path = command_lock_path(invocation, server, "receive-wal");
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    int result = lock_take(path, LOCK_EXCLUSIVE, LOCK_WAIT_MS, &lock, &holder);
    if (result == 0)
        return resets ? reset(invocation, server) : receive(invocation, server);
    if (result == LOCK_BUSY && resets)
        report_error(invocation->report,
                     "Unable to reset the status of receive-wal for server %s. Process is still "
                     "running",
                     server->name);
    else if (result == LOCK_BUSY)
        report_error(invocation->report,
                     "Another receive-wal process is already running for server %s.", server->name);
    else
        failed(invocation, server);
    return EXIT_FAILED;
}

static int
run(const Invocation *invocation)
{
    const char *const *given = invocation->options;
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    if (!server)
        return EXIT_FAILED;
    /* What is said around the receiver is meant, and a receiver may still run. */
    bool receives = !given[STOP] && !given[CREATE_SLOT] && !given[DROP_SLOT] && !given[RESET];
    if (receives && command_skips_inactive(invocation, server))
        return EXIT_DONE;
    command_tell_overrides(invocation, server);
    if (given[STOP] && given[RESET]) {
        report_error(invocation->report, "--stop and --reset options are not compatible");
        return EXIT_FAILED;
    }
    stop_on_signals();
    if (given[STOP])
        return stop(invocation, server);
    if (given[CREATE_SLOT])
        return create_slot(invocation, server);
    if (given[DROP_SLOT])
        return drop_slot(invocation, server);
    if (!server->streaming_archiver) {
        report_error(invocation->report,
                     "Unable to start receive-wal process: streaming_archiver option set to 'off' "
                     "in barman configuration file");
        return EXIT_FAILED;
    }
    if (!given[RESET])
        report_info(invocation->report, "Starting receive-wal for server %s", server->name);
    return run_locked(invocation, server);
}

const Command command_receive_wal = {
    .name = "receive-wal",
    .arguments = "SERVER",
    .argument_min = 1,
    .argument_max = 1,
    .summary = "receive WAL by streaming replication",
    .help = "Receives the server's WAL as it is written, into the streaming directory, until\n"
            "it is told to stop (SIGINT, SIGTERM, or --stop). It goes on after the newest\n"
            "whole segment there, follows timelines, and comes again when the connection\n"
            "breaks. WAL that the server no longer has ends it with exit code 1. If\n"
            "streaming_archiver_name is in the server's synchronous_standby_names, commits\n"
            "wait until their WAL is durable here. With receiver = pg_receivewal it runs\n"
            "that program of PostgreSQL's, and ends with it.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
