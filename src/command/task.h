/* SPDX-License-Identifier: PostgreSQL
 * What should always run for a server, each under a lock of its own: cron looks that it does, and
 * run keeps it running. */
#ifndef WALDEN_COMMAND_TASK_H
#define WALDEN_COMMAND_TASK_H

#include "config/config.h"

typedef struct Task {
    const char *command; /* its name, and that of its lock */
    const char *stay; /* option by which it stays when it has nothing to do; NULL: it always does */
    const char *what; /* in the words of Barman's cron */
    bool tell_running; /* does cron tell that it runs already? */
    bool (*wanted)(const ServerConfig *server);
} Task;

/* The table */
size_t task_count(void);
const Task *task_at(size_t index);

/* Should it run for this server? Not for one that is inactive or disabled. */
bool task_wanted(const Task *task, const ServerConfig *server);

#endif
