/* SPDX-License-Identifier: PostgreSQL
 * The checks, from the top of the list to its end. Names are Barman's, for monitoring systems know
 * them ("pg_receivexlog" too); a check that Barman has only for failures is told only then. A part
 * that did not answer fails the checks that need it, so that silence never looks like health. */
#include "monitor/check.h"

#include "base/str.h"
#include "flow/custom.h"

#include <inttypes.h>
#include <stdarg.h>

enum { CLOCK_TOLERANCE = 60 };

typedef struct Checker {
    const ServerState *state;
    const ServerConfig *server;
    CheckTell *tell;
    void *context;
    bool good;
} Checker;

static void row(Checker *c, const char *name, bool good, const char *format, ...) PRINTF_LIKE(4, 5);

static void
row(Checker *c, const char *name, bool good, const char *format, ...)
{
    CheckRow told = {.good = good};
    va_list args;
    va_start(args, format);
    vsnprintf(told.hint, sizeof(told.hint), format, args);
    va_end(args);
    snprintf(told.name, sizeof(told.name), "%s", name);
    c->good = c->good && good;
    c->tell(c->context, &told);
}

/* The parts behind the rows: false, and told under this name, when the part gave no answer. */
static bool
answered(Checker *c, Part part, const char *name)
{
    const Probe *probe = &c->state->parts[part];
    if (state_has(c->state, part))
        return true;
    if (c->state->asked[part])
        row(c, name, false, "%s", probe->error.text);
    return false;
}

static void
check_queue(Checker *c, const char *place, bool on, int64_t entries)
{
    AUTO(free) char *empty = mem_printf("empty %s directory", place);
    AUTO(free) char *name = mem_printf("%s WALs directory", place);
    int64_t limit = c->server->max_incoming_wals_queue;
    if (!on && entries > 0)
        row(c, empty, false, "%" PRId64 " files are there, and nothing archives them", entries);
    if (on && limit >= 0 && entries > limit)
        row(c, name, false, "%" PRId64 " files wait, max_incoming_wals_queue is %" PRId64, entries,
            limit);
}

static void
check_queues(Checker *c)
{
    const FilesState *files = &c->state->files;
    if (!answered(c, PART_FILES, "incoming WALs directory"))
        return;
    check_queue(c, "incoming", c->server->archiver, files->incoming.entries);
    /* The segment that is being received does not wait. */
    check_queue(c, "streaming", c->server->streaming_archiver,
                files->streaming.entries > 0 ? files->streaming.entries - 1 : 0);
}

static void
check_catalog(Checker *c)
{
    if (!answered(c, PART_ARCHIVE, "WAL archive"))
        return;
    if (c->state->archive.damaged)
        row(c, "WAL archive", false,
            "%" PRId64 " damaged lines in '%s': walden rebuild-xlogdb %s makes it anew",
            c->state->archive.damaged, c->state->archive.catalog_path, c->server->name);
    else if (c->state->archive.rows == 0)
        row(c, "WAL archive", false,
            "nothing was archived yet: see that WAL arrives, then walden switch-wal --force "
            "--archive %s",
            c->server->name);
}

static void
check_sql(Checker *c)
{
    const PgStatus *sql = &c->state->sql;
    if (!answered(c, PART_SQL, "PostgreSQL"))
        return;
    row(c, "PostgreSQL", true, "%s", "");
    if (pg_status_is(sql, PG_STATUS_MAY_SWITCH))
        row(c, "superuser or standard user with backup privileges", true, "%s", "");
    else
        row(c, "no access to backup functions", false, "user '%s' may not call pg_switch_wal()",
            pg_status_text(sql, PG_STATUS_USER));
}

/* Somebody who says which cluster this is; 0: he does not */
typedef struct Voice {
    const char *who;
    uint64_t id;
} Voice;

static uint64_t
id_of(const ServerState *state, Part part, const PgStatus *status)
{
    const char *text = pg_status_text(status, PG_STATUS_SYSTEM_ID);
    return text && state_has(state, part) ? strtoull(text, NULL, 10) : 0;
}

/* All must name the same. */
static void
compare(Checker *c, const char *name, const Voice *voices, size_t count)
{
    const Voice *first = NULL;
    for (const Voice *voice = voices; voice < voices + count; voice++) {
        if (!voice->id)
            continue;
        if (!first)
            first = voice;
        if (voice->id != first->id) {
            row(c, name, false,
                "%s says %" PRIu64 ", %s says %" PRIu64 ": these are different clusters",
                first->who, first->id, voice->who, voice->id);
            return;
        }
    }
    row(c, name, true, "%s", first ? "" : "no system id known yet");
}

