/* SPDX-License-Identifier: PostgreSQL
 * walden sync-info SERVER [LAST_WAL [LAST_POSITION]]: what a passive Barman on another host asks by
 * ssh before it copies backups and WAL from here. Always JSON, in Barman's form: it reads nothing
 * else. */
#include "base/log.h"
#include "command/backup_json.h"
#include "command/command.h"
#include "command/describe.h"
#include "flow/backups.h"
#include "flow/xlogdb/xlogdb.h"

/* The passive side is a Barman, and this is which one we speak like. */
static const char spoken_version[] = "3.17.0";

enum Option { PRIMARY };

static const CommandOption options[] = {
    [PRIMARY] = {"primary", "", NULL, "ask the primary node; there is none here"},
};

typedef struct SyncInfo {
    const char *last_wal; /* the last one that the passive side knows; NULL: none */
    int64_t last_position;
    bool encryption; /* the catalog has that column */
    json_t *backups;
    char oldest[WAL_NAME_ROOM]; /* where the oldest of them begins; "" none */
    Str rows;                   /* in JSON */
    bool found;                 /* the row of last_wal, at last_position */
    char first_name[WAL_NAME_ROOM], newest_name[WAL_NAME_ROOM], last_name[WAL_NAME_ROOM];
    int64_t offset; /* of the last row */
} SyncInfo;

/* Backups that can be copied: those that are finished, or will be when their WAL is there. */
static int
take_backup(void *context, const char *id, const char *text)
{
    SyncInfo *self = context;
    json_t *backup = backup_json(id, text);
    const char *status = json_string_value(json_object_get(backup, "status"));
    const char *begin = json_string_value(json_object_get(backup, "begin_wal"));
    bool wanted =
        status && (strcmp(status, "DONE") == 0 || strcmp(status, "WAITING_FOR_WALS") == 0);
    if (!wanted || json_object_get(self->backups, id)) {
        json_decref(backup);
        return 0;
    }
    if (begin && wal_kind(begin) == WAL_SEGMENT &&
        (!self->oldest[0] || strcmp(begin, self->oldest) < 0))
        snprintf(self->oldest, sizeof(self->oldest), "%s", begin);
    json_object_set_new(self->backups, id, backup);
    return 0;
}

static void
append_word(Str *rows, const char *name, const char *word)
{
    const char *quote = word ? "\"" : "";
    str_appendf(rows, "            \"%s\": %s%s%s,\n", name, quote, word ? word : "null", quote);
}

static void
append_row(SyncInfo *self, const WalFile *row)
{
    char time[XLOGDB_TIME_ROOM];
    xlogdb_time_format(row->mtime, time);
    str_appendf(&self->rows, "%s\n        {\n", self->rows.length ? "," : "");
    append_word(&self->rows, "compression", row->compression);
    if (self->encryption)
        append_word(&self->rows, "encryption", row->encryption);
    str_appendf(&self->rows,
                "            \"name\": \"%s\",\n            \"size\": %lld,\n"
                "            \"time\": %s\n        }",
                row->name, (long long)row->size, time);
}

static int
take_row(void *context, const WalFile *row, int64_t offset)
{
    SyncInfo *self = context;
    if (!self->first_name[0])
        memcpy(self->first_name, row->name, sizeof(row->name));
    if (strcmp(row->name, self->newest_name) > 0)
        memcpy(self->newest_name, row->name, sizeof(row->name));
    memcpy(self->last_name, row->name, sizeof(row->name));
    self->offset = offset;
    if (self->last_wal && offset == self->last_position && strcmp(row->name, self->last_wal) == 0) {
        self->found = true;
        str_clear(&self->rows);
    }
    /* Without a word of where to go on, nothing is told of what no backup needs. */
    if (self->last_wal ? strcmp(row->name, self->last_wal) > 0
                       : strcmp(row->name, self->oldest) >= 0)
        append_row(self, row);
    return 0;
}

/* The passive side asks again from the beginning when it hears one of these. */
static int
check_place(const SyncInfo *self)
{
    if (!self->last_wal || self->found || !self->first_name[0])
        return 0;
    if (strcmp(self->last_wal, self->newest_name) > 0)
        return fail(ERR_DATA, "last_wal '%s' is newer than the last available wal  '%s'",
                    self->last_wal, self->newest_name);
    if (strcmp(self->last_wal, self->first_name) < 0)
        return fail(ERR_DATA, "last_wal '%s' is older than the first available wal '%s'",
                    self->last_wal, self->first_name);
    return 0;
}

static int
gather(const Invocation *invocation, const ServerConfig *server, SyncInfo *self)
{
    size_t damaged = 0;
    XlogDbPlace place = xlogdb_place(invocation->config, server);
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    self->encryption = !str_ends(xlogdb_path(db), "/xlog.db");
    TRY(backups_visit(server, take_backup, self));
    TRY(xlogdb_read_at(db, take_row, self, &damaged));
    if (damaged)
        return hint(
            fail(ERR_DATA, "%zu lines of the catalog '%s' are damaged", damaged, xlogdb_path(db)),
            "run rebuild-xlogdb");
    return check_place(self);
}

static int
print_member(const char *name, json_t *value, const char *behind)
{
    enum { FLAGS = JSON_INDENT(4) | JSON_ENCODE_ANY };
    char *text = json_dumps(value, FLAGS);
    json_decref(value);
    if (!text)
        return fail(ERR_IO, "no memory for JSON");
    printf("    \"%s\": %s%s\n", name, text, behind);
    free(text);
    return 0;
}

static int
print_info(const Invocation *invocation, const ServerConfig *server, const SyncInfo *self)
{
    printf("{\n    \"last_position\": %lld,\n    \"last_name\": \"%s\",\n", (long long)self->offset,
           self->last_name);
    TRY(print_member("backups", json_incref(self->backups), ","));
    printf("    \"wals\": [%s%s],\n    \"version\": \"%s\",\n", str_text(&self->rows),
           self->rows.length ? "\n    " : "", spoken_version);
    TRY(print_member("config", describe_config(invocation->config, server), ""));
    puts("}");
    return 0;
}

static int
run(const Invocation *invocation)
{
    Report *report = invocation->report;
    char *const *arguments = invocation->arguments;
    SyncInfo self = {.last_position = 0};
    if (invocation->argument_count > 2 &&
        !int_parse(arguments[2], 1, INT64_MAX, &self.last_position)) {
        report_error(report, "LAST_POSITION is a number of at least 1, not '%s'", arguments[2]);
        return EXIT_USAGE;
    }
    const ServerConfig *server = command_server(invocation, arguments[0]);
    if (!server)
        return EXIT_FAILED;
    if (invocation->options[PRIMARY]) {
        report_error(report, "server %s is not passive", server->name);
        return EXIT_FAILED;
    }
    self.last_wal = invocation->argument_count > 1 ? arguments[1] : NULL;
    self.backups = json_object();
    report_leave_stdout(report);
    int result = gather(invocation, server, &self);
    result = result < 0 ? result : print_info(invocation, server, &self);
    json_decref(self.backups);
    str_done(&self.rows);
    if (result == 0)
        return EXIT_DONE;
    report_failure(report, error_last());
    return EXIT_FAILED;
}

const Command command_sync_info = {
    .name = "sync-info",
    .arguments = "SERVER [LAST_WAL [LAST_POSITION]]",
    .argument_min = 1,
    .argument_max = 3,
    .summary = "tell a passive Barman what is here",
    .help = "Prints in JSON which backups are here, and which WAL files, these from LAST_WAL\n"
            "on, for a Barman on another host that copies them (primary_ssh_command).",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
