/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"
#include "wal/name.h"

#define MIB_1 (1u << 20)
#define MIB_16 (16u << 20)
#define GIB_1 (1u << 30)

static const struct {
    const char *name;
    WalName parts;
    const char *path;
} names[] = {
    {"000000010000000A000000FF",
     {WAL_SEGMENT, 1, 0xA, 0xFF, 0},
     "000000010000000A/000000010000000A000000FF"},
    {"ffffffffeeeeeeeedddddddd",
     {WAL_SEGMENT, 0xFFFFFFFF, 0xEEEEEEEE, 0xDDDDDDDD, 0},
     "FFFFFFFFEEEEEEEE/ffffffffeeeeeeeedddddddd"},
    {"000000020000000000000003.partial",
     {WAL_PARTIAL, 2, 0, 3, 0},
     "0000000200000000/000000020000000000000003.partial"},
    {"000000020000000000000003.0000aB28.backup",
     {WAL_LABEL, 2, 0, 3, 0xAB28},
     "0000000200000000/000000020000000000000003.0000aB28.backup"},
    {"0000001a.history", {WAL_HISTORY, 0x1A, 0, 0, 0}, "0000001a.history"},
};

static void
test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        WalName parts;
        char path[WAL_PATH_ROOM];
        assert_int_equal(wal_kind(names[i].name), names[i].parts.kind);
        assert_true(wal_name_parse(names[i].name, &parts));
        assert_memory_equal(&parts, &names[i].parts, sizeof(parts));
        wal_relative_path(names[i].name, path);
        assert_string_equal(path, names[i].path);
    }
}

static void
test_not_names(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "0",
        "00000001",
        "0000000100000000",
        "00000001000000000000000",
        "0000000100000000000000011",
        "00000001000000000000000G",
        "000000010000000000000001\n",
        " 00000001000000000000001",
        "+00000010000000000000001",
        "0x0000010000000000000001",
        "00000001000000000000000\xD9\xA3", /* ARABIC-INDIC DIGIT THREE */
        "000000010000000000000001.gz",
        "000000010000000000000001.",
        "000000010000000000000001.PARTIAL",
        "000000010000000000000001.partial.",
        "000000010000000000000001.partial\n",
        "000000010000000000000001.backup",
        "000000010000000000000001.0000002.backup",
        "000000010000000000000001.000000288.backup",
        "000000010000000000000001.00000028.backup.partial",
        "000000010000000000000001.00000028.Backup",
        "00000001.partial",
        "00000001.history ",
        "00000001.History",
        "0000001.history",
        "000000011.history",
        "wals/00000001.history",
        "../00000001.history",
        "000000010000000000000001.tmp",
    };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        WalName parts = {.timeline = 77};
        if (wal_kind(others[i]) != WAL_NONE || wal_name_parse(others[i], &parts))
            fail_msg("'%s' is taken for a WAL file", others[i]);
        assert_int_equal(parts.timeline, 77);
    }
}

static void
test_segment_sizes(void **state)
{
    (void)state;
    assert_true(wal_segment_size_valid(MIB_1));
    assert_true(wal_segment_size_valid(MIB_16));
    assert_true(wal_segment_size_valid(GIB_1));
    assert_false(wal_segment_size_valid(0));
    assert_false(wal_segment_size_valid(MIB_1 / 2));
    assert_false(wal_segment_size_valid(MIB_1 * 3));
    assert_false(wal_segment_size_valid(2 * (uint64_t)GIB_1));
    assert_false(wal_segment_size_valid((uint64_t)1 << 32));
}

static const struct {
    Lsn lsn;
    uint32_t size;
    const char *name;
    Lsn start;
} positions[] = {
    {0, MIB_16, "000000030000000000000000", 0},
    {0xFFFFFF, MIB_16, "000000030000000000000000", 0},
    {0x1000000, MIB_16, "000000030000000000000001", 0x1000000}, /* a border is of the new one */
    {0x1FFFFFFFFF, MIB_16, "000000030000001F000000FF", 0x1FFF000000},
    {0x2000000000, MIB_16, "000000030000002000000000", 0x2000000000},
    {0xFFFFFFFF, MIB_1, "000000030000000000000FFF", 0xFFF00000},
    {0xFFFFFFFF, GIB_1, "000000030000000000000003", 0xC0000000},
    {UINT64_MAX, GIB_1, "00000003FFFFFFFF00000003", 0xFFFFFFFFC0000000},
};

