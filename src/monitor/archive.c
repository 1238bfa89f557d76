/* SPDX-License-Identifier: PostgreSQL
 * What the catalog says of the archive, in one reading of it: how much there is, up to where, and
 * what is missing in between. Of the archive itself only a few headers and the history files are
 * read; whether all the rest is there and sound is for verify. */
#include "flow/custom.h"
#include "flow/inspect.h"
#include "flow/losses.h"
#include "flow/xlogdb/xlogdb.h"
#include "monitor/parts.h"
#include "wal/coverage.h"
#include "wal/name.h"

#include <math.h>

enum { SIZE_TRIES = 8, HOUR = 3600, TOLERANCE = 60 };

typedef struct Account {
    ArchiveState *archive;
    Inspector inspector;
    Coverage *coverage;
    StrList histories;
    struct timespec newest;
    double now;
    int64_t last_hour;
    int tries;
} Account;

/* A segment says how long the cluster's segments are; the first ones may be encrypted. */
static int
ask_segment(void *context, const WalFile *row)
{
    Account *account = context;
    WalFacts facts;
    if (row->kind != WAL_SEGMENT)
        return 0;
    if (inspect_facts(&account->inspector, row->name, &facts)) {
        account->archive->segment_size = facts.segment_size;
        return 1;
    }
    return ++account->tries == SIZE_TRIES;
}

static int
note_number(void *context, const WalFile *row)
{
    uint32_t *top = context;
    WalName name;
    if (wal_name_parse(row->name, &name) && name.kind == WAL_SEGMENT && name.seg > *top)
        *top = name.seg;
    return 0;
}

/* When no segment can be looked into, for all are encrypted: the usual size, or a smaller one when
 * there are numbers that need it. */
static int
guess_size(XlogDb *db, uint32_t *ret_size)
{
    uint32_t top = 0, size = WAL_SEGMENT_DEFAULT;
    size_t damaged = 0;
    TRY(xlogdb_read(db, note_number, &top, &damaged));
    while (top >= (1ULL << 32) / size && wal_segment_size_valid(size / 2))
        size /= 2;
    *ret_size = size;
    return 0;
}

static int
count_row(void *context, const WalFile *row)
{
    Account *account = context;
    ArchiveState *archive = account->archive;
    archive->rows++;
    archive->stored += row->size;
    double age = account->now - time_seconds(row->mtime);
    account->last_hour += age < HOUR && age >= -TOLERANCE;
    if (row->kind == WAL_HISTORY) {
        strlist_add(&account->histories, row->name);
        return 0;
    }
    if (age < -TOLERANCE) { /* a wrong date: it would hide that nothing comes any more */
        archive->ahead++;
    } else if (row->mtime.tv_sec >= account->newest.tv_sec) {
        account->newest = row->mtime;
        snprintf(archive->newest, sizeof(archive->newest), "%s", row->name);
    }
    coverage_add(account->coverage, row);
    return 0;
}

static void
add_histories(Account *account)
{
    AUTO(arena) Arena *arena = arena_new();
    for (size_t i = 0; i < account->histories.count; i++) {
        const char *name = account->histories.items[i];
        Inspection inspection;
        History history;
        WalName parsed;
        inspect_history(&account->inspector, name, arena, &inspection, &history);
        if (inspection.state == INSPECT_SOUND && wal_name_parse(name, &parsed))
            coverage_add_history(account->coverage, parsed.timeline, &history);
    }
}

static int
add_losses(const ServerConfig *server, Account *account, uint32_t segment_size)
{
    AUTO(arena) Arena *arena = arena_new();
    Losses losses;
    TRY(losses_load(server, arena, &losses));
    TRY(losses_place(&losses, segment_size));
    for (size_t i = 0; i < losses.count; i++)
        coverage_add_loss(account->coverage, losses.items[i].timeline, losses.items[i].begin,
                          losses.items[i].end);
    return 0;
}