static void
check_identity(Checker *c)
{
    const ServerState *state = c->state;
    const Voice voices[] = {
        {"identity.json", state->files.system_id},
        {"PostgreSQL", id_of(state, PART_SQL, &state->sql)},
        {"streaming", state->stream.id},
    };
    compare(c, "systemid coherence", voices, COUNT_OF(voices));
}

/* The host that WAL is received from belongs to the same cluster. */
static void
check_wal_identity(Checker *c)
{
    const ServerState *state = c->state;
    const Voice voices[] = {
        {"identity.json", state->files.system_id},
        {"PostgreSQL", id_of(state, PART_SQL, &state->sql)},
        {"PostgreSQL (WAL streaming)", id_of(state, PART_WAL_SQL, &state->wal_sql)},
        {"streaming (WAL streaming)", state->wal_stream.id},
    };
    if (state->asked[PART_WAL_SQL] || state->asked[PART_WAL_STREAM])
        compare(c, "systemid coherence (WAL streaming)", voices, COUNT_OF(voices));
}

/* Of the server of conninfo, or with a suffix of the one that WAL is received from */
static void
check_wal_level(Checker *c, const char *name, const PgStatus *status)
{
    const char *level = pg_status_text(status, PG_STATUS_WAL_LEVEL);
    bool enough = level && strcmp(level, "minimal") != 0;
    row(c, name, enough, "%s", enough ? "" : "please set it to replica or higher");
}

static void
check_wal_host(Checker *c)
{
    const ServerState *state = c->state;
    if (answered(c, PART_WAL_SQL, "PostgreSQL (WAL streaming)")) {
        if (pg_status_is(&state->wal_sql, PG_STATUS_MAY_MONITOR))
            row(c, "has monitoring privileges (WAL streaming)", true, "%s", "");
        else
            row(c, "no access to monitoring functions (WAL streaming)", false,
                "GRANT pg_monitor TO \"%s\"", pg_status_text(&state->wal_sql, PG_STATUS_USER));
        check_wal_level(c, "wal_level (WAL streaming)", &state->wal_sql);
    }
    if (answered(c, PART_WAL_STREAM, "PostgreSQL streaming (WAL streaming)"))
        row(c, "PostgreSQL streaming (WAL streaming)", true, "%s", "");
    check_wal_identity(c);
}

static void
check_slot(Checker *c)
{
    const PgStatus *status = state_wal_status(c->state);
    const char *slot = c->server->slot_name;
    const char *name =
        c->state->asked[PART_WAL_SQL] ? "replication slot (WAL streaming)" : "replication slot";
    if (!slot || !status)
        return;
    bool there = pg_status_text(status, PG_STATUS_SLOT) != NULL;
    if (!c->server->streaming_archiver) {
        if (there)
            row(c, name, true, "WARNING: slot '%s' keeps WAL, but streaming_archiver is off", slot);
    } else if (!there) {
        row(c, name, false, "there is none: walden receive-wal --create-slot %s", c->server->name);
    } else if (!pg_status_text(status, PG_STATUS_SLOT_RESTART)) {
        row(c, name, false, "slot '%s' is not initialised: is receive-wal running?", slot);
    } else if (!pg_status_is(status, PG_STATUS_SLOT_ACTIVE)) {
        row(c, name, false, "slot '%s' is not active: is receive-wal running?", slot);
    } else {
        row(c, name, true, "%s", "");
    }
}

static void
check_directories(Checker *c)
{
    const char *broken = c->state->files.broken_directory;
    if (!c->server->disabled && answered(c, PART_FILES, "directories"))
        row(c, "directories", !broken[0], "%s", broken);
}

static void
check_wal_age(Checker *c)
{
    const ArchiveState *archive = &c->state->archive;
    int64_t limit = c->server->last_wal_maximum_age;
    char size[SIZE_ROOM], age[DURATION_ROOM];
    if (!answered(c, PART_ARCHIVE, "wal maximum age"))
        return;
    duration_format((int64_t)archive->newest_age, age);
    if (limit < 0)
        row(c, "wal maximum age", true, "no last_wal_maximum_age provided");
    else if (!archive->newest[0])
        row(c, "wal maximum age", false, "%s",
            archive->ahead ? "all WAL is dated in the future" : "no WAL archived");
    else
        row(c, "wal maximum age", archive->newest_age <= (double)limit, "last WAL: %s, %s old",
            archive->newest, age);
    size_format(archive->stored, size);
    row(c, "wal size", true, "%s", size);
}

