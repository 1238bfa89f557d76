/* SPDX-License-Identifier: PostgreSQL
 * What the catalog says of the archive, in one reading of it: how much there is, up to where, and
 * what is missing in between. Of the archive itself only a few headers and the history files are
 * read; whether all the rest is there and sound is for verify. */
#include "flow/holdings.h"
#include "flow/place.h"
#include "monitor/parts.h"
#include "wal/name.h"

#include <errno.h>
#include <math.h>

enum { HOUR = 3600, TOLERANCE = 60 };

typedef struct Account {
    ArchiveState *archive;
    struct timespec newest;
    double now;
} Account;

static void
count_row(void *context, const WalFile *row)
{
    Account *account = context;
    ArchiveState *archive = account->archive;
    double age = account->now - time_seconds(row->mtime);
    archive->stored += row->size;
    archive->per_hour += age < HOUR && age >= -TOLERANCE;
    if (row->kind == WAL_HISTORY)
        return;
    if (age < -TOLERANCE) { /* a wrong date: it would hide that nothing comes any more */
        archive->ahead++;
    } else if (row->mtime.tv_sec >= account->newest.tv_sec) {
        account->newest = row->mtime;
        snprintf(archive->newest, sizeof(archive->newest), "%s", row->name);
    }
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

int
archive_look(void *context)
{
    ServerState *state = context;
    ArchiveState *archive = &state->archive;
    Account account = {.archive = archive, .now = state->now};
    AUTO(holdings) Holdings holdings = {0};
    AUTO(arena) Arena *arena = arena_new();
    Losses losses;
    if (!server_is_remote(state->server) && access(state->server->wals_directory, F_OK) < 0 &&
        errno == ENOENT)
        return 0; /* nothing was archived ever; whether it should be there is told by PART_FILES */
    TRY(losses_load(state->server, arena, &losses)); /* without them, what is lost looks new */
    TRY(holdings_take(state->config, state->server, count_row, &account, &holdings));
    snprintf(archive->catalog_path, sizeof(archive->catalog_path), "%s", holdings.catalog_path);
    archive->catalog = holdings.has_catalog;
    archive->rows = (int64_t)holdings.rows;
    archive->damaged = (int64_t)holdings.damaged;
    archive->segment_size = holdings.size_source == SIZE_ASSUMED ? 0 : holdings.segment_size;
    if (archive->newest[0])
        archive->newest_age = fmax(account.now - time_seconds(account.newest), 0);
    if (holdings.coverage)
        take_report(holdings.coverage, archive);
    return 0;
}

int
store_look(void *context)
{
    const ServerState *state = context;
    AUTO(store) Store *store = NULL;
    TRY(archive_open(state->server, &store));
    return store_try(store);
}
