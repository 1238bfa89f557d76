/* SPDX-License-Identifier: PostgreSQL
 * The account of coverage.h, made at the end from runs, partials and what history files say: first
 * the timelines and how they hang together, then what is missing on the way to each, and from where
 * to where there is no break. Nothing here is in proportion to the number of rows. */
#include "wal/coverage_state.h"
#include "wal/name.h"

static int
gap_order(const void *a, const void *b)
{
    const CoverageGap *x = a, *y = b;
    return COVERAGE_ORDER(x->timeline, x->begin, y->timeline, y->begin);
}

static int
partial_order(const void *a, const void *b)
{
    const CoveragePartial *x = a, *y = b;
    return COVERAGE_ORDER(x->timeline, x->begin, y->timeline, y->begin);
}

static int
timeline_order(const void *a, const void *b)
{
    return COVERAGE_COMPARE(*(const Timeline *)a, *(const Timeline *)b);
}

/* Timelines */

static CoverageTimeline *
find_timeline(const Coverage *coverage, Timeline timeline)
{
    return (CoverageTimeline *)coverage_timeline(&coverage->report, timeline);
}

/* One for each number that was named. */
static void
make_timelines(Coverage *coverage)
{
    for (size_t i = 0; i < coverage->runs.count; i++)
        if (i == 0 || coverage->runs.items[i].timeline != coverage->runs.items[i - 1].timeline)
            LIST_ADD(coverage->named, coverage->runs.items[i].timeline);
    LIST_SORT(coverage->named, timeline_order);
    CoverageTimeline *made = mem_alloc(coverage->named.count * sizeof(*made));
    size_t count = 0;
    for (size_t i = 0; i < coverage->named.count; i++)
        if (count == 0 || made[count - 1].timeline != coverage->named.items[i])
            made[count++].timeline = coverage->named.items[i];
    coverage->timelines = made;
    coverage->report.timelines = made;
    coverage->report.timeline_count = count;
}

static void
assign_ranges(Coverage *coverage)
{
    for (size_t i = 0; i < coverage->runs.count; i++) {
        const CoverageRange *range = &coverage->runs.items[i];
        CoverageTimeline *timeline = find_timeline(coverage, range->timeline);
        if (timeline->range_count++ == 0)
            timeline->ranges = range;
        timeline->segments += (range->end - range->begin) / coverage->report.segment_size;
        timeline->stored += range->stored;
    }
    for (size_t i = 0; i < coverage->report.timeline_count; i++)
        coverage->report.segments += coverage->timelines[i].segments;
}

static void
assign_partials(Coverage *coverage)
{
    LIST_SORT(coverage->partials, partial_order);
    for (size_t i = 0; i < coverage->partials.count; i++) {
        CoveragePartial *partial = &coverage->partials.items[i];
        CoverageTimeline *timeline = find_timeline(coverage, partial->timeline);
        if (timeline->partial_count++ == 0)
            timeline->partials = partial;
        timeline->stored += partial->stored;
        partial->superseded = coverage_range_at(timeline, partial->begin) != NULL;
    }
}

static void
link_timelines(Coverage *coverage)
{
    for (size_t i = 0; i < coverage->histories.count; i++)
        find_timeline(coverage, coverage->histories.items[i])->has_history = true;
    for (size_t i = 0; i < coverage->links.count; i++) {
        const CoverageLink *link = &coverage->links.items[i];
        CoverageTimeline *child = find_timeline(coverage, link->child);
        CoverageTimeline *parent = find_timeline(coverage, link->parent);
        if (child->parent == 0) {
            child->parent = link->parent;
            child->switch_lsn = link->switch_lsn;
        } else if (child->parent != link->parent || child->switch_lsn != link->switch_lsn) {
            child->contradicted = true;
            continue;
        }
        if (link->switch_lsn > parent->left_at)
            parent->left_at = link->switch_lsn;
    }
}

/* Gaps */

/* Where the segment begins in which the timeline left its parent: from there on it has its own. */
static Lsn
first_of_own(const Coverage *coverage, const CoverageTimeline *timeline)
{
    return timeline->switch_lsn - timeline->switch_lsn % coverage->report.segment_size;
}

