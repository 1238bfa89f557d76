/* SPDX-License-Identifier: PostgreSQL
 * The other half of the preloaded library: time that a test moves on, so that what happens after a
 * minute of silence can be tested in no time and without luck.
 *
 *   WALDEN_FAULT_CLOCK   a file with a number of milliseconds (64 bits, our byte order) by which
 *                        the monotonic clock is ahead; whoever has it open may change it
 *
 * With it, sleeping takes no time either: the clock goes forward instead. Waiting for descriptors
 * takes real time, but notices when the clock has passed its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { SECOND = 1000000000, LOOK_NS = 5000000, NAP_NS = 1000000 };

static const volatile int64_t *ahead_ms; /* NULL: time is as it is */
static atomic_llong slept_ns;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
open_clock(void)
{
    const char *path = getenv("WALDEN_FAULT_CLOCK");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    void *memory =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*ahead_ms), PROT_READ, MAP_SHARED, fd, 0);
    ahead_ms = memory == MAP_FAILED ? NULL : memory;
}

static int64_t
nanoseconds(const struct timespec *time)
{
    return (int64_t)time->tv_sec * SECOND + time->tv_nsec;
}

EXPORT int
clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    pthread_once(&once, open_clock);
    int result = (int)syscall(SYS_clock_gettime, clock, ret_time);
    if (result < 0 || clock != CLOCK_MONOTONIC || !ahead_ms)
        return result;
    int64_t now = nanoseconds(ret_time) + *ahead_ms * 1000000 + atomic_load(&slept_ns);
    *ret_time = (struct timespec){.tv_sec = now / SECOND, .tv_nsec = now % SECOND};
    return 0;
}

static int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return nanoseconds(&now);
}

EXPORT int
nanosleep(const struct timespec *time, struct timespec *ret_left)
{
    pthread_once(&once, open_clock);
    if (!ahead_ms)
        return (int)syscall(SYS_nanosleep, time, ret_left);
    struct timespec nap = {.tv_nsec = NAP_NS};
    atomic_fetch_add(&slept_ns, nanoseconds(time));
    return (int)syscall(SYS_nanosleep, &nap, NULL);
}

EXPORT int
ppoll(struct pollfd *polls, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    pthread_once(&once, open_clock);
    int64_t end = timeout && ahead_ms ? now_ns() + nanoseconds(timeout) : INT64_MAX;
    for (;;) {
        struct timespec part = timeout ? *timeout : (struct timespec){0};
        int64_t left = end == INT64_MAX ? 0 : end - now_ns();
        if (end != INT64_MAX)
            part = (struct timespec){.tv_nsec = left <= 0 ? 0 : left < LOOK_NS ? left : LOOK_NS};
        /* The size is that of the kernel's signal set. */
        int ready = (int)syscall(SYS_ppoll, polls, count, timeout ? &part : NULL, mask, _NSIG / 8);
        if (ready != 0 || end == INT64_MAX || left <= 0)
            return ready;
    }
}

EXPORT int
poll(struct pollfd *polls, nfds_t count, int timeout_ms)
{
    struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                               .tv_nsec = timeout_ms % 1000 * 1000000L};
    return ppoll(polls, count, timeout_ms < 0 ? NULL : &timeout, NULL);
}
