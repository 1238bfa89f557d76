/* SPDX-License-Identifier: PostgreSQL
 * Programs that we start, and being told to stop. */
#ifndef WALDEN_BASE_PROC_H
#define WALDEN_BASE_PROC_H

#include "base/error.h"
#include "base/str.h"

#include <poll.h>

/* Called for each line that the program prints, without its line end. */
typedef void ProcLine(void *context, bool is_stderr, const char *line);

typedef struct ProcSpec {
    const char *const *argv; /* program and arguments, found through PATH; or: */
    const char *shell;       /* a line that the site wrote, run by /bin/sh -c */
    const StrList *env;      /* "NAME=value", added to or replacing ours; may be NULL */
    const char *path_prefix; /* put before PATH, or NULL */
    int stdin_fd;            /* -1: nothing to read */
    int stdout_fd;           /* -1: lines go to on_line, or nowhere without it */
    ProcLine *on_line;
    void *context;
    int64_t
        timeout_ms; /* 0: none. After it the program and its children get SIGTERM, then SIGKILL */
    char stderr_tail[400]; /* set by proc_run: the last of what it said on standard error */
} ProcSpec;

/* Runs the program in a process group of its own and waits for it. Its exit status goes to
 * *ret_status: 0..255, or 256 + signal number. Fails when it cannot be started (ERR_HOOK), runs
 * over its time (ERR_TIMEOUT), or we are told to stop (ERR_STOPPED); then it has been ended. */
int proc_run(ProcSpec *spec, int *ret_status);

/* "exit code 3" or "signal 9". Room for 32 bytes. */
void proc_status_format(int status, char *ret_text);
enum { PROC_STATUS_ROOM = 32 };

/* SIGINT and SIGTERM from now on only set the stop flag; SIGPIPE is ignored (writes answer EPIPE).
 */
void stop_on_signals(void);

/* The signal that told us to stop, or 0. */
int stop_signal(void);

/* Fails with ERR_STOPPED when we are told to stop. */
int stop_check(void);

/* As poll(2), but answers 0 at once when we are told to stop, even if that was just before. Without
 * descriptors (NULL, 0) it is a pause. */
int stop_poll(struct pollfd *polls, size_t count, int64_t timeout_ms);

#endif