/* The last range that begins before `limit`, or NULL. */
static const CoverageRange *
last_range_before(const CoverageTimeline *timeline, Lsn limit)
{
    size_t low = 0, high = timeline->range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (timeline->ranges[middle].begin < limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &timeline->ranges[low - 1] : NULL;
}

static void
add_gap(Coverage *coverage, const CoverageTimeline *timeline, Lsn begin, Lsn end)
{
    if (begin < end)
        LIST_ADD(coverage->gaps, (CoverageGap){timeline->timeline, begin, end, -1});
}

/* What is missing before the timeline's first range, back to the nearest WAL of an ancestor.
 * Without any the archive begins here. */
static void
find_gaps_before(Coverage *coverage, const CoverageTimeline *timeline)
{
    size_t kept = coverage->gaps.count;
    Lsn begins = timeline->ranges[0].begin;
    while (timeline->parent) {
        Lsn own = first_of_own(coverage, timeline);
        add_gap(coverage, timeline, own, begins);
        timeline = find_timeline(coverage, timeline->parent);
        const CoverageRange *before = last_range_before(timeline, own);
        if (before) {
            add_gap(coverage, timeline, before->end, own);
            return;
        }
        begins = own;
    }
    coverage->gaps.count = kept;
}

static void
find_gaps(Coverage *coverage)
{
    for (size_t i = 0; i < coverage->report.timeline_count; i++) {
        const CoverageTimeline *timeline = &coverage->timelines[i];
        for (size_t r = 1; r < timeline->range_count; r++)
            add_gap(coverage, timeline, timeline->ranges[r - 1].end, timeline->ranges[r].begin);
        if (timeline->range_count)
            find_gaps_before(coverage, timeline);
    }
    /* Several children may miss the same. */
    LIST_SORT(coverage->gaps, gap_order);
    size_t kept = 0;
    for (size_t i = 0; i < coverage->gaps.count; i++) {
        CoverageGap *gap = &coverage->gaps.items[i];
        CoverageGap *last = kept ? &coverage->gaps.items[kept - 1] : NULL;
        if (!last || last->timeline != gap->timeline || last->end < gap->begin)
            coverage->gaps.items[kept++] = *gap;
        else if (gap->end > last->end)
            last->end = gap->end;
    }
    coverage->gaps.count = kept;
}

/* The first loss that has something of [begin, end): the one that begins first; -1: none. */
static int
find_loss(const Coverage *coverage, const CoverageGap *gap, Lsn begin)
{
    int found = -1;
    for (size_t i = 0; i < coverage->losses.count; i++) {
        const CoverageLoss *loss = &coverage->losses.items[i];
        if (loss->timeline == gap->timeline && loss->begin < gap->end && loss->end > begin &&
            (found < 0 || loss->begin < coverage->losses.items[found].begin))
            found = (int)i;
    }
    return found;
}

/* Cuts gaps at the borders of losses. */
static void
explain_gaps(Coverage *coverage)
{
    LIST(CoverageGap) cut = {0};
    for (size_t i = 0; i < coverage->gaps.count; i++) {
        CoverageGap gap = coverage->gaps.items[i];
        for (int loss; gap.begin < gap.end && (loss = find_loss(coverage, &gap, gap.begin)) >= 0;) {
            const CoverageLoss *known = &coverage->losses.items[loss];
            if (known->begin > gap.begin)
                LIST_ADD(cut, (CoverageGap){gap.timeline, gap.begin, known->begin, -1});
            Lsn begin = known->begin > gap.begin ? known->begin : gap.begin;
            Lsn end = known->end < gap.end ? known->end : gap.end;
            LIST_ADD(cut, (CoverageGap){gap.timeline, begin, end, loss});
            coverage->report.loss_count++;
            gap.begin = end;
        }
        if (gap.begin < gap.end)
            LIST_ADD(cut, gap);
    }
    free(coverage->gaps.items);
    coverage->gaps.items = cut.items;
    coverage->gaps.count = coverage->report.gap_count = cut.count;
    coverage->gaps.room = cut.room;
    for (size_t i = 0; i < cut.count; i++) {
        CoverageTimeline *timeline = find_timeline(coverage, cut.items[i].timeline);
        if (timeline->gap_count++ == 0)
            timeline->gaps = &cut.items[i];
    }
}

/* Windows */

/* Back from the newest range, as long as each is there up to where the one after it begins. A
 * timeline that was left in the segment in which it began has nothing that could be missing. */
static void
find_window(const Coverage *coverage, CoverageTimeline *timeline)
{
    const CoverageTimeline *at = timeline;
    const CoverageRange *range = &at->ranges[at->range_count - 1];
    timeline->window_timeline = at->timeline;
    timeline->window_begin = range->begin;
    timeline->window_end = range->end;
    while (at->parent && timeline->window_begin <= first_of_own(coverage, at)) {
        Lsn own = first_of_own(coverage, at);
        at = find_timeline(coverage, at->parent);
        range = last_range_before(at, own);
        if (range && range->end < own)
            return;
        if (range) {
            timeline->window_timeline = at->timeline;
            timeline->window_begin = range->begin;
        }
    }
}

const CoverageReport *
coverage_finish(Coverage *coverage)
{
    coverage_merge_runs(coverage);
    make_timelines(coverage);
    assign_ranges(coverage);
    assign_partials(coverage);
    link_timelines(coverage);
    find_gaps(coverage);
    explain_gaps(coverage);
    for (size_t i = 0; i < coverage->report.timeline_count; i++)
        if (coverage->timelines[i].range_count)
            find_window(coverage, &coverage->timelines[i]);
    return &coverage->report;
}

const CoverageTimeline *
coverage_timeline(const CoverageReport *report, Timeline timeline)
{
    size_t low = 0, high = report->timeline_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (report->timelines[middle].timeline < timeline)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < report->timeline_count && report->timelines[low].timeline == timeline;
    return found ? &report->timelines[low] : NULL;
}

const CoverageRange *
coverage_range_at(const CoverageTimeline *timeline, Lsn lsn)
{
    const CoverageRange *range = lsn < UINT64_MAX ? last_range_before(timeline, lsn + 1) : NULL;
    return range && lsn < range->end ? range : NULL;
}
