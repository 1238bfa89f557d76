/* SPDX-License-Identifier: PostgreSQL
 * walden archive-wal SERVER: one run over what waits, under the server's archive-wal lock, the same
 * that Barman takes. With --follow it keeps the lock, and each file that comes starts a run. */
#include "base/lock.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/watch.h"
#include "command/command.h"
#include "flow/archive.h"

/* Who only wants to know whether an archiver runs takes the lock for a moment. */
enum { LOCK_WAIT_MS = 200 };

enum Option { FOLLOW };

static const CommandOption options[] = {
    [FOLLOW] = {"follow", "", NULL,
                "stay, and archive each file as soon as it comes,\nuntil SIGTERM or SIGINT"},
};

static void
tell_info(void *context, const char *line)
{
    report_info(context, "%s", line);
}

static void
tell_debug(void *context, const char *line)
{
    report_debug(context, "%s", line);
}

static void
tell_problem(void *context, const Error *error)
{
    report_failure(context, error);
}

static int
exit_code(const ArchiveSummary *summary)
{
    return summary->failed || summary->rejected ? EXIT_FAILED : EXIT_DONE;
}

/* What the log says of one pass; of what only waits still, as before, nothing. */
static void
log_summary(const ServerConfig *server, const ArchiveSummary *summary, size_t waited)
{
    if (summary->archived + summary->duplicates + summary->rejected + summary->failed == 0 &&
        summary->waiting == waited)
        return;
    log_info("server '%s': %zu files archived (%lld bytes, stored as %lld), %zu archived before, "
             "%zu waiting, %zu moved to errors, %zu failed",
             server->name, summary->archived, (long long)summary->bytes_in,
             (long long)summary->bytes_out, summary->duplicates, summary->waiting,
             summary->rejected, summary->failed);
}

static int
run_once(const Invocation *invocation, const ServerConfig *server)
{
    ArchiveSummary summary = {0};
    ArchiveObserver observer = {invocation->report, tell_info, tell_debug, tell_problem, false};
    AUTO(archive_kept) ArchiveKept kept = {0};
    int result = archive_server(invocation->config, server, &observer, &kept, &summary);
    log_summary(server, &summary, 0);
    if (result == 0)
        return exit_code(&summary);
    report_failure(invocation->report, error_last());
    return 128 + stop_signal();
}

static void
watch_again(Watch *watch, bool *watching)
{
    bool watched = watch_refresh(watch) == 0;
    if (!watched && *watching)
        log_warning("%s; looking for files every sweep_interval only", error_last()->text);
    *watching = watched;
}

/* The pause after a pass. One that failed is not tried again before the sweep, whatever comes. */
static void
await_files(Watch *watch, const ServerConfig *server, const ArchiveSummary *summary)
{
    bool progress = summary->archived + summary->duplicates + summary->rejected > 0;
    int64_t sweep_ms = (server->sweep_interval > 0 ? server->sweep_interval : 1) * 1000;
    if (summary->failed)
        stop_poll(NULL, 0, sweep_ms);
    else if (!summary->beyond || !progress)
        watch_wait(watch, sweep_ms);
}

static int
follow(const Invocation *invocation, const ServerConfig *server)
{
    const char *directories[WATCH_MAX];
    size_t count = 0, waited = 0;
    bool watching = true;
    if (server->streaming_archiver)
        directories[count++] = server->streaming_wals_directory;
    if (server->archiver)
        directories[count++] = server->incoming_wals_directory;
    AUTO(archive_kept) ArchiveKept kept = {0};
    AUTO(watch) Watch watch;
    watch_init(&watch, directories, count);
    log_info("following server '%s'", server->name);
    while (!stop_signal()) {
        ArchiveSummary summary = {0};
        ArchiveObserver observer = {invocation->report, tell_info, tell_debug, tell_problem, true};
        watch_again(&watch, &watching);
        archive_server(invocation->config, server, &observer, &kept, &summary); /* <0: to stop */
        log_summary(server, &summary, waited);
        waited = summary.waiting;
        fflush(stdout);
        await_files(&watch, server, &summary);
    }
    log_info("signal %d ends the following of server '%s'", stop_signal(), server->name);
    return EXIT_DONE;
}

static int
tell_busy(const Invocation *invocation, const ServerConfig *server)
{
    if (invocation->options[FOLLOW]) {
        report_error(invocation->report,
                     "Another archive-wal process is already running on server %s", server->name);
        return EXIT_FAILED;
    }
    report_info(invocation->report,
                "Another archive-wal process is already running on server %s. Skipping to the "
                "next server",
                server->name);
    return EXIT_DONE;
}

static int
run(const Invocation *invocation)
{
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    if (!server)
        return EXIT_FAILED;
    if (command_skips_inactive(invocation, server))
        return EXIT_DONE;
    if (invocation->options[FOLLOW] && report_is_json(invocation->report)) {
        report_error(invocation->report,
                     "--follow cannot go with --format json, which answers once");
        return EXIT_USAGE;
    }

    stop_on_signals();
    AUTO(free) char *path = command_lock_path(invocation, server, "archive-wal");
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    int locked = lock_take(path, LOCK_EXCLUSIVE, LOCK_WAIT_MS, &lock, &holder);
    if (locked == LOCK_BUSY)
        return tell_busy(invocation, server);
    if (locked == 0)
        return invocation->options[FOLLOW] ? follow(invocation, server)
                                           : run_once(invocation, server);
    wrap(locked, "archive-wal of server '%s'", server->name);
    report_failure(invocation->report, error_last());
    return stop_signal() ? 128 + stop_signal() : EXIT_FAILED;
}

const Command command_archive_wal = {
    .name = "archive-wal",
    .arguments = "SERVER",
    .argument_min = 1,
    .argument_max = 1,
    .summary = "archive the WAL files that wait",
    .help = "Archives the WAL files that wait in the server's streaming and incoming\n"
            "directories: checks them, compresses them as configured, stores them durably,\n"
            "records them in xlog.db and only then removes them. What is not WAL, or differs\n"
            "from what is archived under its name, goes to the errors directory, and the\n"
            "exit code is 1.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
