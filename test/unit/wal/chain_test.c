/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"
#include "base/crc32c.h"
#include "pages.h"
#include "wal/chain.h"

/* WAL of several segments as a server writes it. */
enum { SEGMENTS = 5, FIRST = 3, START = FIRST * TEST_SEGMENT, SIZE = SEGMENTS * TEST_SEGMENT };

typedef struct Stream {
    unsigned char *data;
    size_t at;
    uint64_t previous; /* start of the record before */
    uint32_t left;     /* of the record that is put */
} Stream;

static void
put_header(Stream *stream, unsigned flags)
{
    bool is_long = stream->at % TEST_SEGMENT == 0;
    flags |= (is_long ? 2 : 0) | (stream->left ? 1 : 0);
    put_page_header(stream->data + stream->at, flags, 1, START + stream->at, stream->left);
    stream->at += is_long ? 40 : 24;
}

static size_t
put_record(Stream *stream, uint32_t length, uint8_t manager, uint8_t info)
{
    AUTO(free) unsigned char *record = mem_alloc(length);
    if (stream->at % TEST_PAGE == 0)
        put_header(stream, 0);
    size_t offset = stream->at;
    put(record, length, 4);
    put(record + 8, stream->previous, 8);
    record[16] = info;
    record[17] = manager;
    for (uint32_t i = 24; i < length; i++)
        record[i] = (unsigned char)(i * 7 + length);
    put(record + 20, crc32c(crc32c(0, record + 24, length - 24), record, 20), 4);
    for (uint32_t i = 0; i < length && stream->at < SIZE; i++) {
        stream->left = length - i;
        if (stream->at % TEST_PAGE == 0)
            put_header(stream, 0);
        stream->data[stream->at++] = record[i];
    }
    stream->left = 0;
    stream->at = (stream->at + 7) & ~(size_t)7;
    stream->previous = START + offset;
    return offset;
}

/* Records up to `rest` bytes before the end of segment number `segment`. */
static void
fill(Stream *stream, size_t segment, size_t rest)
{
    size_t end = (segment + 1) * TEST_SEGMENT - rest;
    while (end - stream->at > 8000)
        put_record(stream, 100 + (uint32_t)stream->at % 3001, 10, 0);
    size_t left = end - stream->at, page = TEST_PAGE - stream->at % TEST_PAGE;
    if (left > page)
        left -= 24; /* the page header on the way */
    if (left > 0)
        put_record(stream, (uint32_t)left, 10, 0);
    assert_int_equal(stream->at, end);
}

/* The first border is crossed by a record's header with `rest` bytes before it, the second to
 * fourth by one record. */
static Stream
make_stream(size_t rest)
{
    Stream stream = {.data = mem_alloc(SIZE), .previous = START - 800};
    put_header(&stream, 0);
    fill(&stream, 0, rest);
    put_record(&stream, 64, 10, 0);
    fill(&stream, 1, 5000);
    put_record(&stream, 2 * TEST_SEGMENT + 9000, 10, 0);
    fill(&stream, 4, 0);
    return stream;
}

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
