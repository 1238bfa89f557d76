/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"
#include "wal/history.h"

static void
test_good(void **state)
{
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    History history;
    assert_done(history_parse("1\t0/3000060\tno recovery target specified\n"
                              "\n"
                              "  # a comment\n"
                              " 2 16/B374D848  before 2026-01-02 03:04:05+00 \r\n"
                              "4294967295\tFFFFFFFF/FFFFFFFF",
                              arena, &history));
    static const HistoryEntry expected[] = {
        {1, 0x3000060, "no recovery target specified"},
        {2, 0x16B374D848, "before 2026-01-02 03:04:05+00"},
        {4294967295, UINT64_MAX, ""},
    };
    assert_int_equal(history.count, COUNT_OF(expected));
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        assert_int_equal(history.entries[i].parent, expected[i].parent);
        assert_int_equal(history.entries[i].switch_lsn, expected[i].switch_lsn);
        assert_string_equal(history.entries[i].reason, expected[i].reason);
    }
}

static void
test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "no timeline"},
        {"\n# nothing\n", "no timeline"},
        {"1\t0/1\n\nx\t0/2\n", "line 3 does not begin"},
        {"0\t0/1\tx\n", "line 1 does not begin"},
        {"4294967296\t0/1\n", "line 1 does not begin"},
        {"1", "line 1 does not have the LSN"},
        {"1\tno reason\n", "line 1 does not have the LSN"},
        {"1\t0/1/2\n", "line 1 does not have the LSN"},
        {"1\t0/1\n2\t0/2\n2\t0/3\n", "line 3: timeline 2 comes after timeline 2"},
        {"3\t0/1\n2\t0/2\n", "line 2: timeline 2 comes after timeline 3"},
        {"\x1f\x8b\x08\x01", "line 1 does not begin"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(arena) Arena *arena = arena_new();
        History history = {.count = 99};
        assert_fails(history_parse(cases[i].text, arena, &history), ERR_DATA, cases[i].message);
        assert_int_equal(history.count, 99);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