static void
test_positions(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(positions); i++) {
        char text[WAL_NAME_ROOM];
        WalName name;
        Lsn start;
        wal_segment_name(3, positions[i].lsn, positions[i].size, text);
        assert_string_equal(text, positions[i].name);
        assert_true(wal_name_parse(text, &name));
        assert_true(wal_segment_start(&name, positions[i].size, &start));
        assert_int_equal(start, positions[i].start);
    }
    Lsn start = 5;
    WalName beyond = {WAL_SEGMENT, 1, 0, 256, 0};
    assert_false(wal_segment_start(&beyond, MIB_16, &start));
    assert_int_equal(start, 5);
    assert_true(wal_segment_start(&beyond, MIB_1, &start));
}

static const struct {
    const char *name;
    uint32_t size;
    const char *next; /* NULL: there is none */
} successors[] = {
    {"000000010000000000000001", MIB_16, "000000010000000000000002"},
    {"00000001000000000000000a", MIB_16, "00000001000000000000000B"},
    {"0000000100000000000000FE", MIB_16, "0000000100000000000000FF"},
    {"0000000100000000000000FF", MIB_16, "000000010000000100000000"},
    {"0000000100000000000000FF", MIB_1, "000000010000000000000100"},
    {"000000010000000000000FFF", MIB_1, "000000010000000100000000"},
    {"000000010000000000000003", GIB_1, "000000010000000100000000"},
    {"000000010000000000000003.partial", MIB_16, "000000010000000000000004"},
    {"000000010000000000000003.00000028.backup", MIB_16, "000000010000000000000004"},
    {"0000000100000000000000FF", 0, "000000010000000000000100"},
    {"00000001000000000007FFFF", 0, NULL},
    {"000000010000000000000100", MIB_16, NULL},
    {"00000001FFFFFFFF000000FF", MIB_16, NULL},
    {"00000001.history", MIB_16, NULL},
};

static void
test_successors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(successors); i++) {
        WalName name, next;
        char text[WAL_NAME_ROOM] = "";
        assert_true(wal_name_parse(successors[i].name, &name));
        bool found = wal_name_next(&name, successors[i].size, &next);
        assert_int_equal(found, successors[i].next != NULL);
        if (!found)
            continue;
        wal_name_format(&next, text);
        assert_string_equal(text, successors[i].next);
    }
}

static void
test_lsn(void **state)
{
    (void)state;
    static const char *const good[] = {"0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF", "1/A"};
    static const char *const bad[] = {"",     "/",    "1/",          "/1",         "1",     "1/2/3",
                                      "1/G",  "1/-2", " 1/2",        "1/2 ",       "0x1/2", "1/2\n",
                                      "1 /2", "1/ 2", "123456789/0", "0/123456789"};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        Lsn lsn;
        char text[LSN_ROOM];
        assert_true(lsn_parse(good[i], &lsn));
        lsn_format(lsn, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Lsn lsn = 7;
        assert_false(lsn_parse(bad[i], &lsn));
        assert_int_equal(lsn, 7);
    }
    Lsn lsn;
    assert_true(lsn_parse("0a/0000f0", &lsn));
    assert_int_equal(lsn, 0xA000000F0);
}

static int
compare(const void *a, const void *b)
{
    return wal_archive_order(*(const char *const *)a, *(const char *const *)b);
}

static void
test_order(void **state)
{
    (void)state;
    const char *files[] = {"00000001000000000000000F.partial",
                           "000000020000000000000010",
                           "00000003.history",
                           "00000001000000000000000F",
                           "00000002.history",
                           "00000001000000000000000F.00000028.backup"};
    static const char *const sorted[] = {"00000002.history",
                                         "00000003.history",
                                         "00000001000000000000000F",
                                         "00000001000000000000000F.00000028.backup",
                                         "00000001000000000000000F.partial",
                                         "000000020000000000000010"};
    qsort(files, COUNT_OF(files), sizeof(files[0]), compare);
    for (size_t i = 0; i < COUNT_OF(files); i++)
        assert_string_equal(files[i], sorted[i]);
    assert_int_equal(wal_archive_order("00000002.history", "00000002.history"), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_not_names),
        cmocka_unit_test(test_segment_sizes), cmocka_unit_test(test_positions),
        cmocka_unit_test(test_successors),    cmocka_unit_test(test_lsn),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
