/* SPDX-License-Identifier: PostgreSQL
 * walden cron: to be run every minute. Starts for each server what should run and does not; who
 * runs is told by the locks, the same as Barman's. What it starts goes on after it and takes its
 * lock itself, so that whatever happens between the look and the start, nothing runs twice. It
 * never removes a lock file: a lock counts only while everybody opens the same file. */
#include "base/lock.h"
#include "base/proc.h"
#include "command/command.h"
#include "command/task.h"
#include "flow/prefetch.h"

#include <errno.h>
#include <signal.h>

/* Who only looks at a lock takes it for a moment, too. */
enum { LOCK_WAIT_MS = 200 };

enum Option { KEEP };

static const CommandOption options[] = {
    [KEEP] = {"keep-descriptors", "", NULL,
              "let what is started use our standard output\nand error"},
};

static void
tell_running(const Invocation *invocation, const ServerConfig *server, const char *task)
{
    report_info(invocation->report,
                "Another %s process is already running on server %s. Skipping to the next server",
                task, server->name);
}

static int
start(const Invocation *invocation, const ServerConfig *server, const Task *task)
{
    AUTO(free) char *program = NULL;
    TRY(proc_own_path(&program));
    const char *const argv[] = {program,      "-c", invocation->config->path, "-q", task->command,
                                server->name, NULL};
    report_info(invocation->report, "Starting %s for server %s", task->what, server->name);
    fflush(stdout); /* before what may be printed there by the other */
    return proc_detach(argv, invocation->options[KEEP] != NULL);
}

static int
start_missing(const Invocation *invocation, const ServerConfig *server)
{
    for (size_t i = 0; i < task_count(); i++) {
        const Task *task = task_at(i);
        pid_t pid = 0;
        if (!task_wanted(task, server) || !task_is_due(task, invocation->config, server))
            continue;
        int running = task_look(invocation, server, task->command, &pid);
        if (running < 0)
            return running;
        if (running != TASK_RUNS)
            TRY(start(invocation, server, task));
        else if (task->tell_running)
            tell_running(invocation, server, task->command);
    }
    return 0;
}

/* What would go on for ever is told to end when it is not wanted any more. Its end is not waited
 * for; if it has not come in a minute, it is told again. A fault in the configuration of its server
 * is no reason. */
static int
end_unwanted(const Invocation *invocation, const ServerConfig *server)
{
    for (size_t i = 0; i < task_count() && !server->disabled; i++) {
        const Task *task = task_at(i);
        pid_t pid = 0;
        if (task->stay || task_wanted(task, server))
            continue;
        int running = task_look(invocation, server, task->command, &pid);
        if (running < 0)
            return running;
        if (running != TASK_RUNS || pid == 0)
            continue;
        report_info(invocation->report, "Stopping %s for server %s (process %d)", task->what,
                    server->name, (int)pid);
        if (kill(pid, SIGINT) < 0 && errno != ESRCH)
            return fail_errno("stop %s, process %d", task->command, (int)pid);
    }
    return 0;
}

static int
look_after(const Invocation *invocation, const ServerConfig *server)
{
    AUTO(free) char *path = command_lock_path(invocation, server, "cron");
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    int locked = lock_take(path, LOCK_EXCLUSIVE, LOCK_WAIT_MS, &lock, &holder);
    if (locked == LOCK_BUSY) {
        tell_running(invocation, server, "cron");
        return 0;
    }
    TRY(locked);
    TRY(end_unwanted(invocation, server));
    TRY(prefetch_sweep(server));
    return start_missing(invocation, server);
}

static int
visit(const Invocation *invocation, const ServerConfig *server)
{
    if (command_skips_inactive(invocation, server))
        return end_unwanted(invocation, server);
    if (server->disabled) {
        report_info(invocation->report, "Skipping temporarily disabled server '%s'", server->name);
        return 0;
    }
    command_tell_overrides(invocation, server);
    return look_after(invocation, server);
}

static int
run(const Invocation *invocation)
{
    const Config *config = invocation->config;
    int code = EXIT_DONE;
    for (size_t i = 0; i < config->server_count; i++) {
        const ServerConfig *server = &config->servers[i];
        if (wrap(visit(invocation, server), "cron of server '%s'", server->name) == 0)
            continue;
        report_failure(invocation->report, error_last());
        code = EXIT_FAILED;
    }
    return code;
}

const Command command_cron = {
    .name = "cron",
    .arguments = "",
    .summary = "start what should run, for all servers",
    .help = "Starts for every active server what should run and does not: the archiving of\n"
            "the WAL that waits, the receiving of WAL, and once an hour the deletion of what\n"
            "wal_retention does not keep; a receiver that is not wanted any more is told to\n"
            "end. To be run every minute. It does not wait for what it starts; the log tells\n"
            "what became of that.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
