/* SPDX-License-Identifier: PostgreSQL
 * walden status SERVER...: how things are, in figures. The rows that Barman has keep its keys and
 * descriptions; the others are ours. What gave no answer is said, and is no failure: that is for
 * check. */
#include "command/command.h"
#include "monitor/state.h"

#include <stdarg.h>

typedef struct View {
    Report *report;
    const ServerState *state;
    json_t *object;
} View;

static void row(View *view, const char *key, const char *description, const char *format, ...)
    PRINTF_LIKE(4, 5);

static void
row(View *view, const char *key, const char *description, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = mem_vprintf(format, args);
    va_end(args);
    if (!report_is_json(view->report))
        report_info(view->report, "\t%s: %s", description, text);
    json_object_set_new(
        view->object, key,
        json_pack("{s:s, s:o}", "description", description, "message", report_text(text)));
}

static const char *
time_text(const char *epoch, char *ret_text)
{
    time_format((time_t)strtod(epoch, NULL), ret_text);
    return ret_text;
}

/* When a part was asked and did not answer, why; else NULL. */
static const char *
silence(const ServerState *state, Part part)
{
    return state->asked[part] && !state_has(state, part) ? state->parts[part].error.text : NULL;
}

static void
show_server(View *view)
{
    const PgStatus *sql = &view->state->sql;
    const char *why = silence(view->state, PART_SQL);
    if (why)
        row(view, "pg_version", "PostgreSQL version", "FAILED trying to get PostgreSQL version: %s",
            why);
    if (!state_has(view->state, PART_SQL))
        return;
    row(view, "pg_version", "PostgreSQL version", "%s", pg_status_text(sql, PG_STATUS_VERSION));
    row(view, "is_in_recovery", "Cluster state", "%s",
        pg_status_is(sql, PG_STATUS_IN_RECOVERY) ? "in archive recovery" : "in production");
    if (pg_status_text(sql, PG_STATUS_DATA_DIRECTORY))
        row(view, "data_directory", "PostgreSQL Data directory", "%s",
            pg_status_text(sql, PG_STATUS_DATA_DIRECTORY));
    if (pg_status_text(sql, PG_STATUS_SEGMENT))
        row(view, "current_xlog", "Current WAL segment", "%s",
            pg_status_text(sql, PG_STATUS_SEGMENT));
}

static void
show_failures(View *view)
{
    const PgStatus *sql = &view->state->sql;
    int64_t failed = pg_status_integer(sql, PG_STATUS_FAILED_COUNT, 0);
    const char *time = pg_status_text(sql, PG_STATUS_LAST_FAILED_TIME);
    char when[TIME_ROOM];
    if (failed && time && pg_status_text(sql, PG_STATUS_LAST_FAILED_WAL))
        row(view, "failed_count", "Failures of WAL archiver", "%lld (%s at %s)", (long long)failed,
            pg_status_text(sql, PG_STATUS_LAST_FAILED_WAL), time_text(time, when));
    else
        row(view, "failed_count", "Failures of WAL archiver", "%lld", (long long)failed);
}

/* What PostgreSQL says of its archive_command or archive_library */
static void
show_archive_command(View *view)
{
    const PgStatus *sql = &view->state->sql;
    const char *library = pg_status_text(sql, PG_STATUS_ARCHIVE_LIBRARY);
    const char *time = pg_status_text(sql, PG_STATUS_LAST_ARCHIVED_TIME);
    const char *rate = pg_status_text(sql, PG_STATUS_ARCHIVED_PER_SECOND);
    char when[TIME_ROOM];
    if (!view->state->server->archiver || !state_has(view->state, PART_SQL))
        return;
    if (library && *library)
        row(view, "archive_library", "PostgreSQL 'archive_library' setting", "%s", library);
    else if (pg_status_text(sql, PG_STATUS_ARCHIVE_COMMAND))
        row(view, "archive_command", "PostgreSQL 'archive_command' setting", "%s",
            pg_status_text(sql, PG_STATUS_ARCHIVE_COMMAND));
    else
        row(view, "archive_command", "PostgreSQL 'archive_command' setting",
            "FAILED (archive_command not set or not shown to user '%s')",
            pg_status_text(sql, PG_STATUS_USER));
    if (time && pg_status_text(sql, PG_STATUS_LAST_ARCHIVED_WAL))
        row(view, "last_archived_wal", "Last archived WAL", "%s, at %s",
            pg_status_text(sql, PG_STATUS_LAST_ARCHIVED_WAL), time_text(time, when));
    else
        row(view, "last_archived_wal", "Last archived WAL", "No WAL segment shipped yet");
    show_failures(view);
    if (rate && strtod(rate, NULL) > 0)
        row(view, "server_archived_wals_per_hour", "Server WAL archiving rate", "%.2f/hour",
            strtod(rate, NULL) * 3600);
}

