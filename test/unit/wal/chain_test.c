/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"
#include "stream.h"
#include "wal/chain.h"

static int
check_segment(const unsigned char *data, size_t number, WalBorder *ret_border)
{
    const WalFacts facts = {0xD110, 15, 1, 0x1122334455667788, TEST_SEGMENT, TEST_PAGE};
    const WalName name = {WAL_SEGMENT, 1, 0, (uint32_t)(FIRST + number), 0};
    WalChecker *checker = wal_checker_new(&name, &facts);
    int result = wal_checker_push(checker, data, TEST_SEGMENT);
    if (result == 0)
        result = wal_checker_finish(checker);
    if (result == 0)
        wal_checker_border(checker, ret_border);
    wal_checker_free(checker);
    return result;
}

/* Number of the segment that does not fit to the ones before, or SEGMENTS. Each passes alone. */
static size_t
check_stream(const unsigned char *data)
{
    WalChain chain = {0};
    size_t wrong = SEGMENTS;
    for (size_t i = 0; i < SEGMENTS; i++) {
        WalBorder border;
        assert_done(check_segment(data + i * TEST_SEGMENT, i, &border));
        if (wal_chain_join(&chain, &border) < 0 && wrong == SEGMENTS)
            wrong = i;
    }
    return wrong;
}

static void
test_whole(void **state)
{
    (void)state;
    static const size_t rests[] = {0, 8, 16, 24, 32, 40};
    for (size_t i = 0; i < COUNT_OF(rests); i++) {
        Stream stream = make_stream(rests[i]);
        size_t wrong = check_stream(stream.data);
        if (wrong != SEGMENTS)
            fail_msg("%zu bytes before the border: segment %zu: %s", rests[i], wrong,
                     error_last()->text);
        free(stream.data);
    }
}

/* Damage that no segment shows by itself */
static const struct {
    size_t rest;
    size_t offset; /* from the first border */
    size_t wrong;
    const char *message;
} damages[] = {
    {8, 40 + 10, 1, "has the CRC"},               /* header, behind the border */
    {8, 40, 1, "links back to"},                  /* the link behind the border */
    {16, 40 + 5, 1, "has the CRC"},               /* the CRC itself */
    {16, (size_t)-1, 1, "links back to"},         /* the link before the border */
    {24, (size_t)-2, 1, "has the CRC"},           /* before the border */
    {32, 40 + 1, 1, "has the CRC"},               /* body behind the border */
    {32, 40 + 20, 1, "has the CRC"},              /* ... behind the lead */
    {32, (size_t)-1, 1, "has the CRC"},           /* body before the border */
    {8, TEST_SEGMENT - 1000, 4, "has the CRC"},   /* the long one, in its first segment */
    {8, TEST_SEGMENT + 500000, 4, "has the CRC"}, /* ... in the middle */
    {8, 3 * TEST_SEGMENT + 50, 4, "has the CRC"}, /* ... in its last segment */
};

static void
test_damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        Stream stream = make_stream(damages[i].rest);
        stream.data[TEST_SEGMENT + damages[i].offset] ^= 1;
        size_t wrong = check_stream(stream.data);
        if (wrong != damages[i].wrong || !strstr(error_last()->text, damages[i].message))
            fail_msg("damage %zu: segment %zu: %s", i, wrong, error_last()->text);
        free(stream.data);
    }
}

/* A segment of another history of the same cluster: sound, but not the one that belongs here. */
static void
test_other_history(void **state)
{
    (void)state;
    Stream stream = make_stream(32), other = make_stream(0);
    memcpy(stream.data + TEST_SEGMENT, other.data + TEST_SEGMENT, TEST_SEGMENT);
    assert_int_equal(check_stream(stream.data), 1);
    assert_non_null(strstr(error_last()->text, "begins with 0 bytes of a record going on, and the "
                                               "segment before ends with 32 to come"));
    free(stream.data);
    free(other.data);
}

/* Behind a missing segment the check begins anew. */
static void
test_gap(void **state)
{
    (void)state;
    Stream stream = make_stream(32);
    for (size_t missing = 0; missing < SEGMENTS; missing++) {
        WalChain chain = {0};
        for (size_t i = 0; i < SEGMENTS; i++) {
            WalBorder border;
            if (i == missing)
                continue;
            assert_done(check_segment(stream.data + i * TEST_SEGMENT, i, &border));
            assert_done(wal_chain_join(&chain, &border));
        }
    }
    free(stream.data);
}

/* A crash left a record unfinished at the end of a segment; the server goes on behind it. */
static void
test_overwritten(void **state)
{
    (void)state;
    Stream stream = {.data = mem_alloc(SIZE), .previous = START - 800};
    put_header(&stream, 0);
    fill(&stream, 0, 5000);
    uint64_t previous = stream.previous;
    put_record(&stream, 9000, 10, 0);
    stream.at = TEST_SEGMENT;
    memset(stream.data + stream.at, 0, SIZE - stream.at);
    stream.previous = previous;
    put_header(&stream, 8);
    put_record(&stream, 40, 0, 0xD0);
    for (size_t i = 1; i < SEGMENTS; i++)
        fill(&stream, i, 0);
    assert_int_equal(check_stream(stream.data), SEGMENTS);
    stream.data[TEST_SEGMENT + 2] &= ~8;
    assert_int_equal(check_stream(stream.data), 1);
    free(stream.data);
}

/* The record of a segment switch across the border. */
static void
test_switch(void **state)
{
    (void)state;
    for (size_t rest = 8; rest <= 24; rest += 8) {
        Stream stream = {.data = mem_alloc(SIZE), .previous = START - 800};
        put_header(&stream, 0);
        fill(&stream, 0, rest);
        put_record(&stream, 24, 0, 0x40);
        stream.at = (rest < 24 ? 2 : 1) * TEST_SEGMENT;
        for (size_t i = rest < 24 ? 2 : 1; i < SEGMENTS; i++)
            fill(&stream, i, 0);
        assert_int_equal(check_stream(stream.data), SEGMENTS);
        stream.data[TEST_SEGMENT - 4] ^= 1;
        if (rest < 24)
            assert_int_equal(check_stream(stream.data), 1);
        free(stream.data);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),         cmocka_unit_test(test_damage),
        cmocka_unit_test(test_other_history), cmocka_unit_test(test_gap),
        cmocka_unit_test(test_overwritten),   cmocka_unit_test(test_switch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
