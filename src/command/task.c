/* SPDX-License-Identifier: PostgreSQL
 * The table of what should always run. */
#include "command/task.h"

#include "base/lock.h"

/* Who only looks at a lock takes it for a moment, too. */
enum { LOOK_MS = 200 };

static bool
archives(const ServerConfig *server)
{
    return server->archiver || server->streaming_archiver;
}

static bool
receives(const ServerConfig *server)
{
    return server->streaming_archiver;
}

static const Task tasks[] = {
    {"archive-wal", "--follow", "WAL archiving", true, archives},
    {"receive-wal", NULL, "streaming archiver", false, receives},
};

size_t
task_count(void)
{
    return COUNT_OF(tasks);
}

const Task *
task_at(size_t index)
{
    return &tasks[index];
}

/* Only shared, so that the pid in the lock file stays that of the last one who did the work. */
int
task_look(const Invocation *invocation, const ServerConfig *server, const char *command,
          pid_t *ret_pid)
{
    AUTO(free) char *path = command_lock_path(invocation, server, command);
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    int taken = lock_take(path, LOCK_SHARED, LOOK_MS, &lock, &holder);
    if (taken < 0)
        return taken;
    *ret_pid = taken == LOCK_BUSY ? holder : 0;
    return taken == LOCK_BUSY ? TASK_RUNS : 0;
}

bool
task_wanted(const Task *task, const ServerConfig *server)
{
    return server->active && !server->disabled && command_find(task->command) &&
           task->wanted(server);
}