/* Would archiving find what it compresses with? */
static int
try_codec(const ServerConfig *server)
{
    AUTO(coder) Coder *coder = NULL;
    const CodecClass *codec = NULL;
    int level = 0;
    TRY(codec_configured(server, &codec, &level));
    return codec && !codec_is_program(codec) ? compressor_new(codec, level, &coder) : 0;
}

static void
check_configuration(Checker *c)
{
    const StrList *messages = &c->server->messages;
    bool codec = try_codec(c->server) == 0;
    row(c, "compression settings", codec, "%s", codec ? "" : error_last()->text);
    if (c->server->encryption) {
        int64_t limit = c->server->check_timeout;
        bool cipher = cipher_try(c->server, limit > 0 ? limit * 1000 : 0) == 0;
        row(c, "encryption", cipher, "%s", cipher ? "" : error_last()->text);
    }
    if (c->server->disabled)
        row(c, "configuration", false, "%s",
            messages->count ? messages->items[0] : "this server is disabled");
}

static void
check_receiver(Checker *c)
{
    const ServerState *state = c->state;
    const ReceiverState *receiver = &state->receiver;
    if (!c->server->streaming_archiver)
        return;
    if (answered(c, PART_RECEIVER, "pg_receivexlog")) {
        row(c, "pg_receivexlog", receiver->installed, "%s",
            receiver->installed ? "" : "no pg_receivewal in path_prefix or PATH");
        row(c, "pg_receivexlog compatible", receiver->compatible == ANSWER_YES, "%s%s",
            receiver->compatible == ANSWER_YES       ? ""
            : receiver->compatible == ANSWER_UNKNOWN ? "the server did not answer"
                                                     : "older than the server: ",
            receiver->compatible == ANSWER_NO ? receiver->version : "");
    }
    if (answered(c, PART_FILES, "receive-wal running"))
        row(c, "receive-wal running", state->files.receiver_pid != 0, "%s",
            state->files.receiver_pid ? "" : "walden cron or walden run starts it");
}

static void
check_archive_command(Checker *c)
{
    const PgStatus *sql = &c->state->sql;
    if (!c->server->archiver || !state_has(c->state, PART_SQL))
        return;
    const char *mode = pg_status_text(sql, PG_STATUS_ARCHIVE_MODE);
    const char *command = pg_status_text(sql, PG_STATUS_ARCHIVE_COMMAND);
    const char *library = pg_status_text(sql, PG_STATUS_ARCHIVE_LIBRARY);
    bool on = mode && (strcmp(mode, "on") == 0 || strcmp(mode, "always") == 0);
    bool has_command = command && *command && strcmp(command, "(disabled)") != 0;
    row(c, "archive_mode", on, "%s", on ? "" : "please set it to 'on' or 'always'");
    if (has_command || (library && *library))
        row(c, "archive_command", true, "%s", "");
    else if (!command)
        row(c, "archive_command", false, "it is not shown to user '%s': GRANT pg_monitor to it",
            pg_status_text(sql, PG_STATUS_USER));
    else
        row(c, "archive_command", false, "please set it, see docs/operations.md");
    if (pg_status_is(sql, PG_STATUS_IS_ARCHIVING))
        row(c, "continuous archiving", true, "%s", "");
    else
        row(c, "continuous archiving", false,
            "the last failure was with '%s': see PostgreSQL's log",
            pg_status_text(sql, PG_STATUS_LAST_FAILED_WAL)
                ? pg_status_text(sql, PG_STATUS_LAST_FAILED_WAL)
                : "no file");
}

static void
check_errors(Checker *c)
{
    const ErrorFiles *errors = &c->state->files.errors;
    const struct {
        const char *kind;
        int64_t count;
    } kinds[] = {{"duplicates", errors->duplicate},
                 {"unknown", errors->unknown},
                 {"invalid", errors->invalid},
                 {"not relevant", errors->irrelevant},
                 {"unknown failure", errors->other}};
    AUTO(str) Str summary = {0};
    if (!answered(c, PART_FILES, "archiver errors"))
        return;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (kinds[i].count)
            str_appendf(&summary, "%s%s: %" PRId64, summary.length ? ", " : "", kinds[i].kind,
                        kinds[i].count);
    row(c, "archiver errors", summary.length == 0, "%s", str_text(&summary));
}

