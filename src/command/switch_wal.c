/* SPDX-License-Identifier: PostgreSQL
 * walden switch-wal SERVER...: has PostgreSQL close the segment that it is writing, and with
 * --archive waits until that is in the archive, by running the archivers itself as long as no other
 * process does. Never says that a segment was closed without knowing which. */
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/proc.h"
#include "command/command.h"
#include "flow/archive.h"
#include "flow/place.h"
#include "flow/xlogdb/xlogdb.h"
#include "pg/facts.h"
#include "wal/name.h"

enum {
    SERVER_TIMEOUT_MS = 30 * 1000,          /* for connecting, and each query */
    CHECKPOINT_TIMEOUT_MS = 60 * 60 * 1000, /* which may have much to write */
    ARCHIVE_PAUSE_MS = 100,
    CATALOG_WAIT_MS = 200,
};

enum Option { FORCE, ARCHIVE, TIMEOUT };

static const CommandOption options[] = {
    [FORCE] = {"force", "", NULL, "make a checkpoint first, so that there is\nsomething to switch"},
    [ARCHIVE] = {"archive", "", NULL, "wait until the closed WAL file is archived"},
    [TIMEOUT] = {"archive-timeout", "", "SECONDS", "for how long; 0: without end. Default: 30"},
};

/* One server's part of the command */
typedef struct Job {
    const Invocation *invocation;
    const ServerConfig *server;
    int64_t timeout;            /* seconds; 0: none */
    char closed[WAL_NAME_ROOM]; /* the segment that the switch has closed, or "" */
    StrList told;               /* problems of archiving; each is told once */
} Job;

static int
checkpoint(PgConnection *connection, Arena *arena, const PgFacts *facts)
{
    PgTable table;
    if (!facts->may_checkpoint)
        return hint(fail(ERR_CONFIG, "user '%s' may not make a checkpoint", facts->user),
                    "--force needs a superuser%s",
                    facts->version >= 150000 ? " or a member of pg_checkpoint" : "");
    pg_set_timeout(connection, CHECKPOINT_TIMEOUT_MS);
    TRY(pg_query(connection, arena, "CHECKPOINT", NULL, 0, &table));
    pg_set_timeout(connection, SERVER_TIMEOUT_MS);
    return 0;
}

/* pg_switch_wal() answers the end of the segment's last record, or, when nothing was written since
 * the last switch, where the segment in use begins. The last record may end where the segment does;
 * then the position before tells them apart. */
static int
close_segment(PgConnection *connection, Arena *arena, const PgFacts *before, char *ret_closed)
{
    Lsn end = 0;
    PgTable table;
    TRY(pg_query(connection, arena, "SELECT pg_catalog.pg_switch_wal()", NULL, 0, &table));
    if (table.rows != 1 || !table.values[0] || !lsn_parse(table.values[0], &end))
        return fail(ERR_DATA, "the server's answer to pg_switch_wal() is no position");
    if (end % before->segment_size != 0 || before->lsn < end)
        wal_segment_name(before->timeline, end - 1, before->segment_size, ret_closed);
    return 0;
}

static int
switch_wal(Job *job)
{
    const ServerConfig *server = job->server;
    const char *conninfo = server_primary_conninfo(server);
    AUTO(arena) Arena *arena = arena_new();
    AUTO(pg) PgConnection *connection = NULL;
    PgFacts facts;
    if (!conninfo)
        return fail(ERR_CONFIG, "'conninfo' is not set");
    TRY(pg_connect(conninfo, PG_SQL, "walden", SERVER_TIMEOUT_MS, &connection));
    TRY(pg_facts_read(connection, arena, &facts));
    if (facts.in_recovery) {
        report_info(job->invocation->report,
                    "No switch performed because server '%s' is a standby.", server->name);
        return 0;
    }
    if (!facts.may_switch)
        return hint(fail(ERR_CONFIG, "user '%s' may not call pg_switch_wal()", facts.user),
                    "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO the user");
    if (job->invocation->options[FORCE]) {
        TRY(checkpoint(connection, arena, &facts));
        TRY(pg_facts_read(connection, arena, &facts));
    }
    TRY(close_segment(connection, arena, &facts, job->closed));
    if (*job->closed)
        report_info(job->invocation->report, "The WAL file %s has been closed on server '%s'",
                    job->closed, server->name);
    else
        report_info(job->invocation->report, "No switch required for server '%s'", server->name);
    log_info("server '%s': switch-wal has closed '%s'", server->name, job->closed);
    return 0;
}

static void
tell_info(void *context, const char *line)
{
    const Job *job = context;
    report_info(job->invocation->report, "%s", line);
}

static void
tell_debug(void *context, const char *line)
{
    const Job *job = context;
    report_debug(job->invocation->report, "%s", line);
}

static void
tell_problem(void *context, const Error *error)
{
    Job *job = context;
    for (size_t i = 0; i < job->told.count; i++)
        if (strcmp(job->told.items[i], error->text) == 0)
            return;
    strlist_add(&job->told, error->text);
    report_failure(job->invocation->report, error);
}

/* One run of the archivers, unless another process is at it. */
static int
run_archivers(Job *job)
{
    const Config *config = job->invocation->config;
    AUTO(free) char *path = command_lock_path(job->invocation, job->server, "archive-wal");
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    int locked = lock_take(path, LOCK_EXCLUSIVE, 0, &lock, &holder);
    if (locked == LOCK_BUSY)
        return 0;
    TRY(locked);
    ArchiveObserver observer = {job, tell_info, tell_debug, tell_problem, true};
    ArchiveSummary summary = {0};
    AUTO(archive_kept) ArchiveKept kept = {0};
    return archive_server(config, job->server, &observer, &kept, &summary);
}

