/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"
#include "base/str.h"
#include "wal/coverage.h"
#include "wal/name.h"

enum { SEGMENT = 16 << 20, PER_LOG = 256 };

static Lsn
at(uint64_t number)
{
    return number * SEGMENT;
}

static void
add_name(Coverage *coverage, const char *name)
{
    WalFile row = {.kind = wal_kind(name), .size = 10, .mtime = {.tv_sec = 1000}};
    snprintf(row.name, sizeof(row.name), "%s", name);
    coverage_add(coverage, &row);
}

static void
add_segment(Coverage *coverage, Timeline timeline, uint64_t number)
{
    WalFile row = {.kind = WAL_SEGMENT, .size = 10, .mtime = {.tv_sec = 1000 + (time_t)number}};
    wal_segment_name(timeline, at(number), SEGMENT, row.name);
    coverage_add(coverage, &row);
}

static void
add_segments(Coverage *coverage, Timeline timeline, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++)
        add_segment(coverage, timeline, number);
}

/* "1:80 2:100": timelines and the segment, in half segments, at which they were left */
static void
add_history(Coverage *coverage, Timeline timeline, const char *text)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(str) Str lines = {0};
    History history;
    unsigned parent = 0, half = 0;
    int length = 0;
    for (; sscanf(text, " %u:%u%n", &parent, &half, &length) == 2; text += length) {
        Lsn lsn = (uint64_t)half * (SEGMENT / 2);
        str_appendf(&lines, "%u\t%X/%X\treason\n", parent, (unsigned)(lsn >> 32), (unsigned)lsn);
    }
    assert_done(history_parse(str_text(&lines), arena, &history));
    assert_true(coverage_add_history(coverage, timeline, &history));
}

/* "1[3-7,9-9] gap 8-8; ..." of all timelines, in segment numbers; a window in angle brackets */
static char *
describe(const CoverageReport *report)
{
    Str text = {0};
    for (size_t t = 0; t < report->timeline_count; t++) {
        const CoverageTimeline *timeline = &report->timelines[t];
        str_appendf(&text, "%s%u[", t ? "; " : "", timeline->timeline);
        for (size_t i = 0; i < timeline->range_count; i++)
            str_appendf(&text, "%s%llu-%llu", i ? "," : "",
                        (unsigned long long)(timeline->ranges[i].begin / SEGMENT),
                        (unsigned long long)(timeline->ranges[i].end / SEGMENT - 1));
        str_append(&text, "]");
        for (size_t i = 0; i < timeline->gap_count; i++)
            str_appendf(&text, " gap%s %llu-%llu", timeline->gaps[i].loss >= 0 ? "(lost)" : "",
                        (unsigned long long)(timeline->gaps[i].begin / SEGMENT),
                        (unsigned long long)(timeline->gaps[i].end / SEGMENT - 1));
        if (timeline->range_count)
            str_appendf(&text, " <%u:%llu-%llu>", timeline->window_timeline,
                        (unsigned long long)(timeline->window_begin / SEGMENT),
                        (unsigned long long)(timeline->window_end / SEGMENT - 1));
    }
    return text.data ? text.data : mem_dup("");
}

typedef struct Run {
    Timeline timeline;
    uint64_t first, last;
} Run;

typedef struct Case {
    const char *name;
    Run runs[8];
    const char *histories[6]; /* of the timeline of that index */
    Run losses[3];
    const char *expected;
} Case;

