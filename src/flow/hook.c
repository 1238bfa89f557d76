/* SPDX-License-Identifier: PostgreSQL
 * Standard hooks run once, and nothing depends on how they end. Retry hooks run until they answer 0
 * or 62 (go on) or 63 (stop); between two tries there are pauses, and hook_timeout bounds the
 * whole. No lock of the catalog is held while a hook runs. */
#include "flow/hook.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "flow/xlogdb/xlogdb.h"
#include "version.h"

/* The release of Barman whose hook interface this is; scripts compare it. */
#define BARMAN_INTERFACE "3.17.0"

enum { ABORT_CONTINUE = 62, ABORT_STOP = 63 };

typedef struct Hook {
    const char *name; /* BARMAN_HOOK: "archive_script" */
    const char *phase;
    const char *option;
    const char *command; /* NULL: not configured */
    bool retry;
    bool told; /* sees the error under Barman's name */
} Hook;

bool
hooks_configured(const ServerConfig *server)
{
    return server->pre_archive_script || server->pre_archive_retry_script ||
           server->post_archive_retry_script || server->post_archive_script;
}

static void
build_environment(const Hook *hook, const HookEvent *event, StrList *env)
{
    char time[XLOGDB_TIME_ROOM];
    const WalFile *wal = event->wal;
    const char *error = event->error ? event->error : "";
    xlogdb_time_format(wal->mtime, time);
    strlist_add(env, "BARMAN_VERSION=" BARMAN_INTERFACE);
    strlist_add(env, "WALDEN_VERSION=" WALDEN_VERSION);
    strlist_addf(env, "BARMAN_SERVER=%s", event->server->name);
    strlist_addf(env, "BARMAN_CONFIGURATION=%s", event->config->path);
    strlist_addf(env, "BARMAN_HOOK=%s", hook->name);
    strlist_addf(env, "BARMAN_PHASE=%s", hook->phase);
    strlist_addf(env, "BARMAN_RETRY=%d", hook->retry);
    strlist_addf(env, "BARMAN_SEGMENT=%s", wal->name);
    strlist_addf(env, "BARMAN_FILE=%s", event->path);
    strlist_addf(env, "BARMAN_SIZE=%lld", (long long)wal->size);
    strlist_addf(env, "BARMAN_TIMESTAMP=%s", time);
    strlist_addf(env, "BARMAN_COMPRESSION=%s", wal->compression ? wal->compression : "");
    strlist_addf(env, "BARMAN_ERROR=%s", hook->told ? error : "");
    strlist_addf(env, "WALDEN_ERROR=%s", error);
    strlist_addf(env, "WALDEN_ENCRYPTION=%s", wal->encryption ? wal->encryption : "");
}

static void
log_output(void *context, bool is_stderr, const char *line)
{
    const Hook *hook = context;
    log_line(is_stderr ? LOG_WARNING : LOG_DEBUG, "%s: %s", hook->option, line);
}

static int
run_once(const Hook *hook, const HookEvent *event, int64_t timeout_ms, int *ret_status)
{
    AUTO(strlist) StrList env = {0};
    build_environment(hook, event, &env);
    ProcSpec spec = {.shell = hook->command,
                     .env = &env,
                     .path_prefix = event->server->path_prefix,
                     .stdin_fd = -1,
                     .stdout_fd = -1,
                     .on_line = log_output,
                     .context = (void *)hook,
                     .timeout_ms = timeout_ms};
    return proc_run(&spec, ret_status);
}

/* Tells how a try went; <0 only for being stopped. */
static int
judge(const Hook *hook, const HookEvent *event, int result, int status)
{
    if (result < 0 && error_last()->class == ERR_STOPPED)
        return result;
    if (result < 0) {
        log_warning("%s for '%s': %s", hook->option, event->wal->name, error_last()->text);
    } else if (status != 0 && !(hook->retry && status == ABORT_STOP)) {
        char text[PROC_STATUS_ROOM];
        proc_status_format(status, text);
        log_warning("%s for '%s' ended with %s: %s", hook->option, event->wal->name, text,
                    hook->command);
    }
    return 0;
}

/* As Barman: five pauses of 3 s, then one of 60 s, and so on. Ends early when we are told to stop.
 */
static int
pause_before_try(int try, int64_t deadline)
{
    int64_t until = clock_ms() + (try % 6 == 0 ? 60000 : 3000);
    if (until > deadline)
        until = deadline;
    while (clock_ms() < until) {
        TRY(stop_check());
        clock_pause_ms(until - clock_ms() < 100 ? until - clock_ms() : 100);
    }
    return stop_check();
}

