/* SPDX-License-Identifier: PostgreSQL
 * What coverage.c collects and account.c makes an account of. Only for the two. */
#ifndef WALDEN_WAL_COVERAGE_STATE_H
#define WALDEN_WAL_COVERAGE_STATE_H

#include "base/mem.h"
#include "wal/coverage.h"

/* Said by a history file */
typedef struct CoverageLink {
    Timeline child, parent;
    Lsn switch_lsn;
} CoverageLink;

typedef struct CoverageLoss {
    Timeline timeline;
    Lsn begin, end;
} CoverageLoss;

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
    LIST(CoverageLink) links;
    LIST(Timeline) named;     /* every timeline that was named anywhere but in a run */
    LIST(Timeline) histories; /* those whose history file was added */
    LIST(CoverageLoss) losses;
};

/* Of two places, as qsort wants it */
#define COVERAGE_COMPARE(a, b) (((a) > (b)) - ((a) < (b)))
#define COVERAGE_ORDER(timeline_a, a, timeline_b, b)                                               \
    ((timeline_a) != (timeline_b) ? COVERAGE_COMPARE(timeline_a, timeline_b)                       \
                                  : COVERAGE_COMPARE(a, b))

/* Puts the runs in order, and each range into one of them. */
void coverage_merge_runs(Coverage *coverage);

#endif
