/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"
#include "base/crc32c.h"

static const struct {
    const char *data;
    size_t size;
    uint32_t crc;
} known[] = {
    {"", 0, 0},
    {"a", 1, 0xC1D04330},
    {"123456789", 9, 0xE3069283},
    {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32,
     0x8A9136AA}, /* RFC 3720 */
};

static void
test_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        assert_int_equal(crc32c(0, known[i].data, known[i].size), known[i].crc);
        assert_int_equal(crc32c_portable(0, known[i].data, known[i].size), known[i].crc);
    }
}

/* Every length and alignment, in one piece and in two, by both ways. */
static void
test_pieces(void **state)
{
    (void)state;
    unsigned char bytes[80];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 37 + 11);
    for (size_t start = 0; start < 8; start++)
        for (size_t size = 0; size < 64; size++) {
            uint32_t whole = crc32c(0, bytes + start, size);
            assert_int_equal(crc32c_portable(0, bytes + start, size), whole);
            size_t half = size / 3;
            uint32_t first = crc32c(0, bytes + start, half);
            assert_int_equal(crc32c(first, bytes + start + half, size - half), whole);
            assert_int_equal(crc32c_portable(first, bytes + start + half, size - half), whole);
            uint32_t second = crc32c(0, bytes + start + half, size - half);
            assert_int_equal(crc32c_combine(first, second, size - half), whole);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
