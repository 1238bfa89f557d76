/* SPDX-License-Identifier: PostgreSQL
 * Headers of tar streams: what is written is read again, and what is damaged is refused. */
#include "../unit.h"

#include "base/str.h"
#include "flow/intake/tar.h"

static const TarHeader sample = {.name = "000000010000000000000001",
                                 .size = 16777216,
                                 .mtime = {1700000000, 250000000},
                                 .type = TAR_REGULAR};

static void
test_round_trip(void **state)
{
    (void)state;
    char block[TAR_BLOCK], records[TAR_BLOCK];
    TarHeader header;
    assert_done(tar_header_format(&sample, block));
    assert_done(tar_header_parse(block, &header));
    assert_string_equal(header.name, sample.name);
    assert_int_equal(header.size, sample.size);
    assert_int_equal(header.type, TAR_REGULAR);
    assert_int_equal(header.mtime.tv_sec, 1700000000);
    assert_int_equal(header.mtime.tv_nsec, 0);
    tar_extension_format(&sample, records);
    assert_string_equal(records, "30 mtime=1700000000.250000000\n");
    assert_done(tar_extension_apply(records, strlen(records), &header));
    assert_int_equal(header.mtime.tv_nsec, 250000000);
    tar_extension_format(&(TarHeader){.mtime = {5, 0}}, records);
    assert_string_equal(records, "");
}

static void
test_end(void **state)
{
    (void)state;
    char block[TAR_BLOCK] = "";
    TarHeader header;
    assert_int_equal(tar_header_parse(block, &header), TAR_END);
    block[TAR_BLOCK - 1] = 1;
    assert_fails(tar_header_parse(block, &header), ERR_DATA, "no header");
}

/* Any byte that is changed is noticed by the sum. */
static void
test_every_byte_counts(void **state)
{
    (void)state;
    char block[TAR_BLOCK];
    TarHeader header;
    assert_done(tar_header_format(&sample, block));
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        if (i >= 154 && i < 156) /* what ends the sum may be blank or zero */
            continue;
        block[i] ^= 0x11;
        assert_int_equal(tar_header_parse(block, &header), -1);
        block[i] ^= 0x11;
    }
}

static void
test_too_large(void **state)
{
    (void)state;
    char block[TAR_BLOCK];
    TarHeader header = sample;
    header.size = INT64_C(1) << 33;
    assert_fails(tar_header_format(&header, block), ERR_UNSUPPORTED, "too large");
    header = sample;
    memset(header.name, 'x', 100);
    assert_fails(tar_header_format(&header, block), ERR_UNSUPPORTED, "too large");
}

static void
test_records(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"", true},
        {"18 uname=p\303\266stgres\n", false}, /* one byte too few */
        {"19 uname=p\303\266stgres\n", true},
        {"9 path=x\n11 size=77\n", true},
        {"9 path=x", false},
        {"9 path=x\n11 size=7x\n", false},
        {"10 path=x\nabc", false},
        {"8 path=x\n", false},
        {"0 \n", false},
        {"2 \n", false},
        {"99999999999999999999 a=b\n", false},
        {"6 abc\n", false},
        {"14 mtime=-1.5\n", false},
        {"15 mtime=1.5.5\n", false},
        {"-6 a=b\n", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        TarHeader header = sample;
        bool good = tar_extension_apply(cases[i].text, strlen(cases[i].text), &header) == 0;
        if (good != cases[i].good)
            fail_msg("'%s': %s", cases[i].text, good ? "taken" : error_last()->text);
    }
    TarHeader header = sample;
    assert_done(tar_extension_apply("9 path=x\n11 size=77\n", 20, &header));
    assert_string_equal(header.name, "x");
    assert_int_equal(header.size, 77);
    assert_int_equal(tar_extension_apply("9 path=\0\n", 9, &header), -1);
    assert_done(tar_extension_apply("22 GNU.sparse.major=1\n", 22, &header));
    assert_int_not_equal(header.type, TAR_REGULAR);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),        cmocka_unit_test(test_end),
        cmocka_unit_test(test_every_byte_counts), cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
