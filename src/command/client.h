/* SPDX-License-Identifier: PostgreSQL
 * The clients: this program on a database host, called by the names of Barman's, talks by ssh to a
 * Barman or a Walden elsewhere. They read no configuration. */
#ifndef WALDEN_COMMAND_CLIENT_H
#define WALDEN_COMMAND_CLIENT_H

#include "base/proc.h"
#include "command/command.h"

/* Exit codes of both. PostgreSQL gives up over those above 125. */
enum { EXIT_CANNOT = 2, EXIT_SSH = 255, EXIT_HIGHEST = 125 };

/* Where the archive is, and how it is called there */
typedef struct ClientTarget {
    const char *host, *user;
    const char *port;   /* NULL: as ssh is configured */
    const char *config; /* configuration file there, or NULL */
} ClientTarget;

typedef struct ClientCall {
    const char *const *words; /* `barman WORDS...` there; the list ends with NULL */
    int stdin_fd;             /* -1: it reads nothing */
    ProcLine *on_line;        /* NULL: what it prints is printed */
    Sink *on_data;            /* as in ProcSpec */
    void *context;
    const _Atomic int64_t *sent; /* counts what goes to stdin_fd; or NULL */
    bool (*stop)(void);          /* as in ProcSpec */
} ClientCall;

/* *ret_status: its exit code, 255 when ssh could not connect. ERR_HOOK when there is no ssh. */
int client_call(const ClientTarget *target, const ClientCall *call, int *ret_status);

/* Tells of the recorded failure; returns the code. */
int client_fail(int code);

/* barman-wal-archive [OPTIONS] BARMAN_HOST SERVER_NAME WAL_PATH; the exit code. */
int client_wal_archive(int argc, char **argv);

/* barman-wal-restore [OPTIONS] BARMAN_HOST SERVER_NAME WAL_NAME WAL_DEST; the exit code. */
int client_wal_restore(int argc, char **argv);

#endif
