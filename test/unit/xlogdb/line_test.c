/* SPDX-License-Identifier: PostgreSQL
 * One line: what Barman wrote must come out again to the byte, and what nobody wrote is damaged. */
#include "../unit.h"

#include "base/str.h"
#include "flow/xlogdb/xlogdb.h"

#define SEG "000000010000000000000009"

static void
test_time_known(void **state)
{
    (void)state;
    static const struct {
        struct timespec time;
        const char *text;
    } cases[] = {
        {{1704067200, 0}, "1704067200.0"},
        {{1704067200, 500000000}, "1704067200.5"},
        {{1795248906, 917967000}, "1795248906.917967"},
        {{1795248932, 789245100}, "1795248932.7892451"},
        {{1795249002, 320225200}, "1795249002.3202252"},
        {{1704067200, 1}, "1704067200.0"}, /* finer than the double */
        {{1704067199, 999999999}, "1704067200.0"},
        {{0, 0}, "0.0"},
        {{0, 1}, "1e-09"},
        {{0, 100000}, "0.0001"},
        {{0, 10000}, "1e-05"},
        {{1, 1}, "1.000000001"},
        {{-1, 500000000}, "-0.5"},
        {{-86400, 0}, "-86400.0"},
        {{4294967296, 250000000}, "4294967296.25"},
        {{253402300800, 0}, "253402300800.0"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[XLOGDB_TIME_ROOM];
        xlogdb_time_format(cases[i].time, text);
        assert_string_equal(text, cases[i].text);
    }
}

/* What decides is the double: the text gives it back, and no text with a digit less does. */
static void
test_time_shortest(void **state)
{
    (void)state;
    uint64_t seed = 20240101;
    for (int i = 0; i < 5000; i++) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        struct timespec time = {.tv_sec = (time_t)(seed >> 33),
                                .tv_nsec = (long)(seed % 1000000000)};
        if (i % 3 == 0) /* as file systems with coarser times give them */
            time.tv_nsec -= time.tv_nsec % 1000;
        double value = (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
        char text[XLOGDB_TIME_ROOM], shorter[64];
        xlogdb_time_format(time, text);
        assert_true(strtod(text, NULL) == value);
        assert_non_null(strchr(text, '.'));
        int digits = (int)strlen(text) - 1;
        if (str_ends(text, ".0"))
            continue;
        snprintf(shorter, sizeof(shorter), "%.*g", digits - 1, value);
        if (strtod(shorter, NULL) == value)
            fail_msg("'%s' is not the shortest, '%s' would do", text, shorter);
    }
}

/* Rewriting a catalog changes no time in it. */
static void
test_time_survives_parsing(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 5000; i++) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        struct timespec time = {.tv_sec = (time_t)(seed >> 33),
                                .tv_nsec = (long)(seed % 1000000000)};
        WalFile row = {.name = SEG, .kind = WAL_SEGMENT, .size = 1, .mtime = time}, back;
        char line[XLOGDB_LINE_ROOM], again[XLOGDB_LINE_ROOM];
        size_t length = xlogdb_line_format(&row, 5, line);
        assert_true(xlogdb_line_parse(line, length, &back));
        xlogdb_line_format(&back, 5, again);
        assert_string_equal(again, line);
    }
}

static void
test_format(void **state)
{
    (void)state;
    char line[XLOGDB_LINE_ROOM];
    WalFile row = {.name = SEG,
                   .size = 2635,
                   .mtime = {1795249002, 320225200},
                   .compression = "gzip",
                   .encryption = "gpg"};
    size_t length = xlogdb_line_format(&row, 5, line);
    assert_int_equal(length, strlen(line));
    assert_string_equal(line, SEG "\t2635\t1795249002.3202252\tgzip\tgpg\n");
    xlogdb_line_format(&row, 4, line);
    assert_string_equal(line, SEG "\t2635\t1795249002.3202252\tgzip\n");
    row = (WalFile){.name = "00000002.history", .size = 41, .mtime = {1795248906, 924826000}};
    xlogdb_line_format(&row, 5, line);
    assert_string_equal(line, "00000002.history\t41\t1795248906.924826\tNone\tNone\n");
    /* The longest of everything fits. */
    row = (WalFile){.name = "000000010000000000000009.00000028.backup",
                    .size = INT64_MAX,
                    .mtime = {-9223372036854775807, 999999999},
                    .compression = "pybzip2",
                    .encryption = "gpg"};
    assert_true(xlogdb_line_format(&row, 5, line) < XLOGDB_LINE_ROOM);
}

