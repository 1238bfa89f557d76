/* SPDX-License-Identifier: PostgreSQL
 * The state of servers in the Prometheus text format
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). */
#ifndef WALDEN_MONITOR_METRICS_H
#define WALDEN_MONITOR_METRICS_H

#include "base/str.h"
#include "monitor/state.h"

/* Appends all metrics of all servers, which must have been asked for all parts. What gave no answer
 * has no value; whether it answered is a metric itself. */
void metrics_write(ServerState *const *states, size_t count, Str *out);

#endif
