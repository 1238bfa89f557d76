/* SPDX-License-Identifier: PostgreSQL
 * Which names may go: positions, timelines, backups, policies. Segments have 16 MiB here, so that a
 * position of 0/NN000000 is the segment NN. */
#include "../unit.h"

#include "base/str.h"
#include "flow/horizon.h"

#define ONE(number) "0000000100000000000000" number
#define TWO(number) "0000000200000000000000" number
#define THREE(number) "0000000300000000000000" number
#define LABEL ".00000028.backup"

typedef struct Row {
    const char *name;
    time_t time;
    bool kept;
} Row;

static Arena *arena;

static void
fill(Horizon *horizon, const Row *rows)
{
    *horizon = (Horizon){.arena = arena, .segment_size = WAL_SEGMENT_DEFAULT};
    for (; rows->name; rows++) {
        WalFile row = {.kind = wal_kind(rows->name), .size = 10, .mtime = {.tv_sec = rows->time}};
        snprintf(row.name, sizeof(row.name), "%s", rows->name);
        horizon_add(horizon, &row, rows->kept);
    }
}

static void
set_history(Horizon *horizon, Timeline timeline, const char *text)
{
    for (size_t i = 0; i < horizon->branch_count; i++)
        if (horizon->branches[i].timeline == timeline)
            assert_done(history_parse(text, arena, &horizon->branches[i].history));
}

/* The rows that may go, by their last two digits of the segment, with the timeline before. */
static void
assert_goes(const Horizon *horizon, const Row *rows, const char *expected)
{
    AUTO(str) Str goes = {0};
    for (; rows->name; rows++)
        if (horizon_deletes(horizon, rows->name))
            str_appendf(&goes, "%c:%.2s%s ", rows->name[7], rows->name + 22,
                        strstr(rows->name, ".backup") ? ".backup" : "");
    assert_string_equal(str_text(&goes), expected);
}

static const Row simple[] = {
    {"00000002.history", 1, false},
    {ONE("01"), 1, false},
    {ONE("02"), 2, false},
    {ONE("02") ".partial", 2, false},
    {ONE("03"), 3, false},
    {ONE("04"), 4, false},
    {NULL, 0, false},
};

static void
test_position(void **state)
{
    (void)state;
    Horizon h;
    fill(&h, simple);
    assert_goes(&h, simple, ""); /* before it was put anywhere */
    assert_int_equal(h.bytes, 60);
    assert_done(horizon_set(&h, 3, false));
    assert_goes(&h, simple, "1:01 1:02 1:02 ");
    assert_false(horizon_deletes(&h, "0000000100000000.history"));
    assert_false(horizon_deletes(&h, "README"));
    assert_true(horizon_deletes(&h, TWO("02"))); /* of a timeline without rows */
    assert_false(horizon_deletes(&h, TWO("03")));
    assert_done(horizon_set(&h, POSITION_NONE, false));
    assert_goes(&h, simple, "1:01 1:02 1:02 1:03 ");
}

static void
test_directories(void **state)
{
    (void)state;
    Horizon h;
    fill(&h, simple);
    assert_done(horizon_set(&h, (WalPosition)2 << 32 | 3, false));
    assert_true(horizon_concerns(&h, "0000000100000000"));
    assert_false(horizon_concerns(&h, "0000000100000001")); /* the newest segment is before it */
    assert_true(horizon_concerns(&h, "0000000700000002"));
    assert_false(horizon_concerns(&h, "0000000700000003"));
}

/* Without rows nothing is known, so nothing goes. */
static void
test_nothing(void **state)
{
    static const Row rows[] = {{"00000002.history", 1, true}, {NULL, 0, false}};
    (void)state;
    Horizon h;
    fill(&h, rows);
    horizon_fit(&h, true);
    assert_false(horizon_deletes(&h, ONE("01")));
    assert_int_equal(horizon_lowest_kept(&h), POSITION_NONE);
    assert_null(horizon_label(&h, ONE("01") LABEL));
}