static const struct {
    const char *line;
    bool good;
    int64_t size;
    const char *compression, *encryption;
} lines[] = {
    {SEG "\t16777216\t1704067200.0\tNone\tNone\n", true, 16777216, NULL, NULL},
    {SEG "\t16777216\t1704067200.0\tgzip\tgpg\n", true, 16777216, "gzip", "gpg"},
    {SEG "\t16777216\t1704067200.0\tzstd\taead\n", true, 16777216, "zstd", "aead"},
    {SEG "\t16777216\t1704067200.0\tgzip\n", true, 16777216, "gzip", NULL},
    {SEG "\t16777216\t1704067200.0\n", true, 16777216, NULL, NULL},
    {SEG "\t16777216\t1704067200.0", true, 16777216, NULL, NULL},
    {SEG "\t16777216\t1704067200.0\tpybzip2\tNone\r\n", true, 16777216, "pybzip2", NULL},
    {"  " SEG "   0 1704067200 \t zstd  \n", true, 0, "zstd", NULL},
    {SEG "\t1\t1e9\tnewest\tsomething\n", true, 1, "custom", "gpg"},
    {SEG "\t9223372036854775807\t-1.5\tlz4\tNone\n", true, INT64_MAX, "lz4", NULL},
    {"00000002.history\t41\t1795248906.924826\tNone\tNone\n", true, 41, NULL, NULL},
    {SEG ".00000028.backup\t41\t1.0\tNone\tNone\n", true, 41, NULL, NULL},
    {SEG ".partial\t41\t1.0\tsnappy\tNone\n", true, 41, "snappy", NULL},
    {"", false, 0, NULL, NULL},
    {"\n", false, 0, NULL, NULL},
    {SEG "\n", false, 0, NULL, NULL},
    {SEG "\t16777216\n", false, 0, NULL, NULL},
    {SEG "\t16777216\t1.0\tNone\tNone\tmore\n", false, 0, NULL, NULL},
    {SEG "\t-1\t1.0\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG "\t9223372036854775808\t1.0\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG "\t1.0\t1.0\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG "\t0x10\t1.0\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG "\t1\tnan\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG "\t1\tinf\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG "\t1\t1e300\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG "\t1\tNone\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG "\t1\t1.0x\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG "0\t1\t1.0\tNone\tNone\n", false, 0, NULL, NULL},
    {"../../etc/passwd\t1\t1.0\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG ".gz\t1\t1.0\tNone\tNone\n", false, 0, NULL, NULL},
    {SEG "\t1\t1.0\tNone\tNone" SEG "\t1\t1.0\tNone\tNone\n", false, 0, NULL, NULL}, /* glued */
};

static void
test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        WalFile row = {.size = -7};
        bool good = xlogdb_line_parse(lines[i].line, strlen(lines[i].line), &row);
        if (good != lines[i].good)
            fail_msg("'%s'", lines[i].line);
        if (!good) {
            assert_int_equal(row.size, -7);
            continue;
        }
        assert_int_equal(row.size, lines[i].size);
        assert_int_not_equal(row.kind, WAL_NONE);
        assert_string_equal(row.compression ? row.compression : "-",
                            lines[i].compression ? lines[i].compression : "-");
        assert_string_equal(row.encryption ? row.encryption : "-",
                            lines[i].encryption ? lines[i].encryption : "-");
    }
}

static void
test_parse_hostile(void **state)
{
    (void)state;
    static const char with_nul[] = SEG "\t1\t1.0\tNone\0\tNone\n";
    char digits[600];
    WalFile row;
    assert_false(xlogdb_line_parse(with_nul, sizeof(with_nul) - 1, &row));
    memset(digits, '1', sizeof(digits));
    assert_false(xlogdb_line_parse(digits, sizeof(digits), &row));
    assert_false(xlogdb_line_parse(digits, 255, &row));
    memset(digits, 0, sizeof(digits));
    assert_false(xlogdb_line_parse(digits, 1, &row));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_known),
        cmocka_unit_test(test_time_shortest),
        cmocka_unit_test(test_time_survives_parsing),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
