/* SPDX-License-Identifier: PostgreSQL
 * Programs that we start, and being told to stop. */
#ifndef WALDEN_BASE_PROC_H
#define WALDEN_BASE_PROC_H

#include "base/error.h"
#include "base/sink.h"
#include "base/str.h"

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

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
    Sink *on_data; /* takes what it writes to standard output in pieces, not lines, when there is no
                      stdout_fd; a failure ends the program, and is that of proc_run */
    void *context; /* of both */
    int64_t
        timeout_ms; /* 0: none. After it the program and its children get SIGTERM, then SIGKILL */
    const _Atomic int64_t *moved; /* NULL, or a count of ours: timeout_ms begins anew whenever it
                                     has changed */
    bool (*stop)(void); /* asked several times a second whether we are to stop, besides the signals
                           of stop_on_signals; NULL: nobody else */
    int end_signal;     /* instead of that SIGTERM; 0: SIGTERM */
    bool tied;          /* it gets end_signal also when we die, by whatever: for the main thread */
    char stderr_tail[400]; /* set by proc_run: the end of what it said on standard error,
                              lines joined by "; " */
} ProcSpec;

/* Runs the program in a process group of its own and waits for it. Its exit status goes to
 * *ret_status: 0..255, or 256 + signal number. Fails when it cannot be started (ERR_HOOK), runs
 * over its time (ERR_TIMEOUT), or we are told to stop (ERR_STOPPED); then it has been ended. */
int proc_run(ProcSpec *spec, int *ret_status);

/* Starts a program that shall outlive us: in a session of its own, with nothing on its standard
 * descriptors unless it is to keep ours. argv[0] is the path of the program. It is not waited for,
 * what becomes of it is not known. */
int proc_detach(const char *const *argv, bool keep_descriptors);

/* Goes on twice: PROC_PARENT in the caller, PROC_CHILD in a child that outlives it, in a session of
 * its own and with nothing on its standard descriptors. For a process with one thread; the child
 * ends by _exit. */
enum { PROC_PARENT = 1, PROC_CHILD = 2 };
int proc_fork_detached(void);

/* Starts a program that the caller waits for: in a process group of its own, with nothing on its
 * standard input and with our standard output and error. argv[0] is the path of the program. */
int proc_start(const char *const *argv, pid_t *ret_pid);

/* The path of our own program, also when it was replaced on disk since we started. Free it. */
int proc_own_path(char **ret_path);

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
