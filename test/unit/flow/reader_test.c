/* SPDX-License-Identifier: PostgreSQL
 * Pulling plain contents out of anything, and leaving early without leaving anything behind. */
#include "segment.h"

#include "flow/recode/reader.h"

enum { SIZE = 3 << 19 }; /* more than a pipe takes */

typedef struct Fixture {
    char *dir, *path;
    unsigned char *data; /* compresses to about a half */
    size_t descriptors, threads;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = mem_alloc(sizeof(*f));
    f->dir = scratch_make();
    f->path = mem_printf("%s/file", f->dir);
    f->data = mem_alloc(SIZE);
    uint32_t seed = 1;
    for (size_t i = 0; i < SIZE; i++) {
        seed = seed * 1664525 + 1013904223;
        f->data[i] = seed >> 28;
    }
    f->descriptors = count_descriptors();
    f->threads = count_threads();
    *state = f;
    return 0;
}

/* Nothing may be left of any reader: no descriptor, no thread. */
static int
teardown(void **state)
{
    Fixture *f = *state;
    size_t descriptors = count_descriptors(), threads = count_threads();
    int result = descriptors == f->descriptors && threads == f->threads ? 0 : -1;
    if (result < 0)
        print_error("%zu descriptors before and %zu after, %zu threads and %zu\n", f->descriptors,
                    descriptors, f->threads, threads);
    free(f->data);
    free(f->path);
    scratch_remove(f->dir);
    free(f);
    return result;
}

/* Reads it all in pieces; the size, or <0. */
static int64_t
read_all(const Fixture *f, const char *codec, const CustomCodec *custom, size_t piece)
{
    AUTO(close) int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    AUTO(reader) Reader *reader = NULL;
    AUTO(free) unsigned char *buffer = mem_alloc(piece);
    int64_t size = 0;
    size_t got = 0;
    assert_true(fd >= 0);
    assert_done(reader_open(fd, codec ? codec_find(codec) : NULL, custom, &reader));
    do {
        if (reader_read(reader, buffer, piece, f->path, &got) < 0)
            return -1;
        assert_true(size + (int64_t)got <= SIZE);
        assert_memory_equal(buffer, f->data + size, got);
        size += (int64_t)got;
    } while (got == piece);
    assert_done(reader_read(reader, buffer, piece, f->path, &got)); /* the end stays the end */
    assert_int_equal(got, 0);
    return size;
}

static const char *const codecs[] = {"gzip", "bzip2", "xz", "zstd", "lz4", "snappy"};

static void
test_plain(void **state)
{
    Fixture *f = *state;
    write_bytes(f->path, f->data, SIZE);
    assert_int_equal(read_all(f, NULL, NULL, 1 << 20), SIZE);
    assert_int_equal(read_all(f, "none", NULL, 999983), SIZE);
    write_bytes(f->path, "", 0);
    assert_int_equal(read_all(f, NULL, NULL, 4096), 0);
}

static void
test_compressed(void **state)
{
    Fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(codecs); i++) {
        write_compressed(f->path, codecs[i], f->data, SIZE, 0);
        assert_int_equal(read_all(f, codecs[i], NULL, 256 << 10), SIZE);
        assert_int_equal(read_all(f, codecs[i], NULL, 999983), SIZE);
        write_compressed(f->path, codecs[i], f->data, 0, 0);
        assert_int_equal(read_all(f, codecs[i], NULL, 4096), 0);
    }
}

static void
test_from_the_current_offset(void **state)
{
    Fixture *f = *state;
    char text[8] = "";
    size_t got = 0;
    write_text(f->path, "12345");
    AUTO(close) int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    lseek(fd, 3, SEEK_SET);
    Reader *reader = NULL;
    assert_done(reader_open(fd, NULL, NULL, &reader));
    assert_done(reader_read(reader, text, sizeof(text), "text", &got));
    assert_string_equal(text, "45");
    reader_close(reader);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 5); /* the file is still the caller's */
}

static void
test_cut_off(void **state)
{
    Fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(codecs); i++) {
        if (strcmp(codecs[i], "snappy") == 0) /* its format has no end: every frame is one */
            continue;
        write_compressed(f->path, codecs[i], f->data, SIZE, 500001);
        assert_fails((int)read_all(f, codecs[i], NULL, 65536), ERR_DATA, f->path);
    }
}

static void
test_wrong_format(void **state)
{
    Fixture *f = *state;
    write_bytes(f->path, f->data, SIZE);
    for (size_t i = 0; i < COUNT_OF(codecs); i++)
        assert_fails((int)read_all(f, codecs[i], NULL, 65536), ERR_DATA, f->path);
}

/* Closed before anything, in the middle and at the end */
static void
test_close_early(void **state)
{
    Fixture *f = *state;
    char buffer[1000];
    CustomCodec endless = {.decompress = "yes"};
    for (size_t i = 0; i <= COUNT_OF(codecs); i++) {
        const char *codec = i < COUNT_OF(codecs) ? codecs[i] : "custom";
        if (i < COUNT_OF(codecs))
            write_compressed(f->path, codec, f->data, SIZE, 0);
        for (int reads = 0; reads < 3; reads++) {
            AUTO(close) int fd = open(f->path, O_RDONLY | O_CLOEXEC);
            Reader *reader = NULL;
            size_t got = 0;
            assert_done(reader_open(fd, codec_find(codec), &endless, &reader));
            for (int r = 0; r < reads; r++)
                assert_done(reader_read(reader, buffer, sizeof(buffer), "x", &got));
            reader_close(reader);
        }
    }
    reader_close(NULL);
}