static const Case cases[] = {
    {"nothing", {{0}}, {NULL}, {{0}}, ""},
    {"one range", {{1, 3, 7}}, {NULL}, {{0}}, "1[3-7] <1:3-7>"},
    {"over the border of a log file", {{1, 250, 260}}, {NULL}, {{0}}, "1[250-260] <1:250-260>"},
    {"a gap", {{1, 3, 7}, {1, 9, 9}}, {NULL}, {{0}}, "1[3-7,9-9] gap 8-8 <1:9-9>"},
    {"filled later", {{1, 3, 7}, {1, 9, 9}, {1, 8, 8}}, {NULL}, {{0}}, "1[3-9] <1:3-9>"},
    {"backwards", {{1, 9, 9}, {1, 8, 8}, {1, 3, 6}}, {NULL}, {{0}}, "1[3-6,8-9] gap 7-7 <1:8-9>"},
    {"a gap that is partly lost",
     {{1, 1, 1}, {1, 9, 9}},
     {NULL},
     {{1, 3, 4}, {1, 4, 5}},
     "1[1-1,9-9] gap 2-2 gap(lost) 3-4 gap(lost) 5-5 gap 6-8 <1:9-9>"},
    {"a gap that is lost",
     {{1, 1, 1}, {1, 4, 4}},
     {NULL},
     {{2, 1, 9}, {1, 1, 9}},
     "1[1-1,4-4] gap(lost) 2-3 <1:4-4>"},
    {"a promotion in segment 5",
     {{1, 3, 4}, {2, 5, 8}},
     {[2] = "1:11"},
     {{0}},
     "1[3-4] <1:3-4>; 2[5-8] <1:3-8>"},
    {"a promotion on a border",
     {{1, 3, 4}, {2, 5, 8}},
     {[2] = "1:10"},
     {{0}},
     "1[3-4] <1:3-4>; 2[5-8] <1:3-8>"},
    {"the old server went on",
     {{1, 3, 9}, {2, 5, 8}},
     {[2] = "1:11"},
     {{0}},
     "1[3-9] <1:3-9>; 2[5-8] <1:3-8>"},
    {"the end of the old timeline is missing",
     {{1, 3, 3}, {2, 5, 8}},
     {[2] = "1:11"},
     {{0}},
     "1[3-3] gap 4-4 <1:3-3>; 2[5-8] <2:5-8>"},
    {"the first segment of the new timeline is missing",
     {{1, 3, 4}, {2, 6, 8}},
     {[2] = "1:11"},
     {{0}},
     "1[3-4] <1:3-4>; 2[6-8] gap 5-5 <2:6-8>"},
    {"both, and the segment on the old timeline does not help",
     {{1, 3, 3}, {1, 5, 5}, {2, 6, 8}},
     {[2] = "1:11"},
     {{0}},
     "1[3-3,5-5] gap 4-4 <1:5-5>; 2[6-8] gap 5-5 <2:6-8>"},
    {"what retention took away is not missing",
     {{2, 7, 8}, {3, 9, 9}},
     {[2] = "1:11", [3] = "1:11 2:18"},
     {{0}},
     "1[]; 2[7-8] <2:7-8>; 3[9-9] <2:7-9>"},
    {"a timeline without any WAL in between",
     {{1, 3, 4}, {3, 8, 9}},
     {[3] = "1:11 2:17"},
     {{0}},
     "1[3-4] <1:3-4>; 2[] gap 5-7; 3[8-9] <3:8-9>"},
    {"a short timeline, two switches in one segment",
     {{1, 3, 4}, {3, 5, 9}},
     {[3] = "1:10 2:11"},
     {{0}},
     "1[3-4] <1:3-4>; 2[]; 3[5-9] <1:3-9>"},
    {"two children of one timeline",
     {{1, 3, 4}, {2, 5, 8}, {3, 7, 8}},
     {[2] = "1:11", [3] = "1:14"},
     {{0}},
     "1[3-4] gap 5-6 <1:3-4>; 2[5-8] <1:3-8>; 3[7-8] <3:7-8>"},
    {"not archived yet is not missing", {{1, 3, 4}}, {[2] = "1:20"}, {{0}}, "1[3-4] <1:3-4>; 2[]"},
    {"no history file", {{1, 3, 4}, {2, 5, 8}}, {NULL}, {{0}}, "1[3-4] <1:3-4>; 2[5-8] <2:5-8>"},
    {"begins before it left its parent",
     {{1, 3, 4}, {2, 4, 8}},
     {[2] = "1:11"},
     {{0}},
     "1[3-4] <1:3-4>; 2[4-8] <1:3-8>"},
};

static void
test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const Case *c = &cases[i];
        AUTO(coverage) Coverage *coverage = coverage_new(SEGMENT);
        for (size_t r = 0; r < COUNT_OF(c->runs) && c->runs[r].timeline; r++)
            add_segments(coverage, c->runs[r].timeline, c->runs[r].first, c->runs[r].last);
        for (Timeline t = 0; t < COUNT_OF(c->histories); t++)
            if (c->histories[t])
                add_history(coverage, t, c->histories[t]);
        for (size_t l = 0; l < COUNT_OF(c->losses) && c->losses[l].timeline; l++)
            coverage_add_loss(coverage, c->losses[l].timeline, at(c->losses[l].first),
                              at(c->losses[l].last + 1));
        AUTO(free) char *text = describe(coverage_finish(coverage));
        if (strcmp(text, c->expected) != 0)
            fail_msg("%s: '%s' instead of '%s'", c->name, text, c->expected);
    }
}

