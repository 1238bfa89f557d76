/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"
#include "base/crc32c.h"
#include "pages.h"
#include "wal/page.h"

/* A segment that is being written as a server does. */
typedef struct Writer {
    unsigned char *data;
    uint64_t start; /* of the segment */
    size_t at;
    uint64_t previous; /* start of the record before */
    uint32_t timeline;
    uint32_t left; /* of a record that is put, before its next byte */
} Writer;

enum { START = 0x300000, CONTINUES = 1, LONG = 2, OVERWRITES = 8 };

static const WalName segment = {WAL_SEGMENT, 2, 0, 3, 0};
static const WalName partial = {WAL_PARTIAL, 2, 0, 3, 0};

static void
put_header_here(Writer *writer, unsigned flags)
{
    if (writer->at == 0)
        flags |= LONG;
    if (writer->left > 0)
        flags |= CONTINUES;
    put_page_header(writer->data + writer->at, flags, writer->timeline, writer->start + writer->at,
                    writer->left);
    writer->at += flags & LONG ? 40 : 24;
}

static void
put_bytes(Writer *writer, const unsigned char *bytes, uint32_t size)
{
    for (writer->left = size; writer->left > 0 && writer->at < TEST_SEGMENT; writer->left--) {
        if (writer->at % TEST_PAGE == 0)
            put_header_here(writer, 0);
        writer->data[writer->at++] = *bytes++;
    }
    writer->left = 0;
    writer->at = (writer->at + 7) & ~(size_t)7;
}

/* Puts a record, as far as the segment has room; returns its offset. */
static size_t
put_record(Writer *writer, uint32_t length, uint8_t manager, uint8_t info)
{
    AUTO(free) unsigned char *record = mem_alloc(length);
    if (writer->at % TEST_PAGE == 0 && writer->at < TEST_SEGMENT)
        put_header_here(writer, 0);
    size_t offset = writer->at;
    put(record, length, 4);
    put(record + 8, writer->previous, 8);
    record[16] = info;
    record[17] = manager;
    for (uint32_t i = 24; i < length; i++)
        record[i] = (unsigned char)(i * 7 + length);
    put(record + 20, crc32c(crc32c(0, record + 24, length - 24), record, 20), 4);
    put_bytes(writer, record, length);
    writer->previous = writer->start + offset;
    return offset;
}

static Writer
writer_begin(uint32_t rest)
{
    static const unsigned char body[256] = {1, 2, 3};
    Writer writer = {.data = mem_alloc(TEST_SEGMENT), .start = START, .timeline = 1};
    writer.previous = START - 800;
    put_bytes(&writer, body, rest);
    if (rest == 0)
        put_header_here(&writer, 0);
    return writer;
}

/* The segment of most tests. Its records: */
enum {
    FIRST = 144,         /* 64 bytes, behind 100 of a record of the segment before */
    SECOND = FIRST + 64, /* 30 bytes */
    THIRD = SECOND + 32, /* 20000 bytes, on three pages */
    PAGES = TEST_SEGMENT / TEST_PAGE,
};

static Writer
writer_full(void)
{
    Writer writer = writer_begin(100);
    assert_int_equal(put_record(&writer, 64, 10, 0x20), FIRST);
    assert_int_equal(put_record(&writer, 30, 10, 0x40), SECOND);
    assert_int_equal(put_record(&writer, 20000, 0, 0xA0), THIRD);
    for (uint32_t length = 24; writer.at < TEST_SEGMENT; length = length * 5 % 9973 + 24)
        put_record(&writer, length, 11, 0x10);
    return writer;
}

static int
check(const WalName *name, const unsigned char *data, size_t size, size_t piece)
{
    const WalFacts facts = {TEST_MAGIC, 15, 1, 0x1122334455667788, TEST_SEGMENT, TEST_PAGE};
    WalChecker *checker = wal_checker_new(name, &facts);
    int result = 0;
    for (size_t at = 0; at < size && result == 0; at += piece)
        result = wal_checker_push(checker, data + at, size - at < piece ? size - at : piece);
    if (result == 0)
        result = wal_checker_finish(checker);
    wal_checker_free(checker);
    return result;
}

static void
test_pieces(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 4096, TEST_PAGE, TEST_PAGE + 1, 65536, TEST_SEGMENT};
    Writer writer = writer_full();
    for (size_t i = 0; i < COUNT_OF(pieces); i++)
        assert_done(check(&segment, writer.data, TEST_SEGMENT, pieces[i]));
    assert_done(check(&partial, writer.data, TEST_SEGMENT, 1000));
    free(writer.data);
}

