/* SPDX-License-Identifier: PostgreSQL
 * walden rebuild-xlogdb SERVER...: the catalog made anew from the archive. */
#include "base/lock.h"
#include "base/log.h"
#include "command/command.h"
#include "flow/rebuild.h"

enum { LOCK_WAIT_MS = 60 * 1000 };

/* Of an archiver that is at work the files would be added a second time; of a deletion, files whose
 * lines are gone already, and which will be gone in a moment. */
static int
keep_away(const Invocation *invocation, const ServerConfig *server, const char *task,
          Lock *ret_lock)
{
    pid_t holder = 0;
    AUTO(free) char *path = command_lock_path(invocation, server, task);
    int locked = lock_take(path, LOCK_EXCLUSIVE, LOCK_WAIT_MS, ret_lock, &holder);
    if (locked == LOCK_BUSY)
        return fail(ERR_BUSY, "%s (process %d) has been at work for %d s", task, (int)holder,
                    LOCK_WAIT_MS / 1000);
    return locked;
}

static void
tell_progress(void *context, const RebuildSummary *so_far)
{
    report_progress(context, "%zu files so far",
                    so_far->history + so_far->labels + so_far->segments);
}

static int
rebuild_server(const Invocation *invocation, const ServerConfig *server)
{
    RebuildSummary summary = {0};
    AUTO(lock) Lock archiving = LOCK_NONE;
    AUTO(lock) Lock deleting = LOCK_NONE;
    TRY(keep_away(invocation, server, "delete-wals", &deleting));
    TRY(keep_away(invocation, server, "archive-wal", &archiving)); /* last: waiting holds up less */
    report_info(invocation->report, "Rebuilding xlogdb for server %s", server->name);
    RebuildObserver observer = {report_is_watched(invocation->report) ? tell_progress : NULL,
                                invocation->report};
    int result = rebuild_catalog(invocation->config, server, &observer, &summary);
    report_progress(invocation->report, "%s", "");
    TRY(result);
    report_info(
        invocation->report,
        "Done rebuilding xlogdb for server %s (history: %zu, backup_labels: %zu, wal_file: %zu)",
        server->name, summary.history, summary.labels, summary.segments);
    log_info("xlogdb of server '%s' rebuilt: %zu rows added, %zu dropped, %zu damaged lines, %zu "
             "strangers in the archive",
             server->name, summary.added, summary.dropped, summary.damaged, summary.strangers);
    return 0;
}

static int
run(const Invocation *invocation)
{
    size_t count = 0;
    int code = EXIT_DONE;
    AUTO(free) const ServerConfig **servers = command_servers(invocation, &count);
    if (!servers)
        return EXIT_FAILED;
    for (size_t i = 0; i < count; i++) {
        if (command_skips_inactive(invocation, servers[i]))
            continue;
        int result = servers[i]->disabled
                         ? fail(ERR_CONFIG, "disabled: %s", servers[i]->messages.items[0])
                         : rebuild_server(invocation, servers[i]);
        if (wrap(result, "rebuild xlogdb of server '%s'", servers[i]->name) < 0) {
            report_failure(invocation->report, error_last());
            code = EXIT_FAILED;
        }
    }
    return code;
}

const Command command_rebuild_xlogdb = {
    .name = "rebuild-xlogdb",
    .arguments = "SERVER...",
    .argument_min = 1,
    .argument_max = 1000,
    .summary = "make the catalog xlog.db anew from the archive",
    .help = "Makes the catalog of the servers, or of \"all\", anew from what is in their\n"
            "archives. What the old catalog knows and the files confirm is kept.",
    .run = run,
};
