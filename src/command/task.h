/* SPDX-License-Identifier: PostgreSQL
 * What should run for a server, always or now and then, each under a lock of its own: cron looks
 * that it does, and run keeps it running, or starts it again when its time has come. */
#ifndef WALDEN_COMMAND_TASK_H
#define WALDEN_COMMAND_TASK_H

#include "command/command.h"

#include <sys/types.h>

typedef struct Task {
    const char *command; /* its name, and that of its lock */
    const char *stay; /* option by which it stays when it has nothing to do; NULL: it always does */
    const char *what; /* in the words of Barman's cron */
    bool tell_running; /* does cron tell that it runs already? */
    bool (*wanted)(const ServerConfig *server);
    int64_t period_s; /* it ends, and is to run again after so long; 0: it runs always */
} Task;

/* The table */
size_t task_count(void);
const Task *task_at(size_t index);

/* Who does the task (by its command) for the server now? It runs as long as it has its lock.
 * *ret_pid: 0 when nobody does, or the process is not known. TASK_RUNS or 0. */
enum { TASK_RUNS = 1 };
int task_look(const Invocation *invocation, const ServerConfig *server, const char *command,
              pid_t *ret_pid);

/* Should it run for this server? Not for one that is inactive or disabled. */
bool task_wanted(const Task *task, const ServerConfig *server);

/* A task with a period: has its time come, by when it last began? So for every other. */
bool task_is_due(const Task *task, const Config *config, const ServerConfig *server);

/* The task that runs under this command's name begins now. That cannot be noted is only logged. */
void task_note_run(const Config *config, const ServerConfig *server, const char *command);

#endif
