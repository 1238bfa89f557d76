/* SPDX-License-Identifier: PostgreSQL
 * The table of what should run. When a task with a period last began is the time of an empty file
 * beside the locks; not of its lock, which Barman's cron removes. */
#include "command/task.h"

#include "base/lock.h"
#include "base/log.h"

#include <fcntl.h>
#include <sys/stat.h>

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

static bool
expires(const ServerConfig *server)
{
    return server->wal_retention;
}

enum { HOUR = 3600 };

static const Task tasks[] = {
    {"archive-wal", "--follow", "WAL archiving", true, archives, 0},
    {"receive-wal", NULL, "streaming archiver", false, receives, 0},
    {"delete-wals", NULL, "WAL deletion", false, expires, HOUR},
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

static char *
stamp_path(const Config *config, const ServerConfig *server, const char *command)
{
    return mem_printf("%s/.%s-%s.last", config->barman_lock_directory, server->name, command);
}

bool
task_is_due(const Task *task, const Config *config, const ServerConfig *server)
{
    struct stat st;
    AUTO(free) char *path = stamp_path(config, server, task->command);
    if (task->period_s == 0 || stat(path, &st) < 0)
        return true;
    int64_t age = time(NULL) - st.st_mtim.tv_sec;
    return age < 0 || age >= task->period_s; /* below 0: somebody has set the clock */
}

void
task_note_run(const Config *config, const ServerConfig *server, const char *command)
{
    AUTO(free) char *path = stamp_path(config, server, command);
    AUTO(close) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || futimens(fd, NULL) < 0)
        log_warning("cannot note in '%s' when %s ran, ignoring", path, command);
}
