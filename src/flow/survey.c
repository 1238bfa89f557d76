/* SPDX-License-Identifier: PostgreSQL
 * The catalog is read once or twice, a line at a time; of a million lines only the backup labels
 * and the timelines are remembered. Changes nothing. */
#include "flow/survey.h"

#include "base/log.h"
#include "config/retention.h"
#include "flow/backups.h"
#include "flow/content.h"
#include "wal/page.h"

enum { HISTORY_SIZE_MAX = 1 << 20 };

/* What the policy keeps: rows not older than a time, or, with an excess, those that were archived
 * after so many bytes; with neither, nothing. */
typedef struct Pass {
    Horizon *horizon;
    time_t since; /* 0: no such limit */
    int64_t excess, passed;
} Pass;

static int
visit_row(void *context, const WalFile *row)
{
    Pass *pass = context;
    bool kept = pass->since && row->mtime.tv_sec >= pass->since;
    if (pass->excess > 0) {
        kept = pass->passed >= pass->excess;
        pass->passed += row->kind == WAL_HISTORY ? 0 : row->size;
    }
    horizon_add(pass->horizon, row, kept);
    return 0;
}

static int
read_catalog(Survey *survey, time_t since, int64_t excess)
{
    Pass pass = {&survey->horizon, since, excess, 0};
    size_t damaged = 0;
    horizon_clear(&survey->horizon);
    TRY(xlogdb_read(survey->db, visit_row, &pass, &damaged));
    if (damaged)
        log_warning("catalog '%s' has %zu damaged lines, ignoring them; run rebuild-xlogdb",
                    xlogdb_path(survey->db), damaged);
    return 0;
}

/* The beginning of an archived file's plain contents. STORE_MISSING, or SURVEY_OPAQUE when it
 * cannot be decrypted. */
enum { SURVEY_OPAQUE = 2 };

static int
read_archived(const Survey *survey, const char *name, void *buffer, size_t size, size_t *ret_got)
{
    AUTO(close) int fd = -1;
    AUTO(content) Content content = CONTENT_NONE;
    AUTO(reader) Reader *reader = NULL;
    int found = store_read_head(survey->store, name, STORE_HEAD, &fd);
    if (found != 0)
        return found;
    int opened = content_open(fd, name, &survey->custom, &content);
    if (opened < 0 && (error_last()->class == ERR_CONFIG || error_last()->class == ERR_UNSUPPORTED))
        return SURVEY_OPAQUE;
    TRY(opened);
    TRY(reader_open(content.fd, content.class, &survey->custom, &reader));
    int result = reader_read(reader, buffer, size, name, ret_got);
    reader_close(take(reader)); /* before what it reads from */
    return result == 0 && *ret_got == size ? 0 : content_finish(&content, result);
}

/* From the header of the newest segment, unless a backup has said it. */
static void
find_segment_size(Survey *survey)
{
    char head[WAL_LONG_HEADER_SIZE], reason[WAL_REASON_ROOM];
    const char *newest = survey->horizon.newest.name;
    size_t got = 0;
    WalName name;
    WalFacts facts;
    if (survey->horizon.segment_size || !wal_name_parse(newest, &name))
        return;
    int result = read_archived(survey, newest, head, sizeof(head), &got);
    if (result == 0 && wal_header_check(head, got, &name, &facts, reason) == WAL_HEADER_FITS)
        survey->horizon.segment_size = facts.segment_size;
    else if (result < 0)
        log_debug("the segment size is not known: %s", error_last()->text);
}

static int
read_history(Survey *survey, Branch *branch)
{
    char name[WAL_NAME_ROOM];
    size_t got = 0;
    snprintf(name, sizeof(name), "%08X.history", branch->timeline);
    AUTO(free) char *text = mem_alloc(HISTORY_SIZE_MAX + 1);
    int result = read_archived(survey, name, text, HISTORY_SIZE_MAX, &got);
    return result == 0 ? history_parse(text, survey->horizon.arena, &branch->history) : result;
}

/* Without its history a timeline counts as reachable from every older one. */
static void
read_histories(Survey *survey)
{
    for (size_t i = 0; i < survey->horizon.branch_count; i++) {
        Branch *branch = &survey->horizon.branches[i];
        int result = branch->timeline > 1 ? read_history(survey, branch) : 0;
        if (result < 0)
            log_warning("the history of timeline %u cannot be used: %s; more is kept",
                        branch->timeline, error_last()->text);
        else if (result > 0)
            log_debug("the history of timeline %u is not to be had", branch->timeline);
    }
}

static int
position_of_lsn(Survey *survey, Lsn lsn, WalPosition *ret_position)
{
    find_segment_size(survey);
    uint32_t size = survey->horizon.segment_size;
    if (!size)
        return hint(fail(ERR_DATA,
                         "the segment size of server '%s' is not known, so an LSN leads "
                         "to no segment",
                         survey->server->name),
                    "give the name of a segment");
    *ret_position = lsn >> 32 << 32 | (uint32_t)lsn / size;
    return 0;
}

