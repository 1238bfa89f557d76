/* SPDX-License-Identifier: PostgreSQL
 * Does a segment go on where the one before it ends? WAL of our own making, in pieces of any size;
 * and what the writer makes of the answer. */
#include "../files.h"
#include "../wal/stream.h"

#include "flow/intake/segment.h"
#include "flow/intake/writer.h"

static const char held_name[] = "000000010000000000000003";
static const char next_name[] = "000000010000000000000004";

/* The segment `number` of the stream is held. */
static int
open_seam(const unsigned char *data, size_t number, Seam **ret_seam)
{
    char *dir = scratch_make();
    char name[WAL_NAME_ROOM];
    Lsn start = START + number * TEST_SEGMENT;
    wal_segment_name(1, start, TEST_SEGMENT, name);
    AUTO(free) char *path = mem_printf("%s/%s", dir, name);
    AUTO(close) int fd = -1;
    write_bytes(path, data + number * TEST_SEGMENT, TEST_SEGMENT);
    assert_done(file_open(path, &fd));
    int result = seam_open(fd, name, 1, start + TEST_SEGMENT, TEST_SEGMENT, ret_seam);
    scratch_remove(dir);
    return result;
}

/* Feeds the segment in pieces until the answer is there; *ret_fed: how much that took. */
static int
feed(Seam *seam, const unsigned char *segment, size_t piece, size_t *ret_fed)
{
    int result = 0;
    size_t fed = 0;
    while (result == 0 && fed < TEST_SEGMENT) {
        size_t part = piece < TEST_SEGMENT - fed ? piece : TEST_SEGMENT - fed;
        result = seam_feed(seam, segment + fed, part);
        fed += part;
    }
    *ret_fed = fed;
    return result;
}

static const size_t pieces[] = {1, 7, 40, 8192, 100000, TEST_SEGMENT};

static void
test_holds(void **state)
{
    (void)state;
    static const size_t rests[] = {0, 8, 16, 24, 32, 40, 64};
    for (size_t i = 0; i < COUNT_OF(rests) * COUNT_OF(pieces); i++) {
        size_t rest = rests[i / COUNT_OF(pieces)], piece = pieces[i % COUNT_OF(pieces)], fed = 0;
        Stream stream = make_stream(rest);
        AUTO(seam) Seam *seam = NULL;
        assert_done(open_seam(stream.data, 0, &seam));
        int result = feed(seam, stream.data + TEST_SEGMENT, piece, &fed);
        /* The rest of the record of 64 bytes, or the header of the next one. */
        if (result != SEAM_HOLDS || fed < 40 || fed > 40 + 64 + piece)
            fail_msg("rest %zu, pieces of %zu: %d after %zu: %s", rest, piece, result, fed,
                     error_last()->text);
        free(stream.data);
    }
}

/* A record that has no end in the segment: that it goes on there is all that can be said. */
static void
test_long_record(void **state)
{
    (void)state;
    size_t fed = 0;
    Stream stream = make_stream(0);
    AUTO(seam) Seam *seam = NULL, *after = NULL;
    assert_done(open_seam(stream.data, 1, &seam));
    assert_int_equal(feed(seam, stream.data + 2 * TEST_SEGMENT, 5000, &fed), SEAM_HOLDS);
    assert_int_equal(fed, TEST_SEGMENT);
    assert_done(open_seam(stream.data, 2, &after));
    assert_int_equal(feed(after, stream.data + 3 * TEST_SEGMENT, 5000, &fed), SEAM_HOLDS);
    free(stream.data);
}

static void
assert_refused(const Stream *held, const Stream *comes, const char *reason)
{
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        size_t fed = 0;
        AUTO(seam) Seam *seam = NULL;
        assert_done(open_seam(held->data, 0, &seam));
        assert_fails(feed(seam, comes->data + TEST_SEGMENT, pieces[i], &fed), ERR_DATA, reason);
        assert_non_null(strstr(error_last()->text, held_name));
    }
}

