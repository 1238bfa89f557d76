/* SPDX-License-Identifier: PostgreSQL
 * Which WAL is there, which is missing in between, and from where to where can be recovered? An
 * account of rows (of the catalog, or of the archive itself) and history files, added in any order:
 *
 *     Coverage *coverage = coverage_new(segment_size);
 *     coverage_add(coverage, &row);                      each row
 *     coverage_add_history(coverage, timeline, &history); each history file that can be read
 *     const CoverageReport *report = coverage_finish(coverage);
 *
 * A gap is WAL that is missing with WAL before it and behind it, on the way to one timeline: within
 * a timeline, where it begins, or on an ancestor up to the point where the way leaves it. The
 * segment in which a timeline ends is not missed there, since its successor begins with a copy of
 * it. What is missing at the beginning (retention) or at the end (not archived yet) is no gap.
 *
 * Memory is in proportion to the number of ranges, not of rows; 1,000,000 rows take less than a
 * second, in whatever order. */
#ifndef WALDEN_WAL_COVERAGE_H
#define WALDEN_WAL_COVERAGE_H

#include "wal/history.h"
#include "wal/wal.h"

#include <stdbool.h>
#include <stddef.h>

/* Whole segments of one timeline, none missing. Positions are always those of segment borders;
 * wal_segment_name(timeline, begin) is the first one's name, and that of end - 1 the last one's. */
typedef struct CoverageRange {
    Timeline timeline;
    Lsn begin, end;                 /* of its first byte, and behind its last one */
    int64_t stored;                 /* bytes of all its rows */
    struct timespec oldest, newest; /* modification times among them */
} CoverageRange;

typedef struct CoverageGap {
    Timeline timeline; /* on which it is missing */
    Lsn begin, end;
    int loss; /* index of the coverage_add_loss() that explains it, or -1 */
} CoverageGap;

typedef struct CoveragePartial {
    Timeline timeline;
    Lsn begin;
    int64_t stored;
    struct timespec time;
    bool superseded; /* the whole segment is there, too */
} CoveragePartial;

typedef struct CoverageTimeline {
    Timeline timeline;
    bool has_history;  /* its own history file was added */
    bool contradicted; /* history files do not agree on its parent (the first one counts) */
    Timeline parent;   /* 0: none, or not known */
    Lsn switch_lsn;    /* where it left its parent */
    Lsn left_at;       /* where the last of its children left it; 0: none is known */
    const CoverageRange *ranges; /* in order; so are gaps and partials */
    size_t range_count;
    const CoverageGap *gaps;
    size_t gap_count;
    const CoveragePartial *partials;
    size_t partial_count;
    uint64_t segments; /* in all ranges */
    int64_t stored;    /* bytes of its rows: segments and partial ones */

    /* What a recovery along this timeline can use without a break, up to its newest segment: a base
     * backup that began here, on that timeline or a later one of the way, can be brought to
     * window_end. Without any range all three are 0. */
    Timeline window_timeline;
    Lsn window_begin, window_end;
} CoverageTimeline;

typedef struct CoverageReport {
    uint32_t segment_size;
    const CoverageTimeline *timelines; /* ascending; also those that only a history file names */
    size_t timeline_count;
    size_t gap_count;  /* of all timelines; of these: */
    size_t loss_count; /* explained by a loss */
    uint64_t segments;
    size_t partials, labels, histories; /* rows */
    size_t duplicates; /* rows of a segment that had one; their bytes are in `stored` too */
    size_t misfits;    /* rows of segments whose number is too large for the segment size */
    int64_t stored;    /* bytes of all rows */
} CoverageReport;

typedef struct Coverage Coverage;

/* segment_size must be valid (wal_segment_size_valid). */
Coverage *coverage_new(uint32_t segment_size);
void coverage_free(Coverage *coverage);

AUTO_DEFINE(coverage, Coverage *, coverage_free)

/* Counts a file. Only name, kind, size and mtime are looked at. */
void coverage_add(Coverage *coverage, const WalFile *row);

/* Counts a stretch of whole segments of which bytes and times are not known. */
void coverage_add_range(Coverage *coverage, Timeline timeline, Lsn begin, Lsn end);

/* The contents of this timeline's history file; copied. False, and nothing is added, when its last
 * parent is not older than the timeline itself. */
bool coverage_add_history(Coverage *coverage, Timeline timeline, const History *history);

/* This WAL is known to be lost: a gap there is explained by it. Gaps are cut at its borders. */
void coverage_add_loss(Coverage *coverage, Timeline timeline, Lsn begin, Lsn end);

/* The account, once, after all was added. It lives as long as the coverage. */
const CoverageReport *coverage_finish(Coverage *coverage);

/* One timeline of it, or NULL. */
const CoverageTimeline *coverage_timeline(const CoverageReport *report, Timeline timeline);

/* The range that holds the segment of that position, or NULL. */
const CoverageRange *coverage_range_at(const CoverageTimeline *timeline, Lsn lsn);

/* How many segments a stretch has. */
static inline uint64_t
coverage_segments(const CoverageReport *report, Lsn begin, Lsn end)
{
    return (end - begin) / report->segment_size;
}

#endif
