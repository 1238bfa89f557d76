/* SPDX-License-Identifier: PostgreSQL
 * What went in comes out, at every level and whatever the pieces; and a coder stays small. */
#include "stream.h"

#include <malloc.h>

/* Compresses the content by pieces of one size and reads it back by pieces of another. */
static void
round_trip(Coder *compressor, Coder *decompressor, const Str *plain, size_t piece, size_t back)
{
    AUTO(str) Str packed = {0};
    AUTO(str) Str result = {0};
    const CodecClass *class = compressor->class;
    int64_t content_size = piece % 2 ? -1 : (int64_t)plain->length;
    assert_done(stream_run(compressor, plain, piece, content_size, &packed));
    assert_done(stream_run(decompressor, &packed, back, -1, &result));
    assert_same(&result, plain, class->name, piece);
    if (class->magic)
        assert_ptr_equal(codec_recognise(packed.data, packed.length),
                         class->recognised_as ? class->recognised_as : class);
}

/* Without the other names of the same format. */
static void
each_codec(void (*visit)(const CodecClass *class))
{
    size_t count;
    const CodecClass *const *all = codec_all(&count);
    for (size_t i = 0; i < count; i++)
        if (!codec_is_program(all[i]) && !all[i]->recognised_as)
            visit(all[i]);
}

static void
every_level(const CodecClass *class)
{
    AUTO(coder) Coder *decompressor = NULL;
    AUTO(str) Str text = {0};
    content_text(&text, 20000);
    assert_done(decompressor_new(class, &decompressor));
    for (int level = class->level_min; level <= class->level_max; level++) {
        AUTO(coder) Coder *compressor = NULL;
        assert_done(compressor_new(class, level, &compressor));
        round_trip(compressor, decompressor, &text, 1, 7);
        round_trip(compressor, decompressor, &text, 7, 1);
        round_trip(compressor, decompressor, &text, 4096, 300000);
        round_trip(compressor, decompressor, &text, 300000, 4096);
    }
}

static void
test_every_level(void **state)
{
    (void)state;
    each_codec(every_level);
}

static void
every_content(const CodecClass *class)
{
    static const struct {
        void (*make)(Str *str, size_t size);
        size_t size;
    } contents[] = {{content_zeros, 0},        {content_zeros, 1},       {content_zeros, 3000000},
                    {content_random, 65536},   {content_random, 300001}, {content_text, 700000},
                    {content_random, 2097152}, {content_text, 2097153}};
    const int levels[] = {class->level_low, class->level_medium, class->level_high};
    const size_t level_count = class->level_max ? COUNT_OF(levels) : 1;
    AUTO(coder) Coder *decompressor = NULL;
    assert_done(decompressor_new(class, &decompressor));
    for (size_t c = 0; c < COUNT_OF(contents); c++) {
        AUTO(str) Str plain = {0};
        contents[c].make(&plain, contents[c].size);
        for (size_t l = 0; l < (contents[c].size < MIB(1) ? level_count : 1); l++) {
            AUTO(coder) Coder *compressor = NULL;
            assert_done(compressor_new(class, levels[l], &compressor));
            round_trip(compressor, decompressor, &plain, 300000, 4096);
            if (contents[c].size < 100000)
                round_trip(compressor, decompressor, &plain, 1, 300000);
            if (l == 0)
                round_trip(compressor, decompressor, &plain, 4096, 7);
        }
    }
}

static void
test_every_content(void **state)
{
    (void)state;
    each_codec(every_content);
}

static int64_t
memory_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return (int64_t)(info.uordblks + info.hblkhd);
}

typedef struct Peak {
    int64_t before, most;
} Peak;

static int
watch_memory(void *context, const void *data, size_t size)
{
    Peak *peak = context;
    (void)data, (void)size;
    if (memory_in_use() - peak->before > peak->most)
        peak->most = memory_in_use() - peak->before;
    return 0;
}

static void
small_memory(const CodecClass *class)
{
    AUTO(str) Str plain = {0};
    content_random(&plain, 300000);
    for (int level = class->level_min; level <= class->level_max; level++) {
        Peak peak = {.before = memory_in_use()};
        AUTO(coder) Coder *compressor = NULL;
        assert_done(compressor_new(class, level, &compressor));
        assert_done(coder_begin(compressor, 1 << 30, watch_memory, &peak));
        assert_done(coder_push(compressor, plain.data, plain.length));
        watch_memory(&peak, NULL, 0);
        if (peak.most > (int64_t)MIB(16))
            fail_msg("%s level %d takes %ld KiB", class->name, level, (long)(peak.most >> 10));
    }
}

static void
test_compressing_takes_little_memory(void **state)
{
    (void)state;
    each_codec(small_memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_level),
        cmocka_unit_test(test_every_content),
        cmocka_unit_test(test_compressing_takes_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
