/* SPDX-License-Identifier: PostgreSQL
 * Programs as codecs, and the formats' own tools as judges of what we write and as writers of what
 * we read. */
#include "stream.h"

#include "base/file.h"
#include "base/proc.h"

#include <fcntl.h>

/* The crc32c of Debian's python3-snappy does not work with the Python that it comes with. */
static const char snappy_tool[] =
    "/usr/bin/python3 -c 'import sys, snappy.snappy as s\n"
    "def crc32c(data):\n"
    "    crc = 0xffffffff\n"
    "    for byte in data:\n"
    "        crc ^= byte\n"
    "        for i in range(8): crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)\n"
    "    return crc ^ 0xffffffff\n"
    "s._crc32c = crc32c\n"
    "getattr(s, sys.argv[1])(sys.stdin.buffer, sys.stdout.buffer)' ";

static int
scratch_open(const char *dir, const char *name)
{
    AUTO(free) char *path = mem_printf("%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void
scratch_fill(int fd, const Str *content)
{
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_done(file_write(fd, str_text(content), content->length, "scratch"));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
}

static void
scratch_read(int fd, Str *content)
{
    static char buffer[65536];
    size_t got;
    str_clear(content);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    do {
        assert_done(file_read(fd, buffer, sizeof(buffer), "scratch", &got));
        str_append_part(content, buffer, got);
    } while (got > 0);
}

/* Output of the shell line for this input. */
static void
run_tool(const char *dir, const char *line, const Str *input, Str *output)
{
    AUTO(close) int from = scratch_open(dir, "from");
    AUTO(close) int to = scratch_open(dir, "to");
    scratch_fill(from, input);
    ProcSpec spec = {.shell = line, .stdin_fd = from, .stdout_fd = to};
    int status;
    assert_done(proc_run(&spec, &status));
    if (status != 0)
        fail_msg("%s: status %d: %s", line, status, spec.stderr_tail);
    scratch_read(to, output);
}

static void
test_tools(void **state)
{
    static const struct {
        const char *codec, *writes, *reads;
    } rows[] = {
        {"bzip2", "bzip2 -c", "bzip2 -dc"},
        {"gzip", "gzip -c", "gzip -dc"},
        {"gzip", "pigz -c", "pigz -dc"},
        {"gzip", "gzip -c -1", "gzip -dc"},
        {"lz4", "lz4 -c", "lz4 -dc"},
        {"xz", "xz -c", "xz -dc"},
        {"zstd", "zstd -c", "zstd -dc"},
        {"snappy", NULL, NULL},
        {"zstd", "zstd -c --ultra -22", "zstd -dc"},
        {"lz4", "lz4 -c -9 -B4 --no-frame-crc --content-size", "lz4 -dc"},
        {"lz4", "lz4 -c -BX -BD", "lz4 -dc"},
    };
    const char *dir = *state;
    AUTO(free) char *snappy_writes = mem_printf("%sstream_compress", snappy_tool);
    AUTO(free) char *snappy_reads = mem_printf("%sstream_decompress", snappy_tool);
    static const char *const levels[] = {"low", "medium", "high"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO(coder) Coder *decompressor = NULL;
        const CodecClass *class = codec_find(rows[i].codec);
        assert_done(decompressor_new(class, &decompressor));
        for (size_t size = 0; size <= 150000; size = size ? size * 50000 : 3) {
            AUTO(str) Str plain = {0};
            AUTO(str) Str packed = {0};
            AUTO(str) Str result = {0};
            content_text(&plain, size);
            if (size > 0 || rows[i].writes) { /* snappy's tool makes nothing of nothing */
                run_tool(dir, rows[i].writes ? rows[i].writes : snappy_writes, &plain, &packed);
                assert_ptr_equal(codec_recognise(packed.data, packed.length), class);
                assert_done(stream_run(decompressor, &packed, 5000, -1, &result));
                assert_same(&result, &plain, rows[i].codec, 5000);
            }
            const size_t level_count = size > 0 && class->level_max ? COUNT_OF(levels) : 1;
            for (size_t l = 0; l < level_count; l++) {
                AUTO(coder) Coder *compressor = NULL;
                int level;
                assert_true(codec_level(class, levels[l], &level));
                assert_done(compressor_new(class, level, &compressor));
                assert_done(stream_run(compressor, &plain, 5000, (int64_t)plain.length, &packed));
                run_tool(dir, rows[i].reads ? rows[i].reads : snappy_reads, &packed, &result);
                assert_same(&result, &plain, rows[i].codec, 5000);
            }
        }
    }
}

/* The tools find the checksum, and the content's size where we knew it. */
static void
test_headers(void **state)
{
    const char *dir = *state;
    AUTO(str) Str plain = {0};
    content_text(&plain, 54321);
    static const struct {
        const char *codec, *line, *expected;
    } rows[] = {
        {"zstd", "cat > $D/x.zst && zstd -lv $D/x.zst 2>&1", "Check: XXH64"},
        {"zstd", "cat > $D/x.zst && zstd -lv $D/x.zst 2>&1", "(543"},
        {"lz4", "cat > $D/x.lz4 && lz4 --list $D/x.lz4 2>&1", "53.06K"},
        {"xz", "cat > $D/x.xz && xz -lv $D/x.xz 2>&1", "CRC64"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO(coder) Coder *coder = NULL;
        AUTO(str) Str packed = {0};
        AUTO(str) Str output = {0};
        AUTO(free) char *line = mem_printf("D=%s; %s", dir, rows[i].line);
        assert_done(compressor_new(codec_find(rows[i].codec), 1, &coder));
        assert_done(stream_run(coder, &plain, 5000, (int64_t)plain.length, &packed));
        run_tool(dir, line, &packed, &output);
        if (!strstr(str_text(&output), rows[i].expected))
            fail_msg("'%s' is not in '%s'", rows[i].expected, str_text(&output));
    }
}

static void
test_pigz(void **state)
{
    const char *dir = *state;
    AUTO(close) int from = scratch_open(dir, "from");
    AUTO(close) int to = scratch_open(dir, "to");
    AUTO(coder) Coder *decompressor = NULL;
    AUTO(str) Str plain = {0};
    AUTO(str) Str packed = {0};
    AUTO(str) Str result = {0};
    const CodecClass *pigz = codec_find("pigz");
    content_text(&plain, 400000);
    scratch_fill(from, &plain);
    assert_done(program_recode(pigz, true, 9, NULL, from, to));
    scratch_read(to, &packed);
    assert_ptr_equal(codec_recognise(packed.data, packed.length), codec_find("gzip"));
    assert_done(decompressor_new(pigz, &decompressor));
    assert_done(stream_run(decompressor, &packed, 5000, -1, &result));
    assert_same(&result, &plain, "pigz", 5000);
}

static void
test_custom(void **state)
{
    const char *dir = *state;
    AUTO(close) int from = scratch_open(dir, "from");
    AUTO(close) int to = scratch_open(dir, "to");
    AUTO(str) Str plain = {0};
    AUTO(str) Str result = {0};
    const CodecClass *class = codec_find("custom");
    CustomCodec custom = {.compress = "tr a-y b-z", .decompress = "tr b-z a-y; echo done >&2"};
    str_append(&plain, "walden");
    scratch_fill(from, &plain);
    assert_done(program_recode(class, true, 0, &custom, from, to));
    scratch_read(to, &result);
    assert_string_equal(result.data, "xbmefo");
    scratch_fill(from, &result);
    scratch_fill(to, &(Str){0});
    assert_done(program_recode(class, false, 0, &custom, from, to));
    scratch_read(to, &result);
    assert_string_equal(result.data, "walden");
}

static void
test_custom_failures(void **state)
{
    const char *dir = *state;
    AUTO(close) int from = scratch_open(dir, "from");
    AUTO(close) int to = scratch_open(dir, "to");
    const CodecClass *class = codec_find("custom");
    CustomCodec slow = {.compress = "sleep 100", .timeout_ms = 100};
    assert_fails(program_recode(class, true, 0, &slow, from, to), ERR_TIMEOUT, "after 100 ms");
    CustomCodec custom = {.compress = "echo first >&2; echo no room >&2; exit 3"};
    assert_fails(program_recode(class, true, 0, &custom, from, to), ERR_HOOK, "exit code 3");
    assert_non_null(strstr(error_last()->text, "no room"));
    assert_non_null(strstr(error_last()->text, custom.compress));
    assert_fails(program_recode(class, false, 0, &custom, from, to), ERR_CONFIG,
                 "'custom_decompression_filter'");
    custom.compress = NULL;
    assert_fails(program_recode(class, true, 0, &custom, from, to), ERR_CONFIG,
                 "'custom_compression_filter'");
    assert_fails(program_recode(class, true, 0, NULL, from, to), ERR_CONFIG,
                 "'custom_compression_filter'");
}

static void
test_path_prefix(void **state)
{
    const char *dir = *state;
    AUTO(close) int from = scratch_open(dir, "from");
    AUTO(close) int to = scratch_open(dir, "to");
    AUTO(close) int program = scratch_open(dir, "pigz");
    AUTO(str) Str script = {0};
    AUTO(str) Str result = {0};
    str_append(&script, "#!/bin/sh\necho \"ours $*\"\n");
    scratch_fill(program, &script);
    assert_int_equal(fchmod(program, 0700), 0);
    close(take_fd(&program)); /* a program open for writing does not start */
    CustomCodec custom = {.path_prefix = dir};
    assert_done(program_recode(codec_find("pigz"), true, 4, &custom, from, to));
    scratch_read(to, &result);
    assert_string_equal(result.data, "ours -c -4\n");
}

static int
set_up(void **state)
{
    *state = scratch_make();
    return 0;
}

static int
tear_down(void **state)
{
    scratch_remove(*state);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_pigz),
        cmocka_unit_test(test_custom),
        cmocka_unit_test(test_custom_failures),
        cmocka_unit_test(test_path_prefix),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
