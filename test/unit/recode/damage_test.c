/* SPDX-License-Identifier: PostgreSQL
 * Streams that are not what they should be are refused, and a coder works on after that. */
#include "stream.h"

static const char *const names[] = {"bzip2", "gzip", "lz4", "snappy", "xz", "zstd"};

static void
compress(const char *name, const char *level_text, const Str *plain, Str *packed)
{
    AUTO(coder) Coder *coder = NULL;
    int level;
    const CodecClass *class = codec_find(name);
    assert_true(codec_level(class, level_text, &level));
    assert_done(compressor_new(class, level, &coder));
    assert_done(stream_run(coder, plain, 4096, -1, packed));
}

static void
test_concatenated(void **state)
{
    (void)state;
    AUTO(str) Str plain = {0};
    content_text(&plain, 50000);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO(coder) Coder *coder = NULL;
        AUTO(str) Str packed = {0};
        AUTO(str) Str twice = {0};
        AUTO(str) Str empty = {0};
        AUTO(str) Str result = {0};
        AUTO(str) Str expected = {0};
        compress(names[i], NULL, &plain, &packed);
        compress(names[i], NULL, &expected, &empty);
        const Str *const parts[] = {&packed, &empty, &packed};
        for (size_t p = 0; p < COUNT_OF(parts); p++)
            str_append_part(&twice, parts[p]->data, parts[p]->length);
        str_append_part(&expected, plain.data, plain.length);
        str_append_part(&expected, plain.data, plain.length);
        assert_done(decompressor_new(codec_find(names[i]), &coder));
        static const size_t pieces[] = {1, 7, 4096, 300000};
        for (size_t p = 0; p < COUNT_OF(pieces); p++) {
            assert_done(stream_run(coder, &twice, pieces[p], -1, &result));
            assert_same(&result, &expected, names[i], pieces[p]);
        }
    }
}

/* Frames that hold no content may stand anywhere behind the first. */
static void
test_skippable_frames(void **state)
{
    (void)state;
    static const char skippable[] = "\x50\x2a\x4d\x18\x05\0\0\0hello";
    static const char *const formats[] = {"lz4", "zstd"};
    AUTO(str) Str plain = {0};
    content_text(&plain, 5000);
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        AUTO(coder) Coder *coder = NULL;
        AUTO(str) Str packed = {0};
        AUTO(str) Str result = {0};
        compress(formats[i], NULL, &plain, &packed);
        str_append_part(&packed, skippable, sizeof(skippable) - 1);
        assert_done(decompressor_new(codec_find(formats[i]), &coder));
        assert_done(stream_run(coder, &packed, 3, -1, &result));
        assert_same(&result, &plain, formats[i], 3);
        packed.length--;
        assert_fails(stream_run(coder, &packed, 3, -1, &result), ERR_DATA, "ends too early");
    }
}

static void
test_early_end(void **state)
{
    (void)state;
    AUTO(str) Str plain = {0};
    content_text(&plain, 50000);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO(coder) Coder *coder = NULL;
        AUTO(str) Str packed = {0};
        AUTO(str) Str result = {0};
        AUTO(free) char *message = mem_printf("%s stream ends too early", names[i]);
        compress(names[i], NULL, &plain, &packed);
        assert_done(decompressor_new(codec_find(names[i]), &coder));
        const size_t whole = packed.length;
        const size_t lengths[] = {0, 1, 3, 5, 9, 13, whole / 3, whole / 2, whole - 9, whole - 1};
        for (size_t l = 0; l < COUNT_OF(lengths); l++) {
            packed.length = lengths[l];
            assert_fails(stream_run(coder, &packed, 4096, -1, &result), ERR_DATA, message);
            assert_fails(stream_run(coder, &packed, 1, -1, &result), ERR_DATA, message);
        }
        packed.length = whole;
        assert_done(stream_run(coder, &packed, 4096, -1, &result));
        assert_same(&result, &plain, names[i], 4096);
    }
}

static void
test_something_else_behind(void **state)
{
    (void)state;
    static const char *const tails[] = {"garbage behind", "\0\0\0\1", "\x1f\x8b\x08 not gzip"};
    AUTO(str) Str plain = {0};
    content_text(&plain, 5000);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO(coder) Coder *coder = NULL;
        AUTO(str) Str packed = {0};
        AUTO(str) Str result = {0};
        compress(names[i], NULL, &plain, &packed);
        assert_done(decompressor_new(codec_find(names[i]), &coder));
        const size_t whole = packed.length;
        for (size_t t = 0; t < COUNT_OF(tails); t++) {
            packed.length = whole;
            str_append_part(&packed, tails[t], t == 1 ? 4 : strlen(tails[t]));
            assert_true(stream_run(coder, &packed, 300000, -1, &result) < 0);
            assert_true(error_last()->class == ERR_DATA || error_last()->class == ERR_UNSUPPORTED);
            assert_true(stream_run(coder, &packed, 1, -1, &result) < 0);
        }
        assert_fails(stream_run(coder, &plain, 300000, -1, &result), ERR_DATA, names[i]);
    }
}

