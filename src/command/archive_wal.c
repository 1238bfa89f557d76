/* SPDX-License-Identifier: PostgreSQL
 * walden archive-wal SERVER: one run over incoming/ under the server's archive-wal lock, the same
 * that Barman takes. */
#include "base/lock.h"
#include "base/log.h"
#include "base/proc.h"
#include "command/command.h"
#include "flow/archive.h"

/* Who only wants to know whether an archiver runs takes the lock for a moment. */
enum { LOCK_WAIT_MS = 200 };

static void
tell_info(void *context, const char *line)
{
    report_info(context, "%s", line);
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

static int
run(const Invocation *invocation)
{
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    if (!server)
        return EXIT_FAILED;
    if (command_skips_inactive(invocation, server))
        return EXIT_DONE;

    stop_on_signals();
    AUTO(free)
    char *path = mem_printf("%s/.%s-archive-wal.lock", invocation->config->barman_lock_directory,
                            server->name);
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    int locked = lock_take(path, LOCK_EXCLUSIVE, LOCK_WAIT_MS, &lock, &holder);
    if (locked == LOCK_BUSY) {
        report_info(invocation->report,
                    "Another archive-wal process is already running on server %s. Skipping to the "
                    "next server",
                    server->name);
        return EXIT_DONE;
    }

    ArchiveSummary summary = {0};
    ArchiveObserver observer = {invocation->report, tell_info, tell_problem};
    int result = locked;
    if (result == 0)
        result = archive_server(invocation->config, server, &observer, &summary);
    if (summary.archived + summary.duplicates + summary.waiting + summary.rejected + summary.failed)
        log_info(
            "server '%s': %zu files archived (%lld bytes, stored as %lld), %zu archived before, "
            "%zu waiting, %zu moved to errors, %zu failed",
            server->name, summary.archived, (long long)summary.bytes_in,
            (long long)summary.bytes_out, summary.duplicates, summary.waiting, summary.rejected,
            summary.failed);
    if (result == 0)
        return exit_code(&summary);
    if (locked < 0)
        wrap(result, "archive-wal of server '%s'", server->name);
    report_failure(invocation->report, error_last());
    return stop_signal() ? 128 + stop_signal() : EXIT_FAILED;
}

const Command command_archive_wal = {
    .name = "archive-wal",
    .arguments = "SERVER",
    .argument_min = 1,
    .argument_max = 1,
    .summary = "archive the WAL files that wait in incoming/",
    .help = "Archives the WAL files that wait in the server's incoming directory: checks\n"
            "them, compresses them as configured, stores them durably, records them in\n"
            "xlog.db and only then removes them. What is not WAL, or differs from what is\n"
            "archived under the same name, goes to the errors directory, and the exit\n"
            "code is 1.",
    .run = run,
};