static void
show_receiver(View *view)
{
    const ServerState *state = view->state;
    const PgStatus *status = state_wal_status(state);
    char size[SIZE_ROOM];
    if (!state->server->streaming_archiver || !state_has(state, PART_FILES))
        return;
    if (!state->files.receiver_pid) {
        row(view, "receiver", "WAL receiver", "not running");
    } else if (!status || !pg_status_text(status, PG_STATUS_RECEIVER_STATE)) {
        row(view, "receiver", "WAL receiver", "running (pid %d)", (int)state->files.receiver_pid);
    } else {
        size_format(pg_status_integer(status, PG_STATUS_RECEIVER_BEHIND, 0), size);
        row(view, "receiver", "WAL receiver", "%s (pid %d), %s behind",
            pg_status_text(status, PG_STATUS_RECEIVER_STATE), (int)state->files.receiver_pid, size);
    }
}

static void
show_queues(View *view)
{
    const FilesState *files = &view->state->files;
    const char *why = silence(view->state, PART_FILES);
    char size[SIZE_ROOM], age[DURATION_ROOM], free[SIZE_ROOM];
    if (why)
        row(view, "backlog", "Archiving backlog", "FAILED (%s)", why);
    if (!state_has(view->state, PART_FILES))
        return;
    int64_t waiting = files->incoming.files + files->streaming.files;
    double oldest =
        files->incoming.age > files->streaming.age ? files->incoming.age : files->streaming.age;
    size_format(files->incoming.bytes + files->streaming.bytes, size);
    duration_format((int64_t)oldest, age);
    if (waiting)
        row(view, "backlog", "Archiving backlog", "%lld files, %s, oldest waits for %s",
            (long long)waiting, size, age);
    else
        row(view, "backlog", "Archiving backlog", "none");
    size_format(files->disk_free, free);
    if (files->disk_size)
        row(view, "disk_free",
            server_is_remote(view->state->server) ? "Free space for waiting WAL"
                                                  : "Free space for the archive",
            "%s (%lld %%)", free, (long long)state_percent(files->disk_free, files->disk_size));
}

static void
show_archive(View *view)
{
    const ArchiveState *archive = &view->state->archive;
    const char *why = silence(view->state, PART_ARCHIVE);
    char size[SIZE_ROOM], age[DURATION_ROOM];
    if (why)
        row(view, "archive", "WAL archive", "FAILED (%s)", why);
    if (!state_has(view->state, PART_ARCHIVE))
        return;
    size_format(archive->stored, size);
    row(view, "archive", "WAL archive", "%lld files, %s", (long long)archive->rows, size);
    if (!archive->last[0])
        return;
    row(view, "archive_range", "Archived segments of the newest timeline", "%s to %s",
        archive->first, archive->last);
    if (archive->segment_size && archive->stored > 0)
        row(view, "compression_ratio", "Compression ratio", "%.2f",
            (double)archive->segments * archive->segment_size / (double)archive->stored);
    duration_format((int64_t)archive->newest_age, age);
    if (archive->newest[0])
        row(view, "newest_wal", "Newest archived WAL", "%s, %s old", archive->newest, age);
    row(view, "archived_last_hour", "WAL of the last hour", "%.0f files", archive->per_hour);
    if (archive->misfits)
        row(view, "misfits", "Segments of another size", "%lld", (long long)archive->misfits);
    if (archive->gaps == 0)
        row(view, "gaps", "Gaps", "none");
    else if (archive->gaps == archive->acknowledged)
        row(view, "gaps", "Gaps", "%lld, all acknowledged", (long long)archive->gaps);
    else
        row(view, "gaps", "Gaps", "%lld, %lld of them acknowledged, the first other one is %s",
            (long long)archive->gaps, (long long)archive->acknowledged, archive->first_gap);
}

static int
show(const Invocation *invocation, const ServerConfig *server)
{
    AUTO(state) ServerState *state = NULL;
    unsigned parts = server->disabled ? 0
                                      : 1U << PART_FILES | 1U << PART_ARCHIVE | 1U << PART_SQL |
                                            1U << PART_WAL_SQL;
    TRY(state_gather(invocation->config, server, parts, server->check_timeout * 1000, &state));
    View view = {invocation->report, state, json_object()};
    if (!report_is_json(invocation->report))
        report_info(invocation->report, "Server %s:", server->name);
    if (server->description)
        row(&view, "description", "Description", "%s", server->description);
    row(&view, "active", "Active", "%s", server->active ? "True" : "False");
    row(&view, "disabled", "Disabled", "%s", server->disabled ? "True" : "False");
    show_server(&view);
    show_archive_command(&view);
    show_receiver(&view);
    row(&view, "passive_node", "Passive node", "False");
    show_queues(&view);
    show_archive(&view);
    report_set(invocation->report, server->name, view.object);
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
    for (size_t i = 0; i < count; i++)
        if (show(invocation, servers[i]) < 0) {
            report_failure(invocation->report, error_last());
            code = EXIT_FAILED;
        }
    return code;
}

const Command command_status = {
    .name = "status",
    .arguments = "SERVER...",
    .argument_min = 1,
    .argument_max = 1000,
    .summary = "show how archiving is going, in figures",
    .help = "Shows for the servers, or for \"all\", what PostgreSQL says of its archiving, how\n"
            "far the receiver is, what waits, and what the archive holds. It waits for\n"
            "answers as long as the option check_timeout says.",
    .run = run,
};
