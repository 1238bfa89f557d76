/* SPDX-License-Identifier: PostgreSQL
 * The table of what should always run. */
#include "command/task.h"

#include "command/command.h"

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

bool
task_wanted(const Task *task, const ServerConfig *server)
{
    return server->active && !server->disabled && command_find(task->command) &&
           task->wanted(server);
}
