/* SPDX-License-Identifier: PostgreSQL
 * PostgreSQL's own receiver, pg_receivewal (pg_receivexlog before version 10): to find it, to make
 * sure where it begins, and to run it. */
#ifndef WALDEN_FLOW_INTAKE_CLIENT_H
#define WALDEN_FLOW_INTAKE_CLIENT_H

#include "flow/intake/position.h"
#include "flow/intake/receiver.h"

typedef struct WalClient {
    const char *path;
    const char *version; /* in its words: "15.4" */
    int major;
} WalClient;

/* The first one that answers --version, in the directories of path_prefix (or NULL) and PATH.
 * CLIENT_NONE when there is none. Memory is the arena's. */
enum { CLIENT_NONE = 1 };
int client_find(const char *path_prefix, Arena *arena, WalClient *ret_client);

/* The version in "pg_receivewal (PostgreSQL) 15.4 (Debian ...)"; false if there is none. */
bool client_version_parse(const char *line, Arena *arena, WalClient *ret_client);

/* It can receive from servers of its own major version and older ones. */
bool client_fits(const WalClient *client, int server_version);

/* Makes the program begin at the position, and with files that it takes: a newest partial file of a
 * wrong size is filled up with zeros, and where there is no segment an empty partial one is made.
 * No byte that was received is given up. ERR_DATA when the program would begin elsewhere. */
int client_prepare(const char *directory, uint32_t segment_size, const WalPosition *position);

/* Runs it until it ends: 0 when somebody has told it to, ERR_STOPPED when we were told to stop and
 * have passed that on. What it prints is told and logged. There must be no connection of ours. */
int client_run(const ReceiverSpec *spec, const WalClient *client, bool synchronous);

#endif
