/* SPDX-License-Identifier: PostgreSQL
 * A server in keys and values, for show-servers and diagnose: Barman's keys, and JSON types as
 * Barman's. */
#ifndef WALDEN_COMMAND_DESCRIBE_H
#define WALDEN_COMMAND_DESCRIBE_H

#include "command/command.h"
#include "monitor/state.h"

/* The parts of the state that describe_live wants. */
#define DESCRIBE_PARTS                                                                             \
    (1U << PART_SQL | 1U << PART_STREAM | 1U << PART_WAL_SQL | 1U << PART_WAL_STREAM |             \
     1U << PART_RECEIVER)

/* Every option and the value that is in force, passwords left out. */
json_t *describe_config(const Config *config, const ServerConfig *server);

/* Adds what the server and its receiver answer; why they do not as "connection_error". */
void describe_live(const ServerState *state, json_t *object);

#endif