/* The newest is the one that came last, whatever its name. */
static void
test_newest(void **state)
{
    static const Row rows[] = {{TWO("09"), 5, false},
                               {ONE("05"), 8, false},
                               {ONE("06"), 8, false},
                               {ONE("07"), 7, false},
                               {ONE("08") ".partial", 9, false},
                               {NULL, 0, false}};
    (void)state;
    Horizon h;
    fill(&h, rows);
    assert_string_equal(h.newest.name, ONE("06"));
    horizon_fit(&h, true);
    assert_goes(&h, rows, "2:09 1:05 ");
}

static void
test_refusals(void **state)
{
    static const Row rows[] = {{ONE("01"), 1, false},
                               {ONE("02"), 2, false},
                               {ONE("03"), 3, false},
                               {ONE("02") LABEL, 3, false},
                               {ONE("03") LABEL, 4, false},
                               {ONE("09"), 9, false},
                               {NULL, 0, false}};
    static const Backup barman[] = {{.name = "B2", .timeline = 1, .start = 3, .end = 3},
                                    {.name = "B1", .timeline = 1, .start = 2, .end = 3}};
    (void)state;
    Horizon h;
    fill(&h, rows);
    assert_done(horizon_set(&h, 2, false));
    assert_fails(horizon_set(&h, 4, false), ERR_USAGE, ONE("02") LABEL);
    assert_non_null(strstr(error_last()->hint, "--before " ONE("03") LABEL));
    assert_goes(&h, rows, "1:01 "); /* as it was */
    assert_done(horizon_set(&h, 4, true));
    h.barman = barman;
    h.barman_count = COUNT_OF(barman);
    assert_fails(horizon_set(&h, 4, true), ERR_USAGE, "'B1' needs the WAL from '" ONE("02") "'");
    assert_done(horizon_set(&h, 2, false));
}

static void
test_standalone(void **state)
{
    static const Row rows[] = {{ONE("01"), 1, false},       {ONE("02"), 2, false},
                               {ONE("02") LABEL, 3, false}, {ONE("03"), 3, false},
                               {ONE("04"), 4, false},       {TWO("02"), 4, false},
                               {ONE("09"), 9, true},        {NULL, 0, false}};
    static const Backup barman[] = {
        {.name = "B", .timeline = 1, .start = 2, .offset = 0x28, .end = 3, .standalone = true}};
    (void)state;
    Horizon h;
    fill(&h, rows);
    h.barman = barman;
    h.barman_count = 1;
    assert_done(horizon_set(&h, 9, false));
    assert_goes(&h, rows, "1:01 1:04 2:02 ");
    horizon_fit(&h, false);
    assert_goes(&h, rows, "1:01 1:04 2:02 ");
}

/* Another backup began in the same segment: that one needs what comes later. */
static void
test_standalone_is_that_backup_only(void **state)
{
    static const Row rows[] = {{ONE("01"), 1, false},       {ONE("02"), 2, false},
                               {ONE("02") LABEL, 3, false}, {ONE("04"), 4, false},
                               {ONE("09"), 9, true},        {NULL, 0, false}};
    static const Backup barman[] = {{.name = "B",
                                     .timeline = 1,
                                     .start = 2,
                                     .offset = OFFSET_UNKNOWN,
                                     .end = 3,
                                     .standalone = true}};
    (void)state;
    Horizon h;
    fill(&h, rows);
    h.barman = barman;
    h.barman_count = 1;
    assert_fails(horizon_set(&h, 9, false), ERR_USAGE, ONE("02") LABEL);
    horizon_fit(&h, false);
    assert_goes(&h, rows, "1:01 ");
}

/* Timeline 2 left 1 at 0/05800000, within segment 05; both went on. */
static const Row forked[] = {
    {ONE("01"), 1, false}, {ONE("02") LABEL, 3, false}, {ONE("02"), 2, false},
    {ONE("05"), 5, false}, {ONE("06"), 6, false},       {ONE("08"), 8, false},
    {TWO("05"), 10, true}, {TWO("06"), 11, true},       {NULL, 0, false},
};
static const char forked_history[] = "1\t0/5800000\tno recovery target specified\n";