static const struct {
    size_t offset, size;
    uint64_t value;
    const char *message;
} damages[] = {
    {0, 2, 0xD113, "page at 0/300000 has the magic number D113 instead of D110"},
    {2, 2, 0x1, "page at 0/300000 has impossible flags 0001"},
    {16, 4, 96, "record at 0/300088 is missing"},
    {16, 4, 104, NULL}, /* the same, with the padding */
    {16, 4, 0, "page at 0/300000 has the flags 0003 and 0 bytes of a record going on"},
    {16, 4, 100000, "page at 0/302000 begins with 12048 bytes of a record going on instead of"},
    {FIRST + 8, 8, START - 8, "record at 0/300090 has the CRC"},
    {FIRST + 8, 8, START, "record at 0/300090 is the first of the segment, yet links back to"},
    {FIRST + 30, 1, 0xFF, "record at 0/300090 has the CRC"},
    {FIRST + 20, 4, 0, "record at 0/300090 has the CRC"},
    {FIRST + 16, 1, 0x21, "record at 0/300090 has the CRC"},
    {FIRST, 4, 23, "record at 0/300090 has an impossible length of 23 bytes"},
    {SECOND, 4, 0, "record at 0/3000D0 is missing"},
    {SECOND + 8, 8, START, "record at 0/3000D0 links back to 0/300000 instead of 0/300090"},
    {SECOND + 30, 2, 0xFFFF, NULL}, /* padding */
    {THIRD, 4, 20008, "page at 0/302000 begins with 12048 bytes of a record going on"},
    {THIRD, 4, 0xFFFFFFFF, "page at 0/302000 begins with"},
    {TEST_PAGE, 2, 0, "page at 0/302000 has the magic number 0000"},
    {TEST_PAGE + 2, 2, 0x0, "page at 0/302000 has the flags 0000 and"},
    {TEST_PAGE + 2, 2, 0x3, "page at 0/302000 has impossible flags 0003"},
    {TEST_PAGE + 2, 2, 0x11, "page at 0/302000 has impossible flags 0011"},
    {TEST_PAGE + 2, 2, 0x5, NULL},
    {TEST_PAGE + 4, 4, 0, "page at 0/302000 is of timeline 0, which must be 1 to 2"},
    {TEST_PAGE + 4, 4, 3, "page at 0/302000 is of timeline 3, which must be 1 to 2"},
    {TEST_PAGE + 4, 4, 2, "page at 0/304000 is of timeline 1, which must be 2 to 2"},
    {TEST_PAGE + 8, 8, START, "page at 0/302000 has the address 0/300000"},
    {TEST_PAGE + 16, 4, 1, "page at 0/302000 begins with 1 bytes of a record going on instead"},
    {TEST_PAGE + 100, 1, 0, "record at 0/3000F0 has the CRC"},
    {2 * TEST_PAGE + 24 + 3879, 1, 0, "record at 0/3000F0 has the CRC"}, /* its last byte */
};

static void
test_damage(void **state)
{
    (void)state;
    Writer writer = writer_full();
    AUTO(free) unsigned char *data = mem_alloc(TEST_SEGMENT);
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        memcpy(data, writer.data, TEST_SEGMENT);
        put(data + damages[i].offset, damages[i].value, damages[i].size);
        int result = check(&segment, data, TEST_SEGMENT, 10000);
        if (!damages[i].message ? result != 0
                                : result == 0 || !strstr(error_last()->text, damages[i].message))
            fail_msg("damage %zu: %d '%s'", i, result, error_last()->text);
    }
    free(writer.data);
}

static void
test_length(void **state)
{
    (void)state;
    Writer writer = writer_full();
    AUTO(free) unsigned char *data = mem_alloc(TEST_SEGMENT + 1);
    memcpy(data, writer.data, TEST_SEGMENT);
    free(writer.data);
    assert_fails(check(&segment, data, TEST_SEGMENT - 1, 5000), ERR_DATA, "has 1048575 of");
    assert_fails(check(&segment, data, TEST_PAGE, 5000), ERR_DATA, "has 8192 of");
    assert_fails(check(&segment, data, TEST_SEGMENT + 1, 5000), ERR_DATA, "longer than");
    assert_fails(check(&partial, data, TEST_SEGMENT + 1, 1 << 21), ERR_DATA, "longer than");
    /* the end was lost, as after a crash of the machine that copied it */
    memset(data + TEST_SEGMENT / 2, 0, TEST_SEGMENT / 2);
    assert_fails(check(&segment, data, TEST_SEGMENT, 5000), ERR_DATA, "page at 0/380000");
}

static void
test_breaks_off(void **state)
{
    (void)state;
    Writer writer = writer_begin(0);
    put_record(&writer, 100, 10, 0);
    assert_fails(check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE), ERR_DATA,
                 "record at 0/300090 is missing: the segment breaks off there");
    assert_string_not_equal(error_last()->hint, "");
    assert_done(check(&partial, writer.data, TEST_SEGMENT, TEST_PAGE));
    free(writer.data);
}

