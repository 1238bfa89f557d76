/* SPDX-License-Identifier: PostgreSQL
 * The clients: this program on a database host, called by the names of Barman's, talks by ssh to a
 * Barman or a Walden elsewhere. They read no configuration. */
#ifndef WALDEN_COMMAND_CLIENT_H
#define WALDEN_COMMAND_CLIENT_H

#include "command/command.h"

/* Where the archive is, and how it is called there */
typedef struct ClientTarget {
    const char *host, *user;
    const char *port;   /* NULL: as ssh is configured */
    const char *config; /* configuration file there, or NULL */
} ClientTarget;

/* Calls `barman WORDS...` there (the list ends with NULL) and passes on what it prints. stdin_fd
 * -1: it reads nothing. *ret_status: its exit code, 255 when ssh could not connect. */
int
client_call(const ClientTarget *target, const char *const *words, int stdin_fd, int *ret_status);

/* barman-wal-archive [OPTIONS] BARMAN_HOST SERVER_NAME WAL_PATH; the exit code. */
int client_wal_archive(int argc, char **argv);

#endif
