/* SPDX-License-Identifier: PostgreSQL */
#include "base/cpu_wait.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* The file is "RUN WAITED SLICES", the first two in nanoseconds. */
static bool
read_waited(int fd, uint64_t *ret_waited_ns)
{
    char text[100], *end;
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    if (got <= 0)
        return false;
    text[got] = '\0';
    (void)strtoull(text, &end, 10);
    *ret_waited_ns = strtoull(end, NULL, 10);
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
    if (wait->fd < 0 || !read_waited(wait->fd, &wait->waited_ns))
        return -1;
    wait->looked_us = clock_us();
    if (wait->looked_us <= before_us)
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
