/* SPDX-License-Identifier: PostgreSQL
 * walden delete-wals SERVER: what is before a given point, or what wal_retention lets go. Under a
 * lock of its own, which keeps nobody from archiving. */
#include "base/lock.h"
#include "base/log.h"
#include "base/proc.h"
#include "command/command.h"
#include "command/task.h"
#include "flow/expire.h"

enum { LOCK_WAIT_MS = 200 };

enum Option { BEFORE, DRY_RUN, FORCE };

static const CommandOption options[] = {
    [BEFORE] = {"before", "", "POINT",
                "a segment, an LSN, a time, or a backup label\n"
                "that is in the archive; without it, what\n"
                "wal_retention does not keep is deleted"},
    [DRY_RUN] = {"dry-run", "", NULL, "only tell what would be deleted"},
    [FORCE] = {"force", "", NULL,
               "with --before: also if a backup whose label is\n"
               "in the archive needs it (never a backup of\n"
               "Barman's)"},
};

typedef struct Answer {
    const Invocation *invocation;
    const ServerConfig *server;
    json_t *names;
    bool headed;
} Answer;

static void
tell_deleted(void *context, const char *name)
{
    Answer *answer = context;
    Report *report = answer->invocation->report;
    if (report_is_json(report)) {
        json_array_append_new(answer->names, json_string(name));
        return;
    }
    if (!answer->headed)
        report_info(report, "Delete WAL files of server %s%s:", answer->server->name,
                    answer->invocation->options[DRY_RUN] ? " (dry run)" : "");
    answer->headed = true;
    report_info(report, "\t%s", name);
}

static void
tell_summary(const Answer *answer, const ExpirySummary *summary)
{
    const Invocation *invocation = answer->invocation;
    bool dry_run = invocation->options[DRY_RUN] != NULL;
    if (summary->deleted == 0 && !report_is_json(invocation->report))
        report_info(invocation->report, "No WAL files of server %s to delete",
                    answer->server->name);
    report_set(invocation->report, answer->server->name,
               json_pack("{s:O, s:b, s:I}", "deleted", answer->names, "dry_run", dry_run, "bytes",
                         (json_int_t)summary->bytes));
    if (!dry_run && summary->deleted + summary->missing > 0)
        log_info("server '%s': %zu archived files deleted (%lld bytes), of which %zu were not in "
                 "the catalog; %zu were in the catalog only",
                 answer->server->name, summary->deleted, (long long)summary->bytes,
                 summary->unlisted, summary->missing);
}

static int
expire(const Invocation *invocation, const ServerConfig *server, const Before *before)
{
    ExpirySummary summary;
    Answer answer = {invocation, server, json_array(), false};
    Expiry expiry = {.config = invocation->config,
                     .server = server,
                     .before = before,
                     .force = invocation->options[FORCE] != NULL,
                     .dry_run = invocation->options[DRY_RUN] != NULL,
                     .context = &answer,
                     .deleted = tell_deleted};
    int result = expire_wals(&expiry, &summary);
    if (result == 0 || summary.deleted > 0)
        tell_summary(&answer, &summary);
    json_decref(answer.names);
    return result;
}

/* What is started by the clock steps back for another; who asks for something is told. */
static int
tell_busy(const Invocation *invocation, const ServerConfig *server)
{
    static const char text[] = "Another delete-wals process is already running on server";
    if (!invocation->options[BEFORE])
        report_info(invocation->report, "%s %s", text, server->name);
    else
        report_error(invocation->report, "%s %s", text, server->name);
    return invocation->options[BEFORE] ? EXIT_FAILED : EXIT_DONE;
}

/* A dry run changes nothing and disturbs nobody. */
static int
run_locked(const Invocation *invocation, const ServerConfig *server, const Before *before,
           bool *ret_busy)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    AUTO(free) char *path = command_lock_path(invocation, server, "delete-wals");
    if (!invocation->options[DRY_RUN]) {
        int locked = lock_take(path, LOCK_EXCLUSIVE, LOCK_WAIT_MS, &lock, &holder);
        *ret_busy = locked == LOCK_BUSY;
        if (locked != 0)
            return locked < 0 ? locked : 0;
        if (!before)
            task_note_run(invocation->config, server, "delete-wals");
    }
    return expire(invocation, server, before);
}

static int
run(const Invocation *invocation)
{
    Before before;
    const char *text = invocation->options[BEFORE];
    bool busy = false;
    if ((text && before_parse(text, &before) < 0) ||
        (!text && invocation->options[FORCE] && fail(ERR_USAGE, "--force needs --before") < 0)) {
        report_failure(invocation->report, error_last());
        return EXIT_USAGE;
    }
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    if (!server)
        return EXIT_FAILED;
    if (command_skips_inactive(invocation, server))
        return EXIT_DONE;
    stop_on_signals();
    int result = run_locked(invocation, server, text ? &before : NULL, &busy);
    if (busy)
        return tell_busy(invocation, server);
    if (result == 0)
        return EXIT_DONE;
    wrap(result, "delete-wals of server '%s'", server->name);
    report_failure(invocation->report, error_last());
    return stop_signal() ? 128 + stop_signal() : EXIT_FAILED;
}

const Command command_delete_wals = {
    .name = "delete-wals",
    .arguments = "SERVER",
    .argument_min = 1,
    .argument_max = 1,
    .summary = "delete archived WAL that is not needed any more",
    .help = "Deletes the archived WAL of the server that is before POINT, on every timeline,\n"
            "or what wal_retention does not keep. What a backup needs stays: Barman's\n"
            "backups, and those whose labels are in the archive. If POINT is behind the\n"
            "start of such a backup, nothing is deleted and the exit code is 1. History\n"
            "files and the newest segment always stay.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
