/* SPDX-License-Identifier: PostgreSQL
 * inotify over a few directories. A watch belongs to the directory and not to its path, so each
 * refresh asks again what the paths lead to. Removals are not listened to: whoever takes files away
 * would wake himself. */
#include "base/watch.h"

#include "base/clock.h"
#include "base/proc.h"

#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { EVENTS = IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR };

void
watch_init(Watch *watch, const char *const *paths, size_t count)
{
    assert(count <= WATCH_MAX);
    *watch = (Watch){.fd = -1, .count = count};
    for (size_t i = 0; i < count; i++) {
        watch->paths[i] = paths[i];
        watch->ids[i] = -1;
    }
}

void
watch_done(Watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

int
watch_refresh(Watch *watch)
{
    int result = 0;
    if (watch->fd < 0)
        watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0)
        return fail_errno("watch directories");
    for (size_t i = 0; i < watch->count; i++) {
        int id = inotify_add_watch(watch->fd, watch->paths[i], EVENTS);
        if (id < 0 && errno != ENOENT)
            result = fail_errno("watch directory '%s'", watch->paths[i]);
        if (watch->ids[i] >= 0 && watch->ids[i] != id)
            inotify_rm_watch(watch->fd, watch->ids[i]); /* fails when the directory is gone */
        watch->ids[i] = id;
    }
    return result;
}

/* Takes all events that there are. The end of a watch is none of them, it would wake for nothing
 * after each replaced directory. */
static bool
take_events(const Watch *watch)
{
    _Alignas(struct inotify_event) char buffer[16 << 10];
    bool woken = false;
    for (ssize_t got; (got = read(watch->fd, buffer, sizeof(buffer))) > 0;)
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const struct inotify_event *)(buffer + at);
            woken = woken || !(event->mask & IN_IGNORED);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    return woken;
}

int
watch_wait(Watch *watch, int64_t timeout_ms)
{
    int64_t deadline = clock_ms() + timeout_ms;
    for (int64_t left = timeout_ms; left > 0 && !stop_signal(); left = deadline - clock_ms()) {
        struct pollfd polled = {.fd = watch->fd, .events = POLLIN};
        if (stop_poll(&polled, 1, left) > 0 && take_events(watch))
            return WATCH_WOKEN;
    }
    return 0;
}