/* The way from the backup to timeline 2 stays, and so does what else can be reached from it. */
static void
test_way_of_a_backup(void **state)
{
    (void)state;
    Horizon h;
    fill(&h, forked);
    set_history(&h, 2, forked_history);
    horizon_fit(&h, true);
    assert_goes(&h, forked, "1:01 ");
    assert_done(horizon_set(&h, 2, false)); /* "before 2:02": not all of timeline 1, as in Barman */
    assert_goes(&h, forked, "1:01 ");
}

static const struct {
    const char *label;   /* name of the only kept label */
    const char *history; /* of timeline 2; NULL: none */
    uint32_t segment_size;
    const char *goes;
} reach_cases[] = {
    /* in time for the switch: within its very segment */
    {ONE("05") LABEL, forked_history, WAL_SEGMENT_DEFAULT, "1:01 1:02 "},
    /* too late for it: nothing leads to timeline 2 */
    {ONE("06") LABEL, forked_history, WAL_SEGMENT_DEFAULT, "1:01 1:02 1:05 2:05 2:06 "},
    /* nothing of timeline 1 can be reached from timeline 2 */
    {TWO("05") LABEL, forked_history, WAL_SEGMENT_DEFAULT, "1:01 1:02 1:05 1:06 1:08 "},
    {TWO("06") LABEL, forked_history, WAL_SEGMENT_DEFAULT, "1:01 1:02 1:05 1:06 1:08 2:05 "},
    /* in doubt more is kept */
    {ONE("05") LABEL, NULL, WAL_SEGMENT_DEFAULT, "1:01 1:02 "},
    {ONE("05") LABEL, forked_history, 0, "1:01 1:02 "},
};

static void
test_reach(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(reach_cases); i++) {
        static const Row plain[] = {{ONE("01"), 1, false},  {ONE("02"), 2, false},
                                    {ONE("05"), 5, false},  {ONE("06"), 6, false},
                                    {ONE("08"), 8, false},  {TWO("05"), 10, false},
                                    {TWO("06"), 11, false}, {NULL, 0, false}};
        Row rows[COUNT_OF(plain) + 1];
        memcpy(rows, plain, sizeof(plain));
        rows[COUNT_OF(plain) - 1] = (Row){reach_cases[i].label, 12, true};
        rows[COUNT_OF(plain)] = (Row){NULL, 0, false};
        Horizon h;
        fill(&h, rows);
        h.segment_size = reach_cases[i].segment_size;
        if (reach_cases[i].history)
            set_history(&h, 2, reach_cases[i].history);
        h.newest = (WalFile){.kind = WAL_NONE}; /* not what is tested here */
        horizon_fit(&h, false);
        AUTO(str) Str goes = {0};
        for (const Row *row = plain; row->name; row++)
            if (horizon_deletes(&h, row->name))
                str_appendf(&goes, "%c:%.2s ", row->name[7], row->name + 22);
        if (strcmp(str_text(&goes), reach_cases[i].goes) != 0)
            fail_msg("case %zu: %s", i, str_text(&goes));
    }
}

/* The backups that count are on the way that was left: one that leads to timeline 2 stays, too. */
static void
test_living_timeline_keeps_a_backup(void **state)
{
    static const Row rows[] = {
        {ONE("01"), 1, false}, {ONE("02"), 2, false}, {ONE("02") LABEL, 3, false},
        {ONE("06"), 6, true},  {ONE("07"), 7, true},  {ONE("07") LABEL, 8, true},
        {TWO("05"), 10, true}, {TWO("06"), 11, true}, {NULL, 0, false},
    };
    (void)state;
    Horizon h;
    fill(&h, rows);
    set_history(&h, 2, forked_history);
    horizon_fit(&h, false);
    assert_goes(&h, rows, "1:01 ");
}

