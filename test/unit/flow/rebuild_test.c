/* SPDX-License-Identifier: PostgreSQL
 * The catalog made anew, and what the configuration's custom codec becomes. */
#include "site.h"

#include "flow/custom.h"
#include "flow/rebuild.h"

#define TIME "1704067200.5"
#define ROW(name, codec) name "\t4\t" TIME "\t" codec "\tNone\n"

static void
archived(const Site *site, const char *relative, const void *data, size_t size)
{
    const char *path = arena_printf(site->arena, "%s/wals/%s", site->dir, relative);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1704067200, .tv_nsec = 500000000}};
    write_bytes(path, data, size);
    utimensat(AT_FDCWD, path, times, 0);
}

static void
assert_rebuild(Site *site, const RebuildSummary *expected, const char *catalog)
{
    RebuildSummary s = {0};
    assert_done(rebuild_catalog(&site->config, &site->server, &(RebuildObserver){0}, &s));
    assert_text(site->catalog, catalog);
    if (memcmp(&s, expected, sizeof(s)) != 0)
        fail_msg(
            "history %zu labels %zu segments %zu added %zu dropped %zu damaged %zu strangers %zu",
            s.history, s.labels, s.segments, s.added, s.dropped, s.damaged, s.strangers);
}

static void
test_of_nothing(void **state)
{
    Site *site = *state;
    assert_rebuild(site, &(RebuildSummary){0}, "");
}

static void
test_from_files_alone(void **state)
{
    Site *site = *state;
    archived(site, HASH_DIR "/" SEG_2, "data", 4);
    archived(site, HASH_DIR "/" SEG_1, "\x1f\x8b\x08\x00", 4);
    archived(site, HASH_DIR "/" SEG_2 ".partial", "data", 4);
    archived(site, HASH_DIR "/" SEG_1 ".00000028.backup", "data", 4);
    archived(site, HASH_DIR "/junk", "data", 4);
    archived(site, "00000002.history", "data", 4);
    assert_rebuild(
        site,
        &(RebuildSummary){.history = 1, .labels = 1, .segments = 3, .added = 5, .strangers = 1},
        ROW("00000002.history", "None") ROW(SEG_1, "gzip") ROW(SEG_1 ".00000028.backup", "None")
            ROW(SEG_2, "None") ROW(SEG_2 ".partial", "None"));
}

/* What the old one knows better stays, in its place; what is not true any more goes. */
static void
test_keeps_what_is_true(void **state)
{
    Site *site = *state;
    archived(site, HASH_DIR "/" SEG_1, "\x1f\x8b\x08\x00", 4);
    archived(site, HASH_DIR "/" SEG_2, "larger", 6);
    archived(site, HASH_DIR "/" SEG_3, "data", 4);
    write_text(site->catalog, ROW(SEG_3, "custom") ROW(SEG_2, "gzip") "damaged\n" ROW(SEG_1, "pigz")
                                  ROW("00000009.history", "None"));
    assert_rebuild(site, &(RebuildSummary){.segments = 3, .dropped = 1, .damaged = 1},
                   ROW(SEG_3, "custom") SEG_2 "\t6\t" TIME "\tNone\tNone\n" ROW(SEG_1, "pigz"));
}

/* What Barman has encrypted is recognised by its content. */
static void
test_encrypted(void **state)
{
    Site *site = *state;
    static const char pgp[] = "\x85\x01\x0c\x03 and so on";
    archived(site, HASH_DIR "/" SEG_1, pgp, strlen(pgp));
    assert_rebuild(site, &(RebuildSummary){.segments = 1, .added = 1},
                   SEG_1 "\t14\t" TIME "\tNone\tgpg\n");
}

/* A torn last line may hold a time that is wrong: the file tells it anew. */
static void
test_torn_line(void **state)
{
    Site *site = *state;
    archived(site, HASH_DIR "/" SEG_1, "data", 4);
    write_text(site->catalog, SEG_1 "\t4\t1704");
    assert_rebuild(site, &(RebuildSummary){.segments = 1, .added = 1, .damaged = 1},
                   ROW(SEG_1, "None"));
}

static void
test_of_the_old_generation(void **state)
{
    Site *site = *state;
    archived(site, HASH_DIR "/" SEG_1, "data", 4);
    archived(site, "xlog.db", "", 0);
    RebuildSummary summary = {0};
    assert_done(rebuild_catalog(&site->config, &site->server, &(RebuildObserver){0}, &summary));
    assert_text(site_path(site, "wals/xlog.db"), SEG_1 "\t4\t" TIME "\tNone\n");
    assert_false(exists(site->catalog));
}

/* Wrong types under the right names, and links that lead nowhere */
static void
test_odd_entries(void **state)
{
    Site *site = *state;
    archived(site, HASH_DIR "/" SEG_1, "data", 4);
    archived(site, HASH_DIR "/" SEG_2 "/inside", "data", 4);
    assert_int_equal(symlink("/nonexistent", site_path(site, "wals/" HASH_DIR "/" SEG_3)), 0);
    write_text(site->catalog, ROW(SEG_3, "None"));
    assert_rebuild(site, &(RebuildSummary){.segments = 1, .added = 1, .dropped = 1, .strangers = 2},
                   ROW(SEG_1, "None"));
}

static void
test_failure_leaves_the_old(void **state)
{
    Site *site = *state;
    RebuildSummary summary = {0};
    write_text(site->catalog, ROW(SEG_1, "None"));
    write_text(site_path(site, "wals/" HASH_DIR), "in the way");
    assert_fails(rebuild_catalog(&site->config, &site->server, &(RebuildObserver){0}, &summary),
                 ERR_IO, "Not a directory");
    assert_text(site->catalog, ROW(SEG_1, "None"));
}

static void
test_custom_codec(void **state)
{
    (void)state;
    static const struct {
        const char *text, *magic;
        size_t size;
    } magics[] = {
        {NULL, "", 0},
        {"0x", "", 0},
        {"0x00", "\0", 1},
        {"0x1f8B08", "\x1f\x8b\x08", 3},
        {"0X28B52FFD", "\x28\xb5\x2f\xfd", 4},
    };
    AUTO(arena) Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(magics); i++) {
        ServerConfig server = {.custom_compression_filter = "c",
                               .custom_decompression_filter = "d",
                               .custom_compression_magic = magics[i].text,
                               .path_prefix = "/opt"};
        CustomCodec custom;
        custom_codec_init(&server, arena, &custom);
        assert_int_equal(custom.magic_size, magics[i].size);
        if (magics[i].size)
            assert_memory_equal(custom.magic, magics[i].magic, magics[i].size);
        else
            assert_null(custom.magic);
        assert_string_equal(custom.compress, "c");
        assert_string_equal(custom.decompress, "d");
        assert_string_equal(custom.path_prefix, "/opt");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, site_setup, site_teardown)
        TEST(of_nothing),
        TEST(from_files_alone),
        TEST(keeps_what_is_true),
        TEST(encrypted),
        TEST(torn_line),
        TEST(of_the_old_generation),
        TEST(odd_entries),
        TEST(failure_leaves_the_old),
        cmocka_unit_test(test_custom_codec),
    };
    log_open(NULL, LOG_CRITICAL + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
