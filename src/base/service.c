/* SPDX-License-Identifier: PostgreSQL
 * The protocol of sd_notify(3), without its library: one datagram, never waited for. */
#include "base/service.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <sys/socket.h>
#include <sys/un.h>

void
service_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@') /* a name that is not in the file system */
        address.sun_path[0] = '\0';
    AUTO(close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
}

int64_t
service_watchdog_ms(void)
{
    const char *patience = getenv("WATCHDOG_USEC"), *whose = getenv("WATCHDOG_PID");
    int64_t microseconds = 0, pid = 0;
    if (!patience || !int_parse(patience, 1, INT64_MAX, &microseconds))
        return 0;
    if (whose && (!int_parse(whose, 1, INT32_MAX, &pid) || pid != getpid()))
        return 0;
    return microseconds / 2000 > 0 ? microseconds / 2000 : 1;
}
