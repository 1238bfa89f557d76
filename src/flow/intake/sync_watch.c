/* SPDX-License-Identifier: PostgreSQL
 * The receiver's second thread: a short connection now and then, of the kind that streams: another
 * connection string may lead to another server, whose setting is none of ours. It never touches the
 * stream, and what it cannot find out it leaves as it was. */
#include "flow/intake/sync_watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "flow/intake/receiver.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { ASK_MS = 2000 };

struct SyncWatch {
    const ServerConfig *server;
    int64_t interval_ms;
    pthread_t thread;
    atomic_bool synchronous;
    pthread_mutex_t mutex;
    pthread_cond_t stop;
    bool stopping;
};

static int
ask(const ServerConfig *server, bool *ret_synchronous)
{
    AUTO(pg) PgConnection *connection = NULL;
    TRY(receiver_connect_aside(server, ASK_MS, &connection));
    return receiver_is_synchronous(server, connection, ret_synchronous);
}

/* False when it is time to end. */
static bool
pause_between(SyncWatch *watch)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + watch->interval_ms % 1000 * 1000000;
    until.tv_sec += watch->interval_ms / 1000 + nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&watch->mutex);
    while (!watch->stopping &&
           pthread_cond_timedwait(&watch->stop, &watch->mutex, &until) != ETIMEDOUT)
        continue;
    bool stopping = watch->stopping;
    pthread_mutex_unlock(&watch->mutex);
    return !stopping;
}

static void *
thread_main(void *argument)
{
    SyncWatch *watch = argument;
    const char *name = watch->server->name;
    while (pause_between(watch)) {
        bool synchronous = false;
        if (ask(watch->server, &synchronous) < 0)
            log_debug("server '%s': not asked whether it waits: %s", name, error_last()->text);
        else if (atomic_exchange(&watch->synchronous, synchronous) != synchronous)
            log_info("server '%s': %s from now on", name,
                     synchronous ? "synchronous" : "not synchronous");
    }
    return NULL;
}

static void
watch_free(SyncWatch *watch)
{
    pthread_cond_destroy(&watch->stop);
    pthread_mutex_destroy(&watch->mutex);
    free(watch);
}

int
sync_watch_start(const ServerConfig *server, int64_t interval_ms, SyncWatch **ret_watch)
{
    SyncWatch *watch = mem_alloc(sizeof(*watch));
    watch->server = server;
    watch->interval_ms = interval_ms;
    clock_condition_init(&watch->stop);
    pthread_mutex_init(&watch->mutex, NULL);
    errno = pthread_create(&watch->thread, NULL, thread_main, watch);
    if (errno) {
        int result = fail_errno("start a thread");
        watch_free(watch);
        return result;
    }
    *ret_watch = watch;
    return 0;
}

bool
sync_watch_get(SyncWatch *watch)
{
    return watch->synchronous;
}

void
sync_watch_set(SyncWatch *watch, bool synchronous)
{
    watch->synchronous = synchronous;
}

void
sync_watch_stop(SyncWatch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    watch->stopping = true;
    pthread_cond_signal(&watch->stop);
    pthread_mutex_unlock(&watch->mutex);
    pthread_join(watch->thread, NULL);
    watch_free(watch);
}
