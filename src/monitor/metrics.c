/* SPDX-License-Identifier: PostgreSQL
 * One table: a metric is a row, and rows of one name stand together, as the format asks. */
#include "monitor/metrics.h"

#include "monitor/check.h"

#include <math.h>

typedef struct Metric {
    const char *name, *type, *help;
    const char *label; /* key="value", or NULL */
    Part part;         /* without its answer there is no value; PART_COUNT: value() knows */
    double (*value)(const ServerState *state);
} Metric;

/* A value of the state, by its path there */
#define FIELD(name, path)                                                                          \
    static double name(const ServerState *state)                                                   \
    {                                                                                              \
        return (double)state->path;                                                                \
    }

FIELD(archive_files, archive.rows)
FIELD(archive_bytes, archive.stored)
FIELD(archive_segments, archive.segments)
FIELD(archive_lost, archive.acknowledged)
FIELD(archive_damaged, archive.damaged)
FIELD(segment_size, archive.segment_size)
FIELD(incoming_files, files.incoming.files)
FIELD(incoming_bytes, files.incoming.bytes)
FIELD(incoming_age, files.incoming.age)
FIELD(streaming_files, files.streaming.files)
FIELD(streaming_bytes, files.streaming.bytes)
FIELD(streaming_age, files.streaming.age)
FIELD(errors_duplicate, files.errors.duplicate)
FIELD(errors_unknown, files.errors.unknown)
FIELD(errors_invalid, files.errors.invalid)
FIELD(errors_irrelevant, files.errors.irrelevant)
FIELD(errors_other, files.errors.other)
FIELD(archiver_running, files.archiver_pid != 0)
FIELD(receiver_running, files.receiver_pid != 0)
FIELD(disk_size, files.disk_size)
FIELD(disk_free, files.disk_free)

static double
archive_gaps(const ServerState *state)
{
    return (double)(state->archive.gaps - state->archive.acknowledged);
}

/* Without any WAL there is no age. */
static double
newest_time(const ServerState *state)
{
    return state->archive.newest[0] ? state->now - state->archive.newest_age : NAN;
}

static double
sql_number(const ServerState *state, PgStatusKey key)
{
    const char *text = pg_status_text(&state->sql, key);
    return text ? strtod(text, NULL) : NAN;
}

#define ANSWER(name, key)                                                                          \
    static double name(const ServerState *state)                                                   \
    {                                                                                              \
        return sql_number(state, key);                                                             \
    }

ANSWER(archived_total, PG_STATUS_ARCHIVED_COUNT)
ANSWER(failed_total, PG_STATUS_FAILED_COUNT)
ANSWER(last_archived, PG_STATUS_LAST_ARCHIVED_TIME)
ANSWER(last_failed, PG_STATUS_LAST_FAILED_TIME)

/* Of the server that WAL is received from */
static double
wal_number(const ServerState *state, PgStatusKey key)
{
    const PgStatus *status = state_wal_status(state);
    const char *text = status ? pg_status_text(status, key) : NULL;
    return text ? strtod(text, NULL) : NAN;
}

static double
receiver_lag(const ServerState *state)
{
    return wal_number(state, PG_STATUS_RECEIVER_BEHIND);
}

static double
slot_retained(const ServerState *state)
{
    return wal_number(state, PG_STATUS_SLOT_BEHIND);
}

#define GAUGE "gauge"
#define COUNTER "counter"