/* Is the file's line in the catalog, or with "" all that is in it, for good? Whoever writes a line
 * holds the lock until it is durable: as long as it is held, the answer is no. */
static int
find_recorded(const Job *job, const char *name, bool *ret_found)
{
    XlogDbPlace place = xlogdb_place(job->invocation->config, job->server);
    place.lock_wait_ms = CATALOG_WAIT_MS;
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    bool found = true;
    int result = xlogdb_contains(db, &name, *name ? 1 : 0, &found);
    if (result < 0)
        return error_last()->class == ERR_BUSY ? 0 : result;
    *ret_found = found;
    return 0;
}

/* Is the closed segment archived? It is there before it is durable, and recorded last. */
static int
find_closed(const Job *job, bool *ret_found)
{
    AUTO(store) Store *store = NULL;
    struct stat st;
    int result = archive_find(job->server, &store);
    if (result == 0)
        result = store_stat(store, job->closed, &st);
    return result == 0 ? find_recorded(job, job->closed, ret_found) : result < 0 ? result : 0;
}

/* The size of the catalog, which grows with whatever is archived by whoever; 0: there is none. */
static off_t
catalog_size(const Job *job)
{
    struct stat st;
    XlogDbPlace place = xlogdb_place(job->invocation->config, job->server);
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    return stat(xlogdb_path(db), &st) == 0 ? st.st_size : 0;
}

/* Until the closed segment is archived, or without one, until anything is. */
static int
await_archive(Job *job, bool *ret_found)
{
    off_t begin = catalog_size(job);
    int64_t deadline = job->timeout ? clock_ms() + job->timeout * 1000 : INT64_MAX;
    for (bool found = false;;) {
        TRY(run_archivers(job));
        if (*job->closed)
            TRY(find_closed(job, &found));
        else if (catalog_size(job) != begin)
            TRY(find_recorded(job, "", &found));
        if (found || clock_ms() >= deadline) {
            *ret_found = found;
            return 0;
        }
        stop_poll(NULL, 0, ARCHIVE_PAUSE_MS);
        TRY(stop_check());
    }
}

static void
tell_waiting(const Job *job)
{
    AUTO(str) Str limit = {0};
    if (job->timeout)
        str_appendf(&limit, " (max: %lld seconds)", (long long)job->timeout);
    if (*job->closed)
        report_info(job->invocation->report, "Waiting for the WAL file %s from server '%s'%s",
                    job->closed, job->server->name, str_text(&limit));
    else
        report_info(job->invocation->report,
                    "Waiting for a WAL file from server '%s' to be archived%s", job->server->name,
                    str_text(&limit));
}

static int
wait_archived(Job *job)
{
    bool found = false;
    tell_waiting(job);
    if (wrap(await_archive(job, &found), "switch-wal of server '%s'", job->server->name) < 0) {
        report_failure(job->invocation->report, error_last());
        return EXIT_FAILED;
    }
    if (!found && *job->closed) {
        report_error(job->invocation->report,
                     "The WAL file %s has not been received in %lld seconds", job->closed,
                     (long long)job->timeout);
        return EXIT_FAILED;
    }
    if (!found)
        report_info(job->invocation->report, "A WAL file has not been received in %lld seconds",
                    (long long)job->timeout);
    return job->told.count ? EXIT_FAILED : EXIT_DONE;
}

static int
run_server(Job *job)
{
    const ServerConfig *server = job->server;
    int result = server->disabled ? fail(ERR_CONFIG, "disabled: %s", server->messages.items[0])
                                  : switch_wal(job);
    if (wrap(result, "Unable to perform pg_switch_wal for server '%s'", server->name) < 0) {
        report_failure(job->invocation->report, error_last());
        return EXIT_FAILED;
    }
    return job->invocation->options[ARCHIVE] ? wait_archived(job) : EXIT_DONE;
}

static int
run(const Invocation *invocation)
{
    int64_t timeout = 30;
    const char *given = invocation->options[TIMEOUT];
    if (given && !int_parse(given, 0, INT32_MAX, &timeout)) {
        report_error(invocation->report, "--archive-timeout: '%s' is no number of seconds", given);
        return EXIT_USAGE;
    }
    size_t count = 0;
    int code = EXIT_DONE;
    AUTO(free) const ServerConfig **servers = command_servers(invocation, &count);
    if (!servers)
        return EXIT_FAILED;
    stop_on_signals();
    for (size_t i = 0; i < count && !stop_signal(); i++) {
        if (command_skips_inactive(invocation, servers[i]))
            continue;
        Job job = {.invocation = invocation, .server = servers[i], .timeout = timeout};
        if (run_server(&job) != EXIT_DONE)
            code = EXIT_FAILED;
        strlist_done(&job.told);
    }
    return stop_signal() ? 128 + stop_signal() : code;
}

const Command command_switch_wal = {
    .name = "switch-wal",
    .alias = "switch-xlog",
    .arguments = "SERVER...",
    .argument_min = 1,
    .argument_max = 1000,
    .summary = "have PostgreSQL close the WAL file it is writing",
    .help = "Calls pg_switch_wal() on the servers, or on \"all\", so that what was written up\n"
            "to now can be archived. Nothing happens when there is nothing to close, or on\n"
            "a standby.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
