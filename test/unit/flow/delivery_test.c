/* SPDX-License-Identifier: PostgreSQL
 * What comes in pieces of any size, compressed by anything, is written plain or refused. */
#include "segment.h"

#include "flow/delivery.h"

#include <fcntl.h>

typedef struct Fixture {
    char *dir, *path;
    unsigned char *data;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = mem_alloc(sizeof(*f));
    f->dir = scratch_make();
    f->path = mem_printf("%s/file", f->dir);
    f->data = segment_make(SEG_1, 1);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;
    scratch_remove(f->dir);
    free(f->path);
    free(f->data);
    free(f);
    return 0;
}

static int
deliver(const Fixture *f, const Order *order, const void *data, size_t size, size_t piece)
{
    AUTO(close) int fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    AUTO(delivery) Delivery delivery;
    delivery_begin(order, fd, &delivery);
    for (size_t at = 0; at < size; at += piece)
        TRY(delivery_push(&delivery, (const char *)data + at,
                          size - at < piece ? size - at : piece));
    return delivery_finish(&delivery);
}

static void
assert_delivered(const Fixture *f)
{
    AUTO(str) Str text = {0};
    assert_done(file_read_text(f->path, TEST_SEGMENT, &text));
    assert_int_equal(text.length, TEST_SEGMENT);
    assert_memory_equal(text.data, f->data, TEST_SEGMENT);
}

static void
test_pieces_and_codecs(void **state)
{
    static const char *const codecs[] = {"none", "gzip", "bzip2", "xz", "zstd", "snappy", "lz4"};
    static const size_t pieces[] = {1, 63, 64, 65, 100000, TEST_SEGMENT};
    const Fixture *f = *state;
    const Order order = {.name = SEG_1, .system_id = SYSTEM_ID};
    for (size_t i = 0; i < COUNT_OF(codecs); i++) {
        AUTO(str) Str stream = {0};
        if (i == 0)
            str_append_part(&stream, (const char *)f->data, TEST_SEGMENT);
        else
            compress_bytes(codecs[i], f->data, TEST_SEGMENT, &stream);
        for (size_t j = 0; j < COUNT_OF(pieces); j++) {
            assert_done(deliver(f, &order, stream.data, stream.length, pieces[j]));
            assert_delivered(f);
        }
        assert_int_equal(deliver(f, &order, stream.data, stream.length - 5, 1000), -1);
    }
}

static void
test_stand_in(void **state)
{
    const Fixture *f = *state;
    Order order = {.name = SEG_1};
    assert_fails(deliver(f, &order, f->data, 8192, 1000), ERR_DATA, "8192 bytes long");
    order.partial = true;
    assert_done(deliver(f, &order, f->data, 8192, 1000));
    memset(f->data + 8192, 0, TEST_SEGMENT - 8192);
    assert_delivered(f);
    assert_int_equal(deliver(f, &order, "", 0, 1), DELIVERY_NOTHING);
    order.name = SEG_1 ".partial"; /* as it is */
    assert_done(deliver(f, &order, f->data, 8192, 1000));
}

static void
test_refused(void **state)
{
    const Fixture *f = *state;
    Order order = {.name = SEG_1, .system_id = SYSTEM_ID + 1};
    assert_fails(deliver(f, &order, f->data, TEST_SEGMENT, 1000), ERR_DATA, "system identifier");
    order = (Order){.name = SEG_2};
    assert_fails(deliver(f, &order, f->data, TEST_SEGMENT, 1000), ERR_DATA, "what its name says");
    order = (Order){.name = "00000002.history"};
    assert_fails(deliver(f, &order, "", 0, 1), ERR_DATA, "is empty");
    assert_done(deliver(f, &order, "1\t0/1\tx\n", 8, 1));
    AUTO(free) char *long_text = mem_alloc(2 << 20);
    memset(long_text, 'x', 2 << 20);
    assert_fails(deliver(f, &order, long_text, 2 << 20, 4096), ERR_DATA, "longer than");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pieces_and_codecs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stand_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
