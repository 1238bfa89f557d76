/* SPDX-License-Identifier: PostgreSQL
 * What a service manager is told by whoever it has started: systemd's notification protocol, which
 * is a datagram to the socket named in the environment. Without a manager nothing happens. */
#ifndef WALDEN_BASE_SERVICE_H
#define WALDEN_BASE_SERVICE_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1"; several are divided by line feeds. A manager that does not
 * listen is no reason to fail. */
void service_notify(const char *state);

/* How often the manager wants to hear "WATCHDOG=1": half of its patience. 0: never. */
int64_t service_watchdog_ms(void);

#endif