/* From here on ours */
static void
check_gaps(Checker *c)
{
    const ArchiveState *archive = &c->state->archive;
    int64_t missing = archive->gaps - archive->acknowledged;
    if (!answered(c, PART_ARCHIVE, "archive gaps"))
        return;
    if (archive->misfits)
        row(c, "archive gaps", false,
            "%" PRId64 " segments do not fit the segment size of %" PRIu32
            ": which ones are missing, cannot be said",
            archive->misfits, archive->segment_size);
    else if (missing > 0)
        row(c, "archive gaps", false,
            "%" PRId64 " missing ranges, the first is %s: see walden show-wals %s", missing,
            archive->first_gap, c->server->name);
    else if (archive->acknowledged)
        row(c, "archive gaps", true, "%" PRId64 " lost ranges were acknowledged",
            archive->acknowledged);
    else
        row(c, "archive gaps", true, "%s", "");
}

static void
check_backlog(Checker *c)
{
    const FilesState *files = &c->state->files;
    if (!answered(c, PART_FILES, "archiving backlog"))
        return;
    int64_t count = files->incoming.files + files->streaming.files;
    double age =
        files->incoming.age > files->streaming.age ? files->incoming.age : files->streaming.age;
    int64_t limit = c->server->backlog_maximum_age;
    char size[SIZE_ROOM], duration[DURATION_ROOM];
    if (count == 0) {
        row(c, "archiving backlog", true, "%s", "");
        return;
    }
    size_format(files->incoming.bytes + files->streaming.bytes, size);
    duration_format((int64_t)age, duration);
    row(c, "archiving backlog", limit < 0 || age <= (double)limit,
        "%" PRId64 " files of %s wait, the oldest for %s", count, size, duration);
}

static void
check_disk(Checker *c)
{
    const FilesState *files = &c->state->files;
    int64_t limit = c->server->minimum_free_space;
    char size[SIZE_ROOM];
    if (!state_has(c->state, PART_FILES) || files->disk_size == 0)
        return;
    int64_t percent = state_percent(files->disk_free, files->disk_size);
    bool inodes = files->inodes == 0 || state_percent(files->inodes_free, files->inodes) >= limit;
    size_format(files->disk_free, size);
    row(c, "disk space", percent >= limit && inodes, "%s free, %" PRId64 " %%%s", size, percent,
        inodes ? "" : ", but hardly any inodes");
}

static void
check_store(Checker *c)
{
    const char *name = server_is_remote(c->server) ? "archive reachable" : "archive writable";
    if (!c->server->disabled && answered(c, PART_STORE, name))
        row(c, name, true, "%s", "");
}

/* Ages of files and of transactions are compared by people: both clocks should agree. */
static void
check_clock(Checker *c)
{
    const char *text = pg_status_text(&c->state->sql, PG_STATUS_CLOCK);
    if (!state_has(c->state, PART_SQL) || !text)
        return;
    double ahead = strtod(text, NULL) - c->state->now;
    double tolerance = CLOCK_TOLERANCE + (double)c->server->check_timeout;
    bool good = ahead >= -CLOCK_TOLERANCE && ahead <= tolerance;
    if (good)
        row(c, "clock", true, "%s", "");
    else
        row(c, "clock", false, "PostgreSQL's host is %.0f s %s of this one",
            ahead < 0 ? -ahead : ahead, ahead < 0 ? "behind" : "ahead");
}

static void
check_time(Checker *c)
{
    for (Part part = 0; part < PART_COUNT; part++)
        if (c->state->asked[part] && c->state->parts[part].outcome == PROBE_LATE) {
            row(c, "check timeout", false, "%s", c->state->parts[part].error.text);
            return;
        }
}

bool
check_state(const ServerState *state, CheckTell *tell, void *context)
{
    Checker checker = {state, state->server, tell, context, true}, *c = &checker;
    check_catalog(c);
    check_queues(c);
    check_sql(c);
    if (answered(c, PART_STREAM, "PostgreSQL streaming"))
        row(c, "PostgreSQL streaming", true, "%s", "");
    if (state_has(state, PART_SQL))
        check_wal_level(c, "wal_level", &state->sql);
    check_wal_host(c);
    check_slot(c);
    check_directories(c);
    check_wal_age(c);
    check_configuration(c);
    check_identity(c);
    check_receiver(c);
    check_archive_command(c);
    check_errors(c);
    check_gaps(c);
    check_backlog(c);
    check_disk(c);
    check_store(c);
    check_clock(c);
    check_time(c);
    return checker.good;
}
