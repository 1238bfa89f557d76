/* SPDX-License-Identifier: PostgreSQL
 * walden cron: to be run every minute. Starts for each server what should run and does not; who
 * runs is told by the locks, the same as Barman's. What it starts goes on after it and takes its
 * lock itself, so that whatever happens between the look and the start, nothing runs twice. It
 * never removes a lock file: a lock counts only while everybody opens the same file. */
#include "base/lock.h"
#include "base/proc.h"
#include "command/command.h"
#include "command/task.h"

/* Who only looks at a lock takes it for a moment, too. */
enum { LOCK_WAIT_MS = 200 };

enum Option { KEEP };

static const CommandOption options[] = {
    [KEEP] = {"keep-descriptors", "", NULL,
              "let what is started use our standard output\nand error"},
};

static int
take_lock(const Invocation *invocation, const ServerConfig *server, const char *task, LockKind kind,
          Lock *ret_lock)
{
    pid_t holder = 0;
    AUTO(free) char *path = command_lock_path(invocation, server, task);
    return lock_take(path, kind, LOCK_WAIT_MS, ret_lock, &holder);
}

static void
tell_running(const Invocation *invocation, const ServerConfig *server, const char *task)
{
    report_info(invocation->report,
                "Another %s process is already running on server %s. Skipping to the next server",
                task, server->name);
}

/* Only shared, so that the pid in the lock file stays that of the last one who did the work. */
static int
is_running(const Invocation *invocation, const ServerConfig *server, const Task *task,
           bool *ret_running)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    int taken = take_lock(invocation, server, task->command, LOCK_SHARED, &lock);
    *ret_running = taken == LOCK_BUSY;
    return taken < 0 ? taken : 0;
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
        bool running = false;
        if (!task_wanted(task, server) || !task_is_due(task, invocation->config, server))
            continue;
        TRY(is_running(invocation, server, task, &running));
        if (!running)
            TRY(start(invocation, server, task));
        else if (task->tell_running)
            tell_running(invocation, server, task->command);
    }
    return 0;
}

static int
look_after(const Invocation *invocation, const ServerConfig *server)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    int locked = take_lock(invocation, server, "cron", LOCK_EXCLUSIVE, &lock);
    if (locked == LOCK_BUSY) {
        tell_running(invocation, server, "cron");
        return 0;
    }
    TRY(locked);
    return start_missing(invocation, server);
}

static int
run(const Invocation *invocation)
{
    const Config *config = invocation->config;
    int code = EXIT_DONE;
    for (size_t i = 0; i < config->server_count; i++) {
        const ServerConfig *server = &config->servers[i];
        if (command_skips_inactive(invocation, server))
            continue;
        if (server->disabled) {
            report_info(invocation->report, "Skipping temporarily disabled server '%s'",
                        server->name);
            continue;
        }
        int result = look_after(invocation, server);
        if (result == 0)
            continue;
        wrap(result, "cron of server '%s'", server->name);
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
            "wal_retention does not keep. To be run every minute. It does not wait for what\n"
            "it starts; the log tells what became of that.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