static void
name_first_gap(const CoverageReport *report, ArchiveState *archive)
{
    for (size_t t = 0; t < report->timeline_count && !archive->first_gap[0]; t++)
        for (size_t g = 0; g < report->timelines[t].gap_count && !archive->first_gap[0]; g++) {
            const CoverageGap *gap = &report->timelines[t].gaps[g];
            char first[WAL_NAME_ROOM], last[WAL_NAME_ROOM];
            if (gap->loss >= 0)
                continue;
            wal_segment_name(gap->timeline, gap->begin, report->segment_size, first);
            wal_segment_name(gap->timeline, gap->end - 1, report->segment_size, last);
            snprintf(archive->first_gap, sizeof(archive->first_gap), "%s..%s", first, last);
        }
}

static void
take_report(const CoverageReport *report, ArchiveState *archive)
{
    archive->segments = (int64_t)report->segments;
    archive->misfits = (int64_t)report->misfits;
    archive->gaps = (int64_t)report->gap_count;
    archive->acknowledged = (int64_t)report->loss_count;
    name_first_gap(report, archive);
    for (size_t t = report->timeline_count; t-- > 0;) {
        const CoverageTimeline *timeline = &report->timelines[t];
        if (timeline->range_count == 0)
            continue;
        Lsn end = timeline->ranges[timeline->range_count - 1].end;
        wal_segment_name(timeline->timeline, timeline->ranges[0].begin, report->segment_size,
                         archive->first);
        wal_segment_name(timeline->timeline, end - 1, report->segment_size, archive->last);
        return;
    }
}

static int
read_catalog(const ServerState *state, XlogDb *db, Account *account)
{
    ArchiveState *archive = account->archive;
    size_t damaged = 0;
    int result = xlogdb_read(db, ask_segment, account, &damaged);
    if (result < 0)
        return result;
    uint32_t size = archive->segment_size;
    if (!size)
        TRY(guess_size(db, &size));
    AUTO(coverage) Coverage *coverage = coverage_new(size);
    account->coverage = coverage;
    TRY(xlogdb_read(db, count_row, account, &damaged));
    archive->damaged = (int64_t)damaged;
    archive->per_hour = (double)account->last_hour;
    if (archive->newest[0])
        archive->newest_age = fmax(account->now - time_seconds(account->newest), 0);
    add_histories(account);
    TRY(add_losses(state->server, account, size));
    take_report(coverage_finish(coverage), archive);
    return 0;
}

int
archive_look(void *context)
{
    ServerState *state = context;
    const ServerConfig *server = state->server;
    AUTO(arena) Arena *arena = arena_new();
    AUTO(store) Store *store = NULL;
    CustomCodec custom = {0};
    Account account = {.archive = &state->archive, .now = state->now};
    XlogDbPlace place = xlogdb_place(state->config, server);
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    snprintf(state->archive.catalog_path, sizeof(state->archive.catalog_path), "%s",
             xlogdb_path(db));
    state->archive.catalog = xlogdb_exists(db);
    int opened = store_open_existing(server->wals_directory, &store);
    if (opened != 0)
        return opened < 0 ? opened : 0; /* nothing was archived ever */
    custom_codec_init(server, arena, &custom);
    account.inspector = (Inspector){.store = store, .custom = &custom};
    int result = read_catalog(state, db, &account);
    strlist_done(&account.histories);
    return result;
}

/* Written like any other file that is archived, but never given its name. */
int
store_look(void *context)
{
    static const char text[] = "written by walden check, and removed\n";
    const ServerState *state = context;
    AUTO(store) Store *store = NULL;
    AUTO(store_put) StorePut *put = NULL;
    TRY(store_open(state->server->wals_directory, &store));
    TRY(store_put_begin(store, "FFFFFFFF.history", &put));
    return store_put_write(put, text, sizeof(text) - 1);
}