static int
position_of_label(const Survey *survey, const Before *before, WalPosition *ret_position)
{
    const Backup *label = horizon_label(&survey->horizon, before->text);
    if (!label)
        return hint(fail(ERR_USAGE, "the backup label '%s' is not in the archive", before->text),
                    "give the name of a segment if the backup exists nevertheless");
    *ret_position = label->start;
    return 0;
}

/* The segment that covers the time is the first that was finished afterwards; if none was, nothing
 * but the newest one has to stay. */
static WalPosition
position_of_time(const Survey *survey)
{
    WalPosition lowest = horizon_lowest_kept(&survey->horizon);
    WalName newest;
    if (lowest == POSITION_NONE && wal_name_parse(survey->horizon.newest.name, &newest))
        lowest = wal_position(&newest);
    return lowest == POSITION_NONE ? 0 : lowest;
}

static int
set_before(Survey *survey, const Before *before, bool force)
{
    WalPosition position = wal_position(&before->name);
    /* time_t 0 would mean no limit; nothing is older than the second after it. */
    time_t since = before->kind != BEFORE_TIME ? 0 : before->time > 0 ? before->time : 1;
    TRY(read_catalog(survey, since, 0));
    if (before->kind == BEFORE_LSN)
        TRY(position_of_lsn(survey, before->lsn, &position));
    else if (before->kind == BEFORE_LABEL)
        TRY(position_of_label(survey, before, &position));
    else if (before->kind == BEFORE_TIME)
        position = position_of_time(survey);
    return horizon_set(&survey->horizon, position, force || before->kind == BEFORE_LABEL);
}

static int
newest_first(const void *a, const void *b)
{
    const struct timespec *x = &((const Backup *)a)->time, *y = &((const Backup *)b)->time;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? 1 : -1;
    return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

/* By name; of one name the oldest first */
static int
by_name(const void *a, const void *b)
{
    int order = strcmp(((const Backup *)a)->name, ((const Backup *)b)->name);
    return order != 0 ? order : newest_first(b, a);
}

/* A label that has several lines in the catalog is one backup all the same. */
static void
drop_duplicates(Horizon *horizon)
{
    size_t kept = 0;
    qsort(horizon->labels, horizon->label_count, sizeof(Backup), by_name);
    for (size_t i = 0; i < horizon->label_count; i++)
        if (kept == 0 || strcmp(horizon->labels[kept - 1].name, horizon->labels[i].name) != 0)
            horizon->labels[kept++] = horizon->labels[i];
    horizon->label_count = kept;
}

/* The time since which everything is kept: that of the n-th newest backup; 0 if there are fewer. */
static time_t
time_of_backup(Horizon *horizon, int64_t number)
{
    if (horizon->label_count > 0)
        drop_duplicates(horizon);
    if ((int64_t)horizon->label_count < number)
        return 0;
    qsort(horizon->labels, horizon->label_count, sizeof(Backup), newest_first);
    return horizon->labels[number - 1].time.tv_sec;
}

/* Leaves the horizon at the very beginning when the policy is met as it is. */
static int
set_retention(Survey *survey, const Retention *retention)
{
    time_t since = 0;
    int64_t excess = 0;
    if (retention->kind == RETAIN_SECONDS)
        since = time(NULL) - retention->amount;
    else
        TRY(read_catalog(survey, 0, 0));
    if (retention->kind == RETAIN_BACKUPS)
        since = time_of_backup(&survey->horizon, retention->amount);
    if (retention->kind == RETAIN_BYTES)
        excess = survey->horizon.bytes - retention->amount;
    if (since <= 0 && excess <= 0) {
        horizon_clear(&survey->horizon);
        return 0;
    }
    TRY(read_catalog(survey, since, excess));
    find_segment_size(survey);
    read_histories(survey);
    horizon_fit(&survey->horizon, retention->kind != RETAIN_BACKUPS);
    return 0;
}

int
survey_make(Survey *survey, const Before *before, bool force)
{
    BarmanBackups backups;
    Retention retention;
    Horizon *horizon = &survey->horizon;
    custom_codec_init(survey->server, horizon->arena, &survey->custom);
    TRY(backups_read(survey->config, survey->server, horizon->arena, &backups));
    horizon->barman = backups.items;
    horizon->barman_count = backups.count;
    horizon->segment_size = backups.segment_size;
    if (before)
        return set_before(survey, before, force);
    bool fits = retention_parse(survey->server->wal_retention, &retention);
    assert(fits); /* the configuration has checked it */
    return fits ? set_retention(survey, &retention) : -1;
}
