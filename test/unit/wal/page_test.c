/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"
#include "pages.h"
#include "wal/page.h"

/* One field of a good header is overwritten; the name is that of the segment at 1/200000. */
static const struct {
    const char *name;
    size_t offset, size;
    uint64_t value;
    WalHeaderVerdict verdict;
    const char *reason; /* part of it */
} cases[] = {
    {"000000030000000100000002", 0, 0, 0, WAL_HEADER_FITS, ""},
    {"000000030000000100000002.partial", 0, 0, 0, WAL_HEADER_FITS, ""},
    {"000000040000000100000002", 0, 0, 0, WAL_HEADER_FITS, ""}, /* copied at a timeline switch */
    {"000000020000000100000002", 0, 0, 0, WAL_HEADER_FOREIGN, "timeline 3, the name says 2"},
    {"000000030000000100000003", 0, 0, 0, WAL_HEADER_FOREIGN, "1/200000, the name says 1/300000"},
    {"000000030000000200000002", 0, 0, 0, WAL_HEADER_FOREIGN, "1/200000, the name says 2/200000"},
    {"000000030000000100001000", 0, 0, 0, WAL_HEADER_FOREIGN, "no segment number 00001000"},
    {"000000030000000100000002", 4, 4, 0, WAL_HEADER_FOREIGN, "timeline 0"},
    {"000000030000000100000002", 8, 8, 0x100200001, WAL_HEADER_FOREIGN, "1/200001"},
    {"000000030000000100000002", 2, 2, 0x7, WAL_HEADER_FITS, ""},
    {"000000030000000100000002", 2, 2, 0xA, WAL_HEADER_FITS, ""},
    {"000000030000000100000002", 2, 2, 0x1, WAL_HEADER_FOREIGN, "flags 0001"},
    {"000000030000000100000002", 2, 2, 0x12, WAL_HEADER_FOREIGN, "flags 0012"},
    {"000000030000000100000002", 32, 4, 16 << 20, WAL_HEADER_FOREIGN, "the name says 1/2000000"},
    {"000000030000000100000002", 32, 4, 3 << 20, WAL_HEADER_FOREIGN, "segment size of 3145728"},
    {"000000030000000100000002", 32, 4, 0, WAL_HEADER_FOREIGN, "segment size of 0"},
    {"000000030000000100000002", 36, 4, 16384, WAL_HEADER_FITS, ""},
    {"000000030000000100000002", 36, 4, 0, WAL_HEADER_FOREIGN, "page size of 0"},
    {"000000030000000100000002", 36, 4, 8000, WAL_HEADER_FOREIGN, "page size of 8000"},
    {"000000030000000100000002", 36, 4, 131072, WAL_HEADER_FOREIGN, "page size of 131072"},
    {"000000030000000100000002", 0, 2, 0, WAL_HEADER_UNKNOWN, ""},
    {"000000030000000100000002", 0, 2, 0x8B1F, WAL_HEADER_UNKNOWN, ""}, /* gzip */
    {"000000030000000100000002", 0, 2, 0xD0D1, WAL_HEADER_UNKNOWN, ""},
};

static void
test_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned char page[WAL_LONG_HEADER_SIZE];
        char reason[WAL_REASON_ROOM] = "";
        WalFacts facts = {0};
        WalName name;
        assert_true(wal_name_parse(cases[i].name, &name));
        put_page_header(page, 2, 3, 0x100200000, 0);
        put(page + cases[i].offset, cases[i].value, cases[i].size);
        WalHeaderVerdict verdict = wal_header_check(page, sizeof(page), &name, &facts, reason);
        if (verdict != cases[i].verdict || !strstr(reason, cases[i].reason))
            fail_msg("case %zu: %d '%s'", i, (int)verdict, reason);
        assert_int_equal(facts.major, verdict == WAL_HEADER_FITS ? 15 : 0);
    }
}

static void
test_facts(void **state)
{
    (void)state;
    static const uint16_t magics[] = {0xD097, 0xD098, 0xD101, 0xD106, 0xD10D,
                                      0xD110, 0xD113, 0xD116, 0xD118};
    for (size_t i = 0; i < COUNT_OF(magics); i++) {
        unsigned char page[WAL_LONG_HEADER_SIZE];
        char reason[WAL_REASON_ROOM];
        WalFacts facts;
        WalName name = {WAL_SEGMENT, 4, 1, 2, 0};
        put_page_header(page, 3, 3, 0x100200000, 50);
        put(page, magics[i], 2);
        assert_int_equal(wal_header_check(page, sizeof(page), &name, &facts, reason),
                         WAL_HEADER_FITS);
        assert_int_equal(facts.magic, magics[i]);
        assert_int_equal(facts.major, 10 + (int)i);
        assert_int_equal(facts.timeline, 3);
        assert_int_equal(facts.system_id, 0x1122334455667788);
        assert_int_equal(facts.segment_size, TEST_SEGMENT);
        assert_int_equal(facts.page_size, TEST_PAGE);
    }
}

static void
test_short(void **state)
{
    (void)state;
    unsigned char page[WAL_LONG_HEADER_SIZE];
    char reason[WAL_REASON_ROOM];
    WalFacts facts;
    WalName name = {WAL_SEGMENT, 3, 1, 2, 0};
    put_page_header(page, 2, 3, 0x100200000, 0);
    for (size_t size = 0; size < sizeof(page); size++)
        assert_int_equal(wal_header_check(page, size, &name, &facts, reason), WAL_HEADER_TOO_SHORT);
    assert_int_equal(wal_header_check("BZh", 3, &name, &facts, reason), WAL_HEADER_UNKNOWN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