static const Metric metrics[] = {
    {"walden_archive_files", GAUGE, "Files in the catalog.", NULL, PART_ARCHIVE, archive_files},
    {"walden_archive_segments", GAUGE, "WAL segments in the catalog.", NULL, PART_ARCHIVE,
     archive_segments},
    {"walden_archive_bytes", GAUGE, "Bytes of the archived files as they are stored.", NULL,
     PART_ARCHIVE, archive_bytes},
    {"walden_wal_segment_bytes", GAUGE, "Size of a WAL segment.", NULL, PART_ARCHIVE, segment_size},
    {"walden_archive_missing_ranges", GAUGE, "Missing ranges of WAL.", "acknowledged=\"no\"",
     PART_ARCHIVE, archive_gaps},
    {"walden_archive_missing_ranges", GAUGE, "", "acknowledged=\"yes\"", PART_ARCHIVE,
     archive_lost},
    {"walden_catalog_damaged_lines", GAUGE, "Lines of the catalog that cannot be read.", NULL,
     PART_ARCHIVE, archive_damaged},
    {"walden_newest_wal_timestamp_seconds", GAUGE, "When the newest archived WAL was written.",
     NULL, PART_ARCHIVE, newest_time},
    {"walden_backlog_files", GAUGE, "WAL files that wait to be archived.", "queue=\"incoming\"",
     PART_FILES, incoming_files},
    {"walden_backlog_files", GAUGE, "", "queue=\"streaming\"", PART_FILES, streaming_files},
    {"walden_backlog_bytes", GAUGE, "Bytes of the files that wait.", "queue=\"incoming\"",
     PART_FILES, incoming_bytes},
    {"walden_backlog_bytes", GAUGE, "", "queue=\"streaming\"", PART_FILES, streaming_bytes},
    {"walden_backlog_age_seconds", GAUGE, "How long the oldest of them has waited.",
     "queue=\"incoming\"", PART_FILES, incoming_age},
    {"walden_backlog_age_seconds", GAUGE, "", "queue=\"streaming\"", PART_FILES, streaming_age},
    {"walden_error_files", GAUGE, "Rejected files.", "kind=\"duplicate\"", PART_FILES,
     errors_duplicate},
    {"walden_error_files", GAUGE, "", "kind=\"unknown\"", PART_FILES, errors_unknown},
    {"walden_error_files", GAUGE, "", "kind=\"invalid\"", PART_FILES, errors_invalid},
    {"walden_error_files", GAUGE, "", "kind=\"not_relevant\"", PART_FILES, errors_irrelevant},
    {"walden_error_files", GAUGE, "", "kind=\"other\"", PART_FILES, errors_other},
    {"walden_process_running", GAUGE, "Does the process run now?", "task=\"archive-wal\"",
     PART_FILES, archiver_running},
    {"walden_process_running", GAUGE, "", "task=\"receive-wal\"", PART_FILES, receiver_running},
    {"walden_disk_bytes", GAUGE, "Size of the file system of the archive.", NULL, PART_FILES,
     disk_size},
    {"walden_disk_free_bytes", GAUGE, "What is free there.", NULL, PART_FILES, disk_free},
    {"walden_receiver_lag_bytes", GAUGE, "WAL that is not yet durable at the receiver.", NULL,
     PART_COUNT, receiver_lag},
    {"walden_slot_retained_bytes", GAUGE, "WAL that the server keeps for the slot.", NULL,
     PART_COUNT, slot_retained},
    {"walden_postgres_archived_total", COUNTER, "pg_stat_archiver: archived_count.", NULL, PART_SQL,
     archived_total},
    {"walden_postgres_archive_failures_total", COUNTER, "pg_stat_archiver: failed_count.", NULL,
     PART_SQL, failed_total},
    {"walden_postgres_last_archived_timestamp_seconds", GAUGE,
     "pg_stat_archiver: last_archived_time.", NULL, PART_SQL, last_archived},
    {"walden_postgres_last_failed_timestamp_seconds", GAUGE, "pg_stat_archiver: last_failed_time.",
     NULL, PART_SQL, last_failed},
};

static void
write_label(Str *out, const char *value)
{
    for (; *value; value++)
        if (*value == '"' || *value == '\\')
            str_appendf(out, "\\%c", *value);
        else if (*value == '\n')
            str_append(out, "\\n");
        else
            str_append_part(out, value, 1);
}

static void
write_heading(Str *out, const char *name, const char *type, const char *help)
{
    str_appendf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
write_value(Str *out, const char *name, const ServerState *state, const char *label, double value)
{
    str_appendf(out, "%s{server=\"", name);
    write_label(out, state->server->name);
    str_appendf(out, "\"%s%s} %.17g\n", label ? "," : "", label ? label : "", value);
}

static void
write_metrics(ServerState *const *states, size_t count, Str *out)
{
    for (size_t m = 0; m < COUNT_OF(metrics); m++) {
        const Metric *metric = &metrics[m];
        if (metric->help[0])
            write_heading(out, metric->name, metric->type, metric->help);
        for (size_t i = 0; i < count; i++) {
            bool known = metric->part == PART_COUNT || state_has(states[i], metric->part);
            double value = known ? metric->value(states[i]) : NAN;
            if (!isnan(value))
                write_value(out, metric->name, states[i], metric->label, value);
        }
    }
}

static void
write_answers(ServerState *const *states, size_t count, Str *out)
{
    static const char *const names[PART_COUNT] = {
        [PART_FILES] = "files",       [PART_ARCHIVE] = "archive",
        [PART_SQL] = "postgres",      [PART_STREAM] = "streaming",
        [PART_WAL_SQL] = "wal_host",  [PART_WAL_STREAM] = "wal_host_streaming",
        [PART_RECEIVER] = "receiver", [PART_STORE] = "archive_write",
    };
    write_heading(out, "walden_up", GAUGE, "Did this part answer in time?");
    for (size_t i = 0; i < count; i++)
        for (Part part = 0; part < PART_COUNT; part++) {
            char label[64];
            snprintf(label, sizeof(label), "part=\"%s\"", names[part]);
            if (states[i]->asked[part])
                write_value(out, "walden_up", states[i], label, state_has(states[i], part));
        }
}

typedef struct CheckLines {
    Str *out;
    const ServerState *state;
} CheckLines;

static void
write_check(void *context, const CheckRow *row)
{
    const CheckLines *lines = context;
    char label[sizeof(row->name) + 16];
    snprintf(label, sizeof(label), "check=\"%s\"", row->name);
    write_value(lines->out, "walden_check_failed", lines->state, label, !row->good);
}

void
metrics_write(ServerState *const *states, size_t count, Str *out)
{
    write_answers(states, count, out);
    write_metrics(states, count, out);
    write_heading(out, "walden_check_failed", GAUGE, "1: this check of walden check fails.");
    for (size_t i = 0; i < count; i++)
        check_state(states[i], write_check, &(CheckLines){out, states[i]});
    if (out->data)
        str_make_utf8(out->data); /* names of servers */
}
