/* SPDX-License-Identifier: PostgreSQL
 * Rows become runs: each row that follows the one before it makes a run longer, any other begins a
 * new one. So a catalog in order needs a run for each range, and one in disorder is sorted a few
 * times on the way, as runs, whenever these would need more memory. What the
 * runs say is found out at the end, by account.c. Never looks at a file. */
#include "wal/coverage_state.h"
#include "wal/name.h"

#include <assert.h>

enum { RUNS_MIN = 64 };

static int
range_order(const void *a, const void *b)
{
    const CoverageRange *x = a, *y = b;
    return COVERAGE_ORDER(x->timeline, x->begin, y->timeline, y->begin);
}

/* Rows */

Coverage *
coverage_new(uint32_t segment_size)
{
    assert(wal_segment_size_valid(segment_size));
    Coverage *coverage = mem_alloc(sizeof(*coverage));
    coverage->report.segment_size = segment_size;
    return coverage;
}

void
coverage_free(Coverage *coverage)
{
    if (!coverage)
        return;
    free(coverage->timelines);
    free(coverage->runs.items);
    free(coverage->partials.items);
    free(coverage->gaps.items);
    free(coverage->links.items);
    free(coverage->named.items);
    free(coverage->histories.items);
    free(coverage->losses.items);
    free(coverage);
}

static bool
is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* The run `next` begins in `run` or right behind it. */
static void
extend(Coverage *coverage, CoverageRange *run, const CoverageRange *next)
{
    Lsn both = next->end < run->end ? next->end : run->end;
    if (next->begin < both)
        coverage->report.duplicates += (both - next->begin) / coverage->report.segment_size;
    if (next->end > run->end)
        run->end = next->end;
    run->stored += next->stored;
    if (is_before(next->oldest, run->oldest))
        run->oldest = next->oldest;
    if (is_before(run->newest, next->newest))
        run->newest = next->newest;
}

static bool
joins(const CoverageRange *run, const CoverageRange *next)
{
    return next->timeline == run->timeline && next->begin >= run->begin && next->begin <= run->end;
}

/* In order, and each range in one run. */
void
coverage_merge_runs(Coverage *coverage)
{
    CoverageRange *runs = coverage->runs.items;
    size_t kept = 0;
    if (!runs)
        return;
    if (coverage->unsorted)
        LIST_SORT(coverage->runs, range_order);
    coverage->unsorted = false;
    for (size_t i = 0; i < coverage->runs.count; i++) {
        if (kept > 0 && joins(&runs[kept - 1], &runs[i]))
            extend(coverage, &runs[kept - 1], &runs[i]);
        else
            runs[kept++] = runs[i];
    }
    coverage->runs.count = kept;
}

/* Room for one more. Where a sort saves less than half of the runs, there is more room next time,
 * so that it is not needed at every step. */
static void
make_room(Coverage *coverage)
{
    if (coverage->runs.count < coverage->runs.room)
        return;
    if (coverage->unsorted)
        coverage_merge_runs(coverage);
    if (coverage->runs.count <= coverage->runs.room / 2 && coverage->runs.room > 0)
        return;
    coverage->runs.room = coverage->runs.room ? 2 * coverage->runs.room : RUNS_MIN;
    coverage->runs.items =
        mem_resize(coverage->runs.items, coverage->runs.room, sizeof(CoverageRange));
}

static CoverageRange *
last_run(const Coverage *coverage)
{
    return coverage->runs.count ? &coverage->runs.items[coverage->runs.count - 1] : NULL;
}

static void
add_segment(Coverage *coverage, const CoverageRange *run)
{
    coverage->report.stored += run->stored;
    CoverageRange *last = last_run(coverage);
    if (last && joins(last, run)) {
        extend(coverage, last, run);
        return;
    }
    make_room(coverage);
    last = last_run(coverage);
    if (last && range_order(last, run) > 0)
        coverage->unsorted = true;
    assert(coverage->runs.items);
    coverage->runs.items[coverage->runs.count++] = *run;
}

static void
add_partial(Coverage *coverage, const CoveragePartial *partial)
{
    coverage->report.stored += partial->stored;
    coverage->report.partials++;
    LIST_ADD(coverage->partials, *partial);
    LIST_ADD(coverage->named, partial->timeline);
}

void
coverage_add(Coverage *coverage, const WalFile *row)
{
    CoverageReport *report = &coverage->report;
    WalName name;
    Lsn begin = 0;
    if (!wal_name_parse(row->name, &name))
        return;
    if (name.kind == WAL_HISTORY || name.kind == WAL_LABEL) {
        *(name.kind == WAL_HISTORY ? &report->histories : &report->labels) += 1;
        report->stored += row->size;
        if (name.kind == WAL_HISTORY)
            LIST_ADD(coverage->named, name.timeline);
    } else if (!wal_segment_start(&name, report->segment_size, &begin) ||
               begin > UINT64_MAX - report->segment_size) {
        report->misfits++;
        report->stored += row->size;
    } else if (name.kind == WAL_PARTIAL) {
        add_partial(coverage, &(CoveragePartial){.timeline = name.timeline,
                                                 .begin = begin,
                                                 .stored = row->size,
                                                 .time = row->mtime});
    } else {
        add_segment(coverage, &(CoverageRange){.timeline = name.timeline,
                                               .begin = begin,
                                               .end = begin + report->segment_size,
                                               .stored = row->size,
                                               .oldest = row->mtime,
                                               .newest = row->mtime});
    }
}

void
coverage_add_range(Coverage *coverage, Timeline timeline, Lsn begin, Lsn end)
{
    assert(begin < end && begin % coverage->report.segment_size == 0 &&
           end % coverage->report.segment_size == 0);
    add_segment(coverage, &(CoverageRange){.timeline = timeline, .begin = begin, .end = end});
}

bool
coverage_add_history(Coverage *coverage, Timeline timeline, const History *history)
{
    if (history->count == 0 || history->entries[history->count - 1].parent >= timeline)
        return false;
    LIST_ADD(coverage->named, timeline);
    LIST_ADD(coverage->histories, timeline);
    for (size_t i = 0; i < history->count; i++) {
        const HistoryEntry *entry = &history->entries[i];
        Timeline child = i + 1 < history->count ? entry[1].parent : timeline;
        LIST_ADD(coverage->links, (CoverageLink){child, entry->parent, entry->switch_lsn});
        LIST_ADD(coverage->named, entry->parent);
    }
    return true;
}

void
coverage_add_loss(Coverage *coverage, Timeline timeline, Lsn begin, Lsn end)
{
    assert(begin < end);
    LIST_ADD(coverage->losses, (CoverageLoss){timeline, begin, end});
}