static void
test_two_at_once(void **state)
{
    Fixture *f = *state;
    AUTO(free) char *other = mem_printf("%s/other", f->dir);
    static unsigned char a[64 << 10], b[64 << 10];
    write_compressed(f->path, "zstd", f->data, SIZE, 0);
    write_compressed(other, "gzip", f->data, SIZE, 0);
    AUTO(close) int fd_a = open(f->path, O_RDONLY | O_CLOEXEC);
    AUTO(close) int fd_b = open(other, O_RDONLY | O_CLOEXEC);
    AUTO(reader) Reader *reader_a = NULL;
    AUTO(reader) Reader *reader_b = NULL;
    size_t got_a = 0, got_b = 0, size = 0;
    assert_done(reader_open(fd_a, codec_find("zstd"), NULL, &reader_a));
    assert_done(reader_open(fd_b, codec_find("gzip"), NULL, &reader_b));
    do {
        assert_done(reader_read(reader_a, a, sizeof(a), "a", &got_a));
        assert_done(reader_read(reader_b, b, sizeof(b), "b", &got_b));
        assert_int_equal(got_a, got_b);
        assert_memory_equal(a, b, got_a);
        size += got_a;
    } while (got_a == sizeof(a));
    assert_int_equal(size, SIZE);
    reader_close(take(reader_a));
    reader_close(take(reader_b));
}

static void
test_custom(void **state)
{
    Fixture *f = *state;
    CustomCodec custom = {.decompress = "cat"};
    write_bytes(f->path, f->data, SIZE);
    assert_int_equal(read_all(f, "custom", &custom, 100000), SIZE);
    custom.decompress = "head -c 1000; echo damaged >&2; exit 2";
    assert_fails((int)read_all(f, "custom", &custom, 100000), ERR_HOOK, "exit code 2: damaged");
    custom.decompress = "kill -9 $$";
    assert_fails((int)read_all(f, "custom", &custom, 100000), ERR_HOOK, "signal 9");
    custom.decompress = NULL;
    assert_fails((int)read_all(f, "custom", &custom, 100000), ERR_CONFIG,
                 "custom_decompression_filter");
    assert_fails((int)read_all(f, "custom", NULL, 100000), ERR_CONFIG, "custom");
}

static int
count_bytes(void *context, const void *data, size_t size)
{
    (void)data;
    *(size_t *)context += size;
    return *(size_t *)context > SIZE / 2 ? fail(ERR_IO, "sink is full") : 0;
}

static void
test_decode_file(void **state)
{
    Fixture *f = *state;
    AUTO(str) Str out = {0};
    size_t size = 0;
    write_compressed(f->path, "zstd", f->data, SIZE, 0);
    AUTO(close) int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_done(decode_file(fd, codec_find("zstd"), "x", segment_sink, &out));
    assert_int_equal(out.length, SIZE);
    assert_memory_equal(out.data, f->data, SIZE);
    lseek(fd, 0, SEEK_SET);
    assert_fails(decode_file(fd, codec_find("zstd"), "x", count_bytes, &size), ERR_IO,
                 "sink is full");
}

/* What a program makes of the plain contents, on its way to somewhere else than a file */
static void
test_compressing(void **state)
{
    Fixture *f = *state;
    static const struct {
        const char *codec, *filter;
    } cases[] = {{"pigz", NULL}, {"custom", "gzip -1"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(str) Str packed = {0}, back = {0};
        AUTO(coder) Coder *coder = NULL;
        AUTO(reader) Reader *reader = NULL;
        char block[10000];
        size_t got = 0;
        CustomCodec custom = {.compress = cases[i].filter};
        write_bytes(f->path, f->data, SIZE);
        AUTO(close) int fd = open(f->path, O_RDONLY | O_CLOEXEC);
        assert_done(reader_open_compressing(fd, codec_find(cases[i].codec), 1, &custom, &reader));
        do {
            assert_done(reader_read(reader, block, sizeof(block), "x", &got));
            str_append_part(&packed, block, got);
        } while (got == sizeof(block));
        assert_done(decompressor_new(codec_find("gzip"), &coder));
        assert_done(coder_begin(coder, -1, segment_sink, &back));
        assert_done(coder_push(coder, packed.data, packed.length));
        assert_done(coder_finish(coder));
        assert_int_equal(back.length, SIZE);
        assert_memory_equal(back.data, f->data, SIZE);
    }
}

static void
test_compressing_fails(void **state)
{
    Fixture *f = *state;
    AUTO(reader) Reader *reader = NULL;
    char block[1000];
    size_t got = 0;
    CustomCodec custom = {.compress = "head -c 10; echo full >&2; exit 3"};
    AUTO(close) int fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_done(reader_open_compressing(fd, codec_find("custom"), 1, &custom, &reader));
    assert_fails(reader_read(reader, block, sizeof(block), "x", &got), ERR_HOOK,
                 "exit code 3: full");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
        TEST(plain),
        TEST(compressed),
        TEST(from_the_current_offset),
        TEST(cut_off),
        TEST(wrong_format),
        TEST(close_early),
        TEST(two_at_once),
        TEST(custom),
        TEST(decode_file),
        TEST(compressing),
        TEST(compressing_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