static void
test_zeros_behind_gzip(void **state)
{
    (void)state;
    AUTO(coder) Coder *coder = NULL;
    AUTO(str) Str plain = {0};
    AUTO(str) Str packed = {0};
    AUTO(str) Str result = {0};
    content_text(&plain, 5000);
    compress("gzip", NULL, &plain, &packed);
    content_zeros(&packed, 1000);
    assert_done(decompressor_new(codec_find("gzip"), &coder));
    assert_done(stream_run(coder, &packed, 7, -1, &result));
    assert_same(&result, &plain, "gzip", 7);
    str_append(&packed, "x");
    assert_fails(stream_run(coder, &packed, 7, -1, &result), ERR_DATA, "follows its end");
}

/* Every format has a checksum of the content; a flipped bit may only go unnoticed where it changes
 * nothing of it (a header's time stamp). */
static void
test_flipped_bits(void **state)
{
    (void)state;
    AUTO(str) Str plain = {0};
    content_text(&plain, 20000);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO(coder) Coder *coder = NULL;
        AUTO(str) Str packed = {0};
        AUTO(str) Str result = {0};
        compress(names[i], "low", &plain, &packed);
        assert_done(decompressor_new(codec_find(names[i]), &coder));
        size_t refused = 0, tried = 0;
        for (size_t at = 0; at < packed.length; at += at < 64 ? 1 : 97, tried++) {
            packed.data[at] ^= 0x10;
            if (stream_run(coder, &packed, 4096, -1, &result) < 0)
                refused++;
            else
                assert_same(&result, &plain, names[i], 4096);
            packed.data[at] ^= 0x10;
        }
        assert_in_range(refused, tried - 8, tried);
        packed.data[packed.length / 2] ^= 1;
        assert_fails(stream_run(coder, &packed, 4096, -1, &result), ERR_DATA, names[i]);
        packed.data[packed.length / 2] ^= 1;
        assert_done(stream_run(coder, &packed, 4096, -1, &result));
        assert_same(&result, &plain, names[i], 4096);
    }
}

static int
full_sink(void *context, const void *data, size_t size)
{
    (void)context, (void)data;
    return size > 0 ? fail(ERR_IO, "the disk is full") : 0;
}

/* Pushes until the sink refuses, at the latest when the stream is finished. */
static int
run_into_full_sink(Coder *coder, const Str *input)
{
    TRY(coder_begin(coder, -1, full_sink, NULL));
    TRY(coder_push(coder, input->data, input->length));
    return coder_finish(coder);
}

static void
test_failing_sink(void **state)
{
    (void)state;
    AUTO(str) Str plain = {0};
    content_text(&plain, 1000000);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO(coder) Coder *compressor = NULL;
        AUTO(coder) Coder *decompressor = NULL;
        AUTO(str) Str packed = {0};
        AUTO(str) Str result = {0};
        assert_done(compressor_new(codec_find(names[i]), 1 % (codec_find(names[i])->level_max + 1),
                                   &compressor));
        assert_done(decompressor_new(codec_find(names[i]), &decompressor));
        assert_fails(run_into_full_sink(compressor, &plain), ERR_IO, "the disk is full");
        assert_done(stream_run(compressor, &plain, 4096, -1, &packed));
        assert_fails(run_into_full_sink(decompressor, &packed), ERR_IO, "the disk is full");
        assert_done(stream_run(decompressor, &packed, 4096, -1, &result));
        assert_same(&result, &plain, names[i], 4096);
    }
}

/* Formats that hold the content's size check it. */
static void
test_content_of_another_size(void **state)
{
    (void)state;
    static const char *const formats[] = {"lz4", "zstd"};
    AUTO(str) Str plain = {0};
    content_text(&plain, 100000);
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        AUTO(coder) Coder *coder = NULL;
        AUTO(str) Str packed = {0};
        int64_t size = (int64_t)plain.length;
        assert_done(compressor_new(codec_find(formats[i]), 1, &coder));
        assert_fails(stream_run(coder, &plain, 4096, size + 1, &packed), ERR_IO, formats[i]);
        assert_fails(stream_run(coder, &plain, 4096, size - 1, &packed), ERR_IO, formats[i]);
        assert_done(stream_run(coder, &plain, 4096, size, &packed));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_concatenated),      cmocka_unit_test(test_skippable_frames),
        cmocka_unit_test(test_early_end),         cmocka_unit_test(test_something_else_behind),
        cmocka_unit_test(test_zeros_behind_gzip), cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_failing_sink),      cmocka_unit_test(test_content_of_another_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