static void
test_counts(void **state)
{
    (void)state;
    AUTO(coverage) Coverage *coverage = coverage_new(SEGMENT);
    add_segments(coverage, 1, 1, 4);
    add_segment(coverage, 1, 2); /* again */
    add_segment(coverage, 1, 4); /* again */
    add_name(coverage, "000000010000000000000005.partial");
    add_name(coverage, "000000010000000000000003.partial");
    add_name(coverage, "000000010000000000000003.00000028.backup");
    add_name(coverage, "000000010000000000000100"); /* with 16 MB: no such number */
    add_name(coverage, "00000001FFFFFFFF000000FF"); /* ends where numbers do */
    add_name(coverage, "0000000A.history");
    const CoverageReport *report = coverage_finish(coverage);
    assert_int_equal(report->segments, 4);
    assert_int_equal(report->duplicates, 2);
    assert_int_equal(report->partials, 2);
    assert_int_equal(report->labels, 1);
    assert_int_equal(report->histories, 1);
    assert_int_equal(report->misfits, 2);
    assert_int_equal(report->stored, 120);
    assert_int_equal(report->timeline_count, 2);
    const CoverageTimeline *timeline = coverage_timeline(report, 1);
    assert_int_equal(timeline->stored, 80);
    assert_int_equal(timeline->ranges[0].oldest.tv_sec, 1001);
    assert_int_equal(timeline->ranges[0].newest.tv_sec, 1004);
    assert_int_equal(timeline->partial_count, 2);
    assert_true(timeline->partials[0].superseded);
    assert_false(timeline->partials[1].superseded);
    assert_int_equal(timeline->partials[1].begin, at(5));
    assert_null(coverage_timeline(report, 2));
    assert_false(coverage_timeline(report, 10)->has_history);
    assert_null(coverage_range_at(timeline, at(1) - 1));
    assert_non_null(coverage_range_at(timeline, at(1)));
    assert_non_null(coverage_range_at(timeline, at(5) - 1));
    assert_null(coverage_range_at(timeline, at(5)));
}

static void
test_tree(void **state)
{
    (void)state;
    AUTO(coverage) Coverage *coverage = coverage_new(SEGMENT);
    History wrong = {1, &(HistoryEntry){5, at(1), ""}};
    assert_false(coverage_add_history(coverage, 5, &wrong));
    add_history(coverage, 3, "1:11 2:17");
    add_history(coverage, 2, "1:12");
    add_history(coverage, 4, "1:11 2:19");
    const CoverageReport *report = coverage_finish(coverage);
    assert_int_equal(report->timeline_count, 4);
    const CoverageTimeline *two = coverage_timeline(report, 2);
    assert_true(two->contradicted && two->has_history);
    assert_int_equal(two->parent, 1);
    assert_int_equal(two->switch_lsn, at(11) / 2);
    assert_int_equal(two->left_at, at(19) / 2);
    assert_int_equal(coverage_timeline(report, 1)->left_at, at(11) / 2);
    assert_false(coverage_timeline(report, 3)->contradicted);
}

/* Every second segment, backwards, and then those between: the worst for runs. */
static void
test_disorder(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    AUTO(coverage) Coverage *coverage = coverage_new(SEGMENT);
    for (uint64_t i = COUNT; i > 0; i--)
        add_segment(coverage, 1 + (i & 1), i / 2 * 2);
    for (uint64_t i = 0; i < COUNT; i++)
        add_segment(coverage, 1 + (i & 1), i / 2 * 2 + 1);
    const CoverageReport *report = coverage_finish(coverage);
    assert_int_equal(report->duplicates, 0);
    assert_int_equal(report->gap_count, 0);
    assert_int_equal(report->segments, 2 * COUNT);
    assert_int_equal(report->timelines[0].range_count, 1);
    assert_int_equal(report->timelines[1].range_count, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_disorder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