/* 0, or HOOK_ABORTED with *ret_error. */
static int
run_hook(const Hook *hook, const HookEvent *event, char **ret_error)
{
    if (!hook->command)
        return 0;
    int64_t limit = event->server->hook_timeout > 0 ? event->server->hook_timeout * 1000 : 0;
    int64_t deadline = limit ? clock_ms() + limit : INT64_MAX;
    for (int try = 1;; try++) {
        int status = -1;
        int64_t left = limit ? deadline - clock_ms() : 0;
        int result = run_once(hook, event, limit && left < 1 ? 1 : left, &status);
        TRY(judge(hook, event, result, status));
        if (!hook->retry || (result == 0 && (status == 0 || status == ABORT_CONTINUE)))
            return 0;
        if (result == 0 && status == ABORT_STOP) {
            *ret_error = mem_printf("Abort '%s' retry hook script (%s, exit code: %d)",
                                    hook->option, hook->command, status);
            return HOOK_ABORTED;
        }
        if (clock_ms() < deadline)
            TRY(pause_before_try(try, deadline));
        if (clock_ms() >= deadline) {
            *ret_error =
                mem_printf("%s '%s' did not succeed within hook_timeout (%lld s)", hook->option,
                           hook->command, (long long)event->server->hook_timeout);
            return HOOK_ABORTED;
        }
    }
}

static int
run_before(const Hook *hooks, size_t count, const HookEvent *event, char **ret_error)
{
    for (size_t i = 0; i < count; i++) {
        int result = run_hook(&hooks[i], event, ret_error);
        if (result != 0)
            return result;
    }
    return 0;
}

static int
run_after(const Hook *hooks, size_t count, const HookEvent *event, const char *done)
{
    for (size_t i = 0; i < count; i++) {
        AUTO(free) char *error = NULL;
        int result = run_hook(&hooks[i], event, &error);
        if (result < 0)
            return result;
        if (result == HOOK_ABORTED)
            log_error("%s, ignoring: '%s' is %s already", error, event->wal->name, done);
    }
    return 0;
}

/* Barman's post_archive_script never sees the error; scripts that test it for being empty rely on
 * that. WALDEN_ERROR is told to every hook. */
int
hooks_before_archive(const HookEvent *event, char **ret_error)
{
    const ServerConfig *server = event->server;
    const Hook hooks[] = {
        {"archive_script", "pre", "pre_archive_script", server->pre_archive_script, false, false},
        {"archive_retry_script", "pre", "pre_archive_retry_script",
         server->pre_archive_retry_script, true, true},
    };
    return run_before(hooks, COUNT_OF(hooks), event, ret_error);
}

int
hooks_after_archive(const HookEvent *event)
{
    const ServerConfig *server = event->server;
    const Hook hooks[] = {
        {"archive_retry_script", "post", "post_archive_retry_script",
         server->post_archive_retry_script, true, true},
        {"archive_script", "post", "post_archive_script", server->post_archive_script, false,
         false},
    };
    return run_after(hooks, COUNT_OF(hooks), event, "archived");
}

bool
delete_hooks_configured(const ServerConfig *server)
{
    return server->pre_wal_delete_script || server->pre_wal_delete_retry_script ||
           server->post_wal_delete_retry_script || server->post_wal_delete_script;
}

int
hooks_before_delete(const HookEvent *event, char **ret_error)
{
    const ServerConfig *server = event->server;
    const Hook hooks[] = {
        {"wal_delete_script", "pre", "pre_wal_delete_script", server->pre_wal_delete_script, false,
         true},
        {"wal_delete_retry_script", "pre", "pre_wal_delete_retry_script",
         server->pre_wal_delete_retry_script, true, true},
    };
    return run_before(hooks, COUNT_OF(hooks), event, ret_error);
}

int
hooks_after_delete(const HookEvent *event)
{
    const ServerConfig *server = event->server;
    const Hook hooks[] = {
        {"wal_delete_retry_script", "post", "post_wal_delete_retry_script",
         server->post_wal_delete_retry_script, true, true},
        {"wal_delete_script", "post", "post_wal_delete_script", server->post_wal_delete_script,
         false, true},
    };
    return run_after(hooks, COUNT_OF(hooks), event, "deleted");
}