static void
test_other_wal(void **state)
{
    (void)state;
    Stream stream = make_stream(32), none = make_stream(0);
    assert_refused(&stream, &none, "begins with 0 bytes of a record going on");
    assert_refused(&none, &stream, "begins with 32 bytes of a record going on");

    /* Both end with a record, but not in the same place. */
    Stream other = {.data = mem_alloc(SIZE), .previous = START - 800};
    put_header(&other, 0);
    put_record(&other, 5000, 10, 0);
    fill(&other, 0, 0);
    for (size_t i = 1; i < SEGMENTS; i++)
        fill(&other, i, 0);
    assert_refused(&none, &other, "links back to");

    /* The record across the border looks the same, and has another body. */
    Stream same = make_stream(32);
    same.data[TEST_SEGMENT + 45] ^= 1;
    assert_refused(&stream, &same, "has the CRC");
    memset(same.data + TEST_SEGMENT, 'x', TEST_SEGMENT);
    assert_refused(&stream, &same, "does not begin with a page header that is known");
    free(stream.data);
    free(none.data);
    free(other.data);
    free(same.data);
}

static void
test_no_wal(void **state)
{
    (void)state;
    Seam *seam = NULL;
    Stream stream = make_stream(0);
    stream.data[TEST_SEGMENT / 2] ^= 1;
    assert_int_equal(open_seam(stream.data, 0, &seam), SEAM_NONE);
    memset(stream.data, 0, TEST_SEGMENT);
    assert_int_equal(open_seam(stream.data, 0, &seam), SEAM_NONE);
    free(stream.data);
}

static WalWriter *
begin(const char *dir, Seam *seam)
{
    const WriterSpec spec = {.directory = dir,
                             .segment_size = TEST_SEGMENT,
                             .timeline = 1,
                             .start = START + TEST_SEGMENT,
                             .seam = seam,
                             .release = free};
    WalWriter *writer = NULL;
    assert_done(writer_start(&spec, &writer));
    return writer;
}

static void
push(WalWriter *writer, const unsigned char *data, size_t size)
{
    char *copy = mem_alloc(size);
    memcpy(copy, data, size);
    Lsn written = writer_progress(writer).written + size;
    assert_true(writer_push(writer, copy, copy, size));
    writer_sync(writer);
    while (writer_progress(writer).written < written && !writer_progress(writer).failed)
        usleep(1000);
}

/* Nothing has a name, or counts, before it is certain. */
static void
test_writer(void **state)
{
    (void)state;
    Stream stream = make_stream(32), other = make_stream(0);
    for (int blank = 0; blank < 2; blank++) {
        char *dir = scratch_make();
        AUTO(free) char *partial = mem_printf("%s/%s.partial", dir, next_name);
        AUTO(seam) Seam *seam = NULL, *wrong = NULL;
        size_t entries = (size_t)blank;
        if (blank)
            write_text(partial, "");
        assert_int_equal(segment_is_blank(dir, next_name), SEGMENT_BLANK);

        assert_done(open_seam(stream.data, 0, &wrong));
        WalWriter *writer = begin(dir, wrong);
        assert_false(writer_progress(writer).proven);
        push(writer, other.data + TEST_SEGMENT, 9000);
        assert_fails(writer_stop(writer, NULL), ERR_DATA, "does not go on");
        assert_int_equal(count_entries(dir), entries);
        assert_int_equal(segment_is_blank(dir, next_name), SEGMENT_BLANK);

        assert_done(open_seam(stream.data, 0, &seam));
        writer = begin(dir, seam);
        push(writer, stream.data + TEST_SEGMENT, 60);
        assert_false(writer_progress(writer).proven);
        assert_int_equal(count_entries(dir), entries);
        push(writer, stream.data + TEST_SEGMENT + 60, 9000);
        assert_true(writer_progress(writer).proven);
        assert_done(writer_stop(writer, NULL));
        assert_int_equal(count_entries(dir), 1);
        assert_int_equal(segment_is_blank(dir, next_name), 0);
        scratch_remove(dir);
    }
    free(stream.data);
    free(other.data);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds),     cmocka_unit_test(test_long_record),
        cmocka_unit_test(test_other_wal), cmocka_unit_test(test_no_wal),
        cmocka_unit_test(test_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