/* The first segment after a timeline switch: pages of the old timeline, then of the new one. */
static void
test_timeline_switch(void **state)
{
    (void)state;
    Writer writer = writer_begin(0);
    put_record(&writer, 10000, 10, 0);
    writer.timeline = 2;
    while (writer.at < TEST_SEGMENT)
        put_record(&writer, 5000, 10, 0);
    assert_done(check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE));
    free(writer.data);
}

/* After the record of a segment switch come zeros or pages without records, nothing else. */
static void
test_segment_switch(void **state)
{
    (void)state;
    Writer writer = writer_begin(0);
    put_record(&writer, TEST_PAGE - 48, 10, 0); /* so that the switch lies on two pages */
    put_record(&writer, 24, 0, 0x40);
    assert_int_equal(writer.at, TEST_PAGE + 24 + 16);
    assert_done(check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE));
    assert_done(check(&partial, writer.data, TEST_SEGMENT, TEST_PAGE));

    writer.data[2 * TEST_PAGE - 1] = 1;
    assert_fails(check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE), ERR_DATA,
                 "switches the segment, yet data follow it");
    writer.data[2 * TEST_PAGE - 1] = 0;

    writer.data[4 * TEST_PAGE - 1] = 1;
    assert_fails(check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE), ERR_DATA,
                 "page at 0/306000 has the magic number 0000");
    writer.data[4 * TEST_PAGE - 1] = 0;

    for (writer.at = 2 * TEST_PAGE; writer.at < TEST_SEGMENT; writer.at += TEST_PAGE - 24)
        put_header_here(&writer, 0);
    assert_done(check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE));
    writer.data[4 * TEST_PAGE - 1] = 1;
    assert_fails(check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE), ERR_DATA,
                 "page at 0/306000 has records after a segment switch");
    free(writer.data);
}

/* The switch began in the last bytes of the segment before; this one was skipped. */
static void
test_switch_of_segment_before(void **state)
{
    (void)state;
    for (size_t rest = 8; rest <= 24; rest += 8) {
        Writer writer = writer_begin((uint32_t)rest);
        writer.data[40 + rest - 8] = 0x40;
        writer.data[40 + rest - 7] = 0;
        int result = check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE);
        assert_int_equal(result, rest < 24 ? 0 : -1); /* 24: it would have begun here */
        writer.data[40 + rest - 7] = 10;
        assert_fails(check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE), ERR_DATA, "is missing");
        free(writer.data);
    }
}

/* A crash left a record unfinished; the server goes on behind it. */
static void
test_overwritten(void **state)
{
    (void)state;
    Writer writer = writer_begin(0);
    put_record(&writer, 100, 10, 0);
    uint64_t previous = writer.previous;
    put_record(&writer, 20000, 10, 0);
    memset(writer.data + 2 * TEST_PAGE, 0, TEST_PAGE);
    writer.at = 2 * TEST_PAGE;
    writer.previous = previous;
    put_header_here(&writer, OVERWRITES);
    while (writer.at < TEST_SEGMENT)
        put_record(&writer, 420, 0, 0xD0);
    assert_done(check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE));
    writer.data[2 * TEST_PAGE + 2] = 0;
    assert_fails(check(&segment, writer.data, TEST_SEGMENT, TEST_PAGE), ERR_DATA,
                 "page at 0/304000 begins with 0 bytes of a record going on instead of");
    free(writer.data);
}

static void
test_partial(void **state)
{
    (void)state;
    Writer writer = writer_full();
    AUTO(free) unsigned char *data = mem_alloc(TEST_SEGMENT);

    /* cut anywhere; padded with zeros; in a recycled file */
    for (size_t size = 0; size < 3 * TEST_PAGE; size += size < 300 ? 1 : 97) {
        assert_done(check(&partial, writer.data, size, 1000));
        memcpy(data, writer.data, size);
        memset(data + size, 0, TEST_SEGMENT - size);
        assert_done(check(&partial, data, TEST_SEGMENT, 65536));
        memset(data + size, 0x55, TEST_SEGMENT - size);
        assert_done(check(&partial, data, TEST_SEGMENT, 65536));
    }
    /* damaged, not ended: there is WAL behind it */
    memcpy(data, writer.data, 10 * TEST_PAGE);
    memset(data + 10 * TEST_PAGE, 0, TEST_SEGMENT - 10 * TEST_PAGE);
    data[FIRST + 40] ^= 1;
    assert_fails(check(&partial, data, TEST_SEGMENT, 65536), ERR_DATA, "record at 0/300090 has");
    assert_fails(check(&partial, data, 5 * TEST_PAGE, 1000), ERR_DATA, "record at 0/300090 has");
    free(writer.data);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_breaks_off),
        cmocka_unit_test(test_timeline_switch),
        cmocka_unit_test(test_segment_switch),
        cmocka_unit_test(test_switch_of_segment_before),
        cmocka_unit_test(test_overwritten),
        cmocka_unit_test(test_partial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
