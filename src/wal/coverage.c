/* SPDX-License-Identifier: PostgreSQL
 * Rows become runs: each row that follows the one before it makes a run longer, any other begins a
 * new one. So a catalog in order needs a run for each range, and one in disorder is sorted a few
 * times on the way, as runs, whenever these would need more memory. The timelines and what is
 * missing between them is found out at the end, from the runs alone. Never looks at a file. */
#include "wal/coverage.h"

#include "base/mem.h"
#include "wal/name.h"

#include <assert.h>

enum { RUNS_MIN = 64 };

/* Said by a history file */
typedef struct Link {
    Timeline child, parent;
    Lsn switch_lsn;
} Link;

typedef struct Loss {
    Timeline timeline;
    Lsn begin, end;
} Loss;

/* An array that grows; one for each kind of thing */
#define LIST(type)                                                                                 \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t count, room;                                                                        \
    }

#define LIST_ADD(list, ...)                                                                        \
    do {                                                                                           \
        if ((list).count == (list).room) {                                                         \
            (list).room = (list).room ? 2 * (list).room : 16;                                      \
            (list).items = mem_resize((list).items, (list).room, sizeof(*(list).items));           \
        }                                                                                          \
        (list).items[(list).count++] = (__VA_ARGS__);                                              \
    } while (0)

#define LIST_SORT(list, order)                                                                     \
    do {                                                                                           \
        if ((list).count > 1)                                                                      \
            qsort((list).items, (list).count, sizeof(*(list).items), order);                       \
    } while (0)

struct Coverage {
    CoverageReport report;
    CoverageTimeline *timelines;
    LIST(CoverageRange) runs;
    bool unsorted; /* the runs */
    LIST(CoveragePartial) partials;
    LIST(CoverageGap) gaps;
    LIST(Link) links;
    LIST(Timeline) named;     /* every timeline that was named anywhere but in a run */
    LIST(Timeline) histories; /* those whose history file was added */
    LIST(Loss) losses;
};

/* Orders */

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int
by_place(Timeline timeline_a, Lsn a, Timeline timeline_b, Lsn b)
{
    return timeline_a != timeline_b ? COMPARE(timeline_a, timeline_b) : COMPARE(a, b);
}

static int
range_order(const void *a, const void *b)
{
    const CoverageRange *x = a, *y = b;
    return by_place(x->timeline, x->begin, y->timeline, y->begin);
}

static int
gap_order(const void *a, const void *b)
{
    const CoverageGap *x = a, *y = b;
    return by_place(x->timeline, x->begin, y->timeline, y->begin);
}

static int
partial_order(const void *a, const void *b)
{
    const CoveragePartial *x = a, *y = b;
    return by_place(x->timeline, x->begin, y->timeline, y->begin);
}

static int
timeline_order(const void *a, const void *b)
{
    return COMPARE(*(const Timeline *)a, *(const Timeline *)b);
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
static void
merge_runs(Coverage *coverage)
{
    CoverageRange *runs = coverage->runs.items;
    size_t kept = 0;
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
        merge_runs(coverage);
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
        LIST_ADD(coverage->links, (Link){child, entry->parent, entry->switch_lsn});
        LIST_ADD(coverage->named, entry->parent);
    }
    return true;
}

void
coverage_add_loss(Coverage *coverage, Timeline timeline, Lsn begin, Lsn end)
{
    assert(begin < end);
    LIST_ADD(coverage->losses, (Loss){timeline, begin, end});
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
        const Link *link = &coverage->links.items[i];
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
        const Loss *loss = &coverage->losses.items[i];
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
            const Loss *known = &coverage->losses.items[loss];
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
    merge_runs(coverage);
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
