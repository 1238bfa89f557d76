/* SPDX-License-Identifier: PostgreSQL
 * One small file of /proc, kept open: "RAN WAITED SLICES", the first two in nanoseconds, all since
 * the thread began. A kernel that has the file but does not count says three zeros, and a thread
 * that can read it has had at least one slice. */
#include "base/cpu_wait.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static bool
read_waited(int fd, uint64_t *ret_waited_ns)
{
    char text[100], *rest;
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    if (got <= 0)
        return false;
    text[got] = '\0';
    (void)strtoull(text, &rest, 10);
    uint64_t waited_ns = strtoull(rest, &rest, 10);
    if (strtoull(rest, NULL, 10) == 0)
        return false;
    *ret_waited_ns = waited_ns;
    return true;
}

void
cpu_wait_begin(CpuWait *wait)
{
    *wait = (CpuWait){.fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC),
                      .looked_us = clock_us()};
    if (wait->fd >= 0 && !read_waited(wait->fd, &wait->waited_ns))
        cpu_wait_end(wait);
}

double
cpu_wait_share(CpuWait *wait)
{
    uint64_t before_ns = wait->waited_ns;
    int64_t before_us = wait->looked_us;
    wait->looked_us = clock_us();
    if (wait->fd < 0 || !read_waited(wait->fd, &wait->waited_ns) || wait->looked_us <= before_us)
        return -1;
    double share =
        (double)(wait->waited_ns - before_ns) / 1e3 / (double)(wait->looked_us - before_us);
    return share < 1 ? share : 1;
}

void
cpu_wait_end(CpuWait *wait)
{
    if (wait->fd >= 0)
        close(wait->fd);
    wait->fd = -1;
}
