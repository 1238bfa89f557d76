/* SPDX-License-Identifier: PostgreSQL
 * One helper for each call: what it needs (ssh, TLS, credentials) stays out of the server, and its
 * end cannot be ours. */
#include "pgmodule/relay.h"

#include "base/mem.h"
#include "base/proc.h"

/* A helper that is not done with one file after this hangs, although it has deadlines of its own.
 */
enum { TIMEOUT_MS = 3600 * 1000, ARGUMENTS_MAX = 12 };

static bool
given(const char *text)
{
    return text && *text;
}

const char *
relay_lacks(const Relay *relay)
{
    if (!given(relay->server))
        return "walden.server";
    return relay->road == RELAY_PUT_WAL && !given(relay->host) ? "walden.host" : NULL;
}

/* user: [USER@]HOST, which is cut in two here. */
static void
list_arguments(const Relay *relay, char *user, const char *path, const char **argv)
{
    bool put_wal = relay->road == RELAY_PUT_WAL;
    char *at = strchr(user, '@');
    size_t count = 0;
    argv[count++] = given(relay->program) ? relay->program
                    : put_wal             ? "barman-wal-archive"
                                          : "walden";
    if (given(relay->config_file)) {
        argv[count++] = "--config";
        argv[count++] = relay->config_file;
    }
    if (put_wal) {
        if (at) {
            *at = '\0';
            argv[count++] = "--user";
            argv[count++] = user;
        }
        argv[count++] = at ? at + 1 : user;
    } else {
        argv[count++] = "cloud-wal-archive";
        argv[count++] = "--parallel";
        argv[count++] = "4";
    }
    argv[count++] = relay->server;
    argv[count++] = path;
}

int
relay_file(const Relay *relay, const char *path)
{
    const char *argv[ARGUMENTS_MAX] = {NULL};
    AUTO(free) char *user = mem_dup(relay->host ? relay->host : "");
    list_arguments(relay, user, path, argv);
    ProcSpec spec = {.argv = argv,
                     .stdin_fd = -1,
                     .stdout_fd = -1,
                     .timeout_ms = TIMEOUT_MS,
                     .stop = relay->stop};
    char text[PROC_STATUS_ROOM];
    int status = 0;
    TRY(proc_run(&spec, &status));
    if (status == 0)
        return 0;
    proc_status_format(status, text);
    return fail(ERR_HOOK, "'%s' ended with %s%s%s", argv[0], text, *spec.stderr_tail ? ": " : "",
                spec.stderr_tail);
}