/* A trial promotion that archived here, long ago: no backup leads there any more. */
static void
test_forgotten_timeline(void **state)
{
    static const Row rows[] = {
        {ONE("01"), 1, false},        {ONE("05"), 5, false},
        {TWO("05"), 6, false},        {TWO("09"), 7, false},
        {ONE("07") LABEL, 11, false}, {ONE("07"), 10, false},
        {ONE("08"), 20, true},        {NULL, 0, false},
    };
    (void)state;
    Horizon h;
    fill(&h, rows);
    set_history(&h, 2, forked_history);
    horizon_fit(&h, true);
    assert_goes(&h, rows, "1:01 1:05 2:05 2:09 ");
    assert_false(horizon_deletes(&h, TWO("0A"))); /* it may live again */
}

/* Over several switches, and a window's backup for each timeline that has something to keep. */
static void
test_three_timelines(void **state)
{
    static const Row rows[] = {
        {ONE("01"), 1, false}, {ONE("02"), 2, false},   {ONE("02") LABEL, 3, false},
        {ONE("05"), 5, false}, {TWO("05"), 6, false},   {TWO("07"), 7, false},
        {TWO("0A"), 8, false}, {THREE("07"), 20, true}, {NULL, 0, false},
    };
    (void)state;
    Horizon h;
    fill(&h, rows);
    set_history(&h, 2, forked_history);
    set_history(&h, 3, "1\t0/5800000\tx\n2\t0/7100000\ty\n");
    horizon_fit(&h, true);
    assert_goes(&h, rows, "1:01 ");
}

static void
test_window_and_count(void **state)
{
    static const Row rows[] = {
        {ONE("01"), 1, false}, {ONE("01") LABEL, 2, false}, {ONE("02"), 2, false},
        {ONE("03"), 3, false}, {ONE("03") LABEL, 4, false}, {ONE("04"), 4, false},
        {ONE("06"), 6, true},  {ONE("06") LABEL, 7, true},  {NULL, 0, false},
    };
    (void)state;
    Horizon h;
    fill(&h, rows);
    horizon_fit(&h, true);
    assert_goes(&h, rows, "1:01 1:01.backup 1:02 ");
    horizon_fit(&h, false);
    assert_goes(&h, rows, "1:01 1:01.backup 1:02 1:03 1:03.backup 1:04 ");
    static const Backup barman[] = {{.name = "B", .timeline = 1, .start = 4, .end = 4}};
    h.barman = barman;
    h.barman_count = 1;
    horizon_fit(&h, false);
    assert_goes(&h, rows, "1:01 1:01.backup 1:02 1:03 1:03.backup ");
}

/* The same answers after it was cleared, however much there was. */
static void
test_clear(void **state)
{
    (void)state;
    Horizon h;
    fill(&h, simple);
    for (unsigned i = 1; i < 100; i++) {
        WalFile row = {.kind = WAL_LABEL, .mtime = {.tv_sec = i}};
        snprintf(row.name, sizeof(row.name), "%08X%08X%08X" LABEL, i, 0, i);
        horizon_add(&h, &row, false);
    }
    assert_int_equal(h.label_count, 99);
    assert_int_equal(h.branch_count, 99);
    assert_non_null(horizon_label(&h, ONE("01") LABEL));
    horizon_clear(&h);
    assert_int_equal(h.bytes, 0);
    assert_false(horizon_deletes(&h, ONE("01")));
    assert_null(horizon_label(&h, ONE("01") LABEL));
    horizon_fit(&h, true);
    assert_false(horizon_deletes(&h, ONE("01")));
}

static int
open_arena(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int
close_arena(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test(test_##name)
        TEST(position),
        TEST(directories),
        TEST(nothing),
        TEST(newest),
        TEST(refusals),
        TEST(standalone),
        TEST(standalone_is_that_backup_only),
        TEST(way_of_a_backup),
        TEST(reach),
        TEST(living_timeline_keeps_a_backup),
        TEST(forgotten_timeline),
        TEST(three_timelines),
        TEST(window_and_count),
        TEST(clear),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
