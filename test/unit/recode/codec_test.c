/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include "flow/recode/codec.h"

static void
test_registry(void **state)
{
    (void)state;
    static const struct {
        const char *name, *recognised_as;
    } rows[] = {
        {"bzip2", NULL},  {"custom", NULL}, {"gzip", NULL},       {"lz4", NULL},
        {"none", NULL},   {"pigz", "gzip"}, {"pybzip2", "bzip2"}, {"pygzip", "gzip"},
        {"snappy", NULL}, {"xz", NULL},     {"zstd", NULL},
    };
    size_t count;
    const CodecClass *const *all = codec_all(&count);
    assert_int_equal(count, COUNT_OF(rows));
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(all[i]->name, rows[i].name);
        assert_ptr_equal(codec_find(rows[i].name), all[i]);
        assert_ptr_equal(all[i]->recognised_as,
                         rows[i].recognised_as ? codec_find(rows[i].recognised_as) : NULL);
    }
    assert_null(codec_find("zip"));
    assert_null(codec_find(""));
    assert_null(codec_find("GZIP"));
}

static void
test_recognise(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *name;
    } rows[] = {
        {"BZh", 3, "bzip2"},
        {"BZ", 2, NULL},
        {"\x1f\x8b\x08", 3, "gzip"},
        {"\x1f\x8b\x07", 3, NULL},
        {"\x04\x22\x4d\x18", 4, "lz4"},
        {"\x02\x21\x4c\x18", 4, NULL},
        {"\xff\x06\0\0sNaPpY", 10, "snappy"},
        {"\xff\x06\0\0sNaPp", 9, NULL},
        {"\xfd"
         "7zXZ\0",
         6, "xz"},
        {"\x28\xb5\x2f\xfd and more behind", 20, "zstd"},
        {"\x50\x2a\x4d\x18", 4, NULL},
        {"\x13\xd1\x02\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, NULL},
        {"", 0, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const CodecClass *class = codec_recognise(rows[i].bytes, rows[i].size);
        if (class != (rows[i].name ? codec_find(rows[i].name) : NULL))
            fail_msg("row %zu is taken for %s", i, class ? class->name : "none of them");
    }
}

static void
test_levels(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int level;
    } rows[] = {
        {"gzip", NULL, 6},     {"gzip", "low", 1},  {"gzip", "medium", 6},
        {"gzip", "high", 9},   {"gzip", "0", 1},    {"gzip", "-3", 1},
        {"gzip", "12", 9},     {"gzip", "4", 4},    {"pygzip", "low", 1},
        {"pigz", "low", 1},    {"pigz", NULL, 6},   {"pigz", "high", 9},
        {"bzip2", "low", 1},   {"bzip2", NULL, 5},  {"bzip2", "high", 9},
        {"pybzip2", NULL, 5},  {"xz", "low", 1},    {"xz", NULL, 3},
        {"xz", "high", 5},     {"xz", "9", 9},      {"zstd", "low", 1},
        {"zstd", NULL, 4},     {"zstd", "high", 9}, {"zstd", "-99", -22},
        {"zstd", "-5", -5},    {"zstd", "99", 22},  {"lz4", "low", 0},
        {"lz4", NULL, 6},      {"lz4", "high", 10}, {"lz4", "-1", 0},
        {"lz4", "20", 16},     {"snappy", "7", 0},  {"snappy", "high", 0},
        {"custom", "high", 0}, {"none", NULL, 0},   {"zstd", "99999999999", 22},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int level = 1000;
        assert_true(codec_level(codec_find(rows[i].name), rows[i].text, &level));
        if (level != rows[i].level)
            fail_msg("%s %s is %d", rows[i].name, rows[i].text ? rows[i].text : "NULL", level);
    }
    static const char *const wrong[] = {"", "LOW", "best", "1.5", "5x"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        int level = 1000;
        assert_false(codec_level(codec_find("zstd"), wrong[i], &level));
        assert_int_equal(level, 1000);
    }
}

static void
test_programs_have_no_coder(void **state)
{
    (void)state;
    Coder *coder = NULL;
    size_t count;
    const CodecClass *const *all = codec_all(&count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(codec_is_program(all[i]),
                         strcmp(all[i]->name, "pigz") == 0 || strcmp(all[i]->name, "custom") == 0);
    assert_fails(compressor_new(codec_find("pigz"), 6, &coder), ERR_UNSUPPORTED, "'pigz'");
    assert_fails(compressor_new(codec_find("custom"), 0, &coder), ERR_UNSUPPORTED, "'custom'");
    assert_fails(decompressor_new(codec_find("custom"), &coder), ERR_UNSUPPORTED, "'custom'");
    assert_null(coder);
    assert_done(decompressor_new(codec_find("pigz"), &coder));
    coder_free(coder);
    coder_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_recognise),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_programs_have_no_coder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
