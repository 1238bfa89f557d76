/* SPDX-License-Identifier: PostgreSQL
 * From incoming/ to the archive and the catalog: what becomes of each kind of file, and that a
 * source is gone only when it is archived. */
#include "site.h"

#include "flow/archive.h"

#define ROW "\t1048576\t1704067200.5\tNone\tNone\n"
#define STORED "wals/" HASH_DIR "/"

typedef struct Told {
    Str info, problems;
} Told;

static void
take_info(void *context, const char *line)
{
    str_appendf(&((Told *)context)->info, "%s\n", line);
}

static void
ignore_debug(void *context, const char *line)
{
    (void)context, (void)line;
}

static void
take_problem(void *context, const Error *error)
{
    str_appendf(&((Told *)context)->problems, "%s\n", error->text);
}

static int
run(Site *site, Told *told, ArchiveSummary *ret_summary)
{
    ArchiveObserver observer = {told, take_info, ignore_debug, take_problem};
    return archive_server(&site->config, &site->server, &observer, &(ArchiveKept){0}, ret_summary);
}

static void
told_done(Told *told)
{
    str_done(&told->info);
    str_done(&told->problems);
}

/* Runs it, which must succeed; the summary as "archived duplicates waiting rejected failed". */
static void
assert_run(Site *site, const char *expected)
{
    Told told = {0};
    ArchiveSummary s;
    char text[64];
    assert_done(run(site, &told, &s));
    snprintf(text, sizeof(text), "%zu %zu %zu %zu %zu", s.archived, s.duplicates, s.waiting,
             s.rejected, s.failed);
    if (strcmp(text, expected) != 0)
        fail_msg("%s instead of %s\n%s%s", text, expected, str_text(&told.info),
                 str_text(&told.problems));
    told_done(&told);
}

static void
wait_with_time(const Site *site, const char *name, unsigned seed)
{
    site_segment(site, "incoming", name, seed);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1704067200, .tv_nsec = 500000000}};
    utimensat(AT_FDCWD, arena_printf(site->arena, "%s/incoming/%s", site->dir, name), times, 0);
}

static void
assert_waits(const Site *site, const char *name, bool expected)
{
    if (exists(arena_printf(site->arena, "%s/incoming/%s", site->dir, name)) != expected)
        fail_msg("'%s' is %s", name, expected ? "gone" : "still there");
}

static void
assert_archived(const Site *site, const char *name, unsigned seed)
{
    AUTO(free) unsigned char *data = segment_make(name, seed);
    assert_bytes(arena_printf(site->arena, "%s/" STORED "%s", site->dir, name), data, TEST_SEGMENT);
}

static void
test_in_order(void **state)
{
    Site *site = *state;
    wait_with_time(site, SEG_2, 2);
    wait_with_time(site, SEG_1, 1);
    assert_run(site, "2 0 0 0 0");
    assert_text(site->catalog, SEG_1 ROW SEG_2 ROW);
    assert_archived(site, SEG_1, 1);
    assert_archived(site, SEG_2, 2);
    assert_int_equal(count_entries(site->server.incoming_wals_directory), 0);
    assert_run(site, "0 0 0 0 0"); /* nothing is left to do */
    assert_text(site->catalog, SEG_1 ROW SEG_2 ROW);
}

static void
test_console(void **state)
{
    Site *site = *state;
    Told told = {0};
    ArchiveSummary summary;
    assert_done(run(site, &told, &summary));
    assert_string_equal(str_text(&told.info),
                        "Processing xlog segments from file archival for main\n"
                        "\tno file found\n");
    str_clear(&told.info);
    site->server.archiver_batch_size = 1;
    wait_with_time(site, SEG_1, 1);
    wait_with_time(site, SEG_2, 1);
    assert_done(run(site, &told, &summary));
    assert_string_equal(str_text(&told.info),
                        "Processing xlog segments from file archival for main (batch size: 1)\n"
                        "\t" SEG_1 "\n");
    assert_waits(site, SEG_2, true);
    told_done(&told);
}

static void
test_duplicates(void **state)
{
    Site *site = *state;
    wait_with_time(site, SEG_1, 1);
    assert_run(site, "1 0 0 0 0");
    wait_with_time(site, SEG_1, 1);
    assert_run(site, "0 1 0 0 0");
    wait_with_time(site, SEG_1, 9);
    assert_run(site, "0 0 0 1 0");
    assert_archived(site, SEG_1, 1);
    assert_text(site->catalog, SEG_1 ROW);
    assert_waits(site, SEG_1, false);
    assert_int_equal(count_entries(site->server.errors_directory), 1);
}

/* Named, but no line yet: a crash between the two, or between the line and the removal */
static void
test_after_a_crash(void **state)
{
    Site *site = *state;
    wait_with_time(site, SEG_1, 1);
    wait_with_time(site, SEG_2, 2);
    assert_run(site, "2 0 0 0 0");
    write_text(site->catalog, SEG_2 ROW);
    wait_with_time(site, SEG_1, 1);
    wait_with_time(site, SEG_2, 2);
    assert_run(site, "0 2 0 0 0");
    assert_text(site->catalog, SEG_2 ROW SEG_1 ROW);
    assert_int_equal(count_entries(site->server.incoming_wals_directory), 0);
}

/* The torn line's file is archived and its source gone: its row comes back, once. */
static void
test_torn_row_comes_back(void **state)
{
    Site *site = *state;
    wait_with_time(site, SEG_1, 1);
    assert_run(site, "1 0 0 0 0");
    write_text(site->catalog, SEG_1 "\t10485");
    wait_with_time(site, SEG_2, 2);
    assert_run(site, "1 0 0 0 0");
    assert_text(site->catalog, SEG_1 ROW SEG_2 ROW);
    /* of a label's line only the segment's name is left */
    write_text(site->catalog, SEG_1 ROW SEG_2 ROW SEG_1);
    wait_with_time(site, SEG_3, 3);
    assert_run(site, "1 0 0 0 0");
    assert_text(site->catalog, SEG_1 ROW SEG_2 ROW SEG_3 ROW);
}

static void
test_rejects(void **state)
{
    Site *site = *state;
    segment_write(site_path(site, "incoming/" SEG_1), SEG_2, 1); /* not what its name says */
    write_text(site_path(site, "incoming/README"), "x");
    assert_done(dir_make(site_path(site, "incoming/" SEG_3)));
    wait_with_time(site, SEG_2, 2);
    assert_run(site, "1 0 0 3 0");
    assert_text(site->catalog, SEG_2 ROW);
    assert_int_equal(count_entries(site->server.errors_directory), 3);
    assert_int_equal(count_entries(site->server.incoming_wals_directory), 0);
}

/* No gap may look archived: behind a file that waits its timeline waits, and no other. */
static void
test_waiting_blocks_its_timeline(void **state)
{
    Site *site = *state;
    site->server.incoming_grace = 3600;
    write_text(site_path(site, "incoming/" SEG_1), "");
    wait_with_time(site, SEG_2, 2);
    wait_with_time(site, "000000020000000000000001", 1);
    write_text(site_path(site, "incoming/00000002.history"), "1\t0/100000\tno\n");
    assert_run(site, "2 0 2 0 0");
    assert_waits(site, SEG_1, true);
    assert_waits(site, SEG_2, true);
    assert_false(exists(site_path(site, STORED SEG_2)));
    site->server.incoming_grace = 0; /* it never came: out of the way with it */
    assert_run(site, "1 0 0 1 0");
    assert_archived(site, SEG_2, 2);
}

static void
test_compresses(void **state)
{
    static const char *const codecs[] = {"gzip", "zstd", "lz4", "bzip2", "xz", "pigz", "pygzip"};
    Site *site = *state;
    for (size_t i = 0; i < COUNT_OF(codecs); i++) {
        char name[WAL_NAME_ROOM];
        snprintf(name, sizeof(name), "%024X", (unsigned)i);
        memcpy(name, "00000001", 8);
        wait_with_time(site, name, 1);
        site->server.compression = codecs[i];
        assert_run(site, "1 0 0 0 0");
        AUTO(str) Str catalog = {0};
        assert_done(file_read_text(site->catalog, 10000, &catalog));
        assert_true(str_ends(str_text(&catalog),
                             arena_printf(site->arena, "\t1704067200.5\t%s\tNone\n", codecs[i])));
        wait_with_time(site, name, 1);
        assert_run(site, "0 1 0 0 0"); /* the comparison looks inside */
        wait_with_time(site, name, 2);
        assert_run(site, "0 0 0 1 0");
    }
}

/* What comes compressed is stored as it is, and its row says what it is. */
static void
test_compressed_already(void **state)
{
    Site *site = *state;
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    site->server.compression = "zstd";
    write_compressed(site_path(site, "incoming/" SEG_1), "gzip", data, TEST_SEGMENT, 0);
    AUTO(str) Str sent = {0};
    assert_done(file_read_text(site_path(site, "incoming/" SEG_1), MIB(2), &sent));
    assert_run(site, "1 0 0 0 0");
    assert_bytes(site_path(site, STORED SEG_1), sent.data, sent.length);
    AUTO(str) Str catalog = {0};
    assert_done(file_read_text(site->catalog, 10000, &catalog));
    assert_true(str_ends(str_text(&catalog), "\tgzip\tNone\n"));
    write_bytes(site_path(site, "incoming/" SEG_2), sent.data, sent.length / 2);
    assert_run(site, "0 0 0 1 0");
}

static void
test_custom(void **state)
{
    Site *site = *state;
    site->server.compression = "custom";
    site->server.custom_compression_filter = "printf MAGIC; cat";
    site->server.custom_decompression_filter = "tail -c +6";
    site->server.custom_compression_magic = "0X4d41474943";
    wait_with_time(site, SEG_1, 1);
    assert_run(site, "1 0 0 0 0");
    assert_text(site->catalog, SEG_1 "\t1048581\t1704067200.5\tcustom\tNone\n");
    wait_with_time(site, SEG_1, 1);
    assert_run(site, "0 1 0 0 0");
    site->server.custom_compression_filter = "head -c 100; exit 4";
    wait_with_time(site, SEG_2, 1);
    assert_run(site, "0 0 0 0 1");
    assert_waits(site, SEG_2, true);
    assert_int_equal(count_entries(site_path(site, STORED)), 1);
    site->server.custom_decompression_filter = NULL;
    Told told = {0};
    ArchiveSummary summary;
    assert_done(run(site, &told, &summary));
    assert_int_equal(summary.failed, 1);
    assert_non_null(strstr(str_text(&told.problems), "needs both"));
    told_done(&told);
}

static void
test_full_validation(void **state)
{
    Site *site = *state;
    AUTO(free) unsigned char *damaged = segment_make(SEG_1, 1);
    site->server.wal_validation = "full";
    damaged[SEGMENT_RECORD + 999] ^= 4;
    write_bytes(site_path(site, "incoming/" SEG_1), damaged, TEST_SEGMENT);
    wait_with_time(site, SEG_2, 1);
    assert_run(site, "1 0 0 1 0");
    site->server.compression = "zstd";
    write_bytes(site_path(site, "incoming/" SEG_1), damaged, TEST_SEGMENT);
    wait_with_time(site, SEG_3, 1);
    assert_run(site, "1 0 0 1 0");
    assert_false(exists(site_path(site, STORED SEG_1)));
}

/* A damaged identity.json is no reason to throw good WAL out. */
static void
test_identity(void **state)
{
    Site *site = *state;
    write_text(site_path(site, "identity.json"), "{\"systemid\": \"12x\"}");
    wait_with_time(site, SEG_1, 1);
    assert_run(site, "1 0 0 0 0");
    write_text(site_path(site, "identity.json"), "{\"systemid\": \"12\"}");
    wait_with_time(site, SEG_2, 1);
    assert_run(site, "0 0 0 1 0");
}

static void
test_many(void **state)
{
    Site *site = *state;
    enum { COUNT = 150 };
    AUTO(str) Str expected = {0};
    size_t descriptors = count_descriptors();
    site->server.archiver_workers = 7;
    site->server.compression = "lz4";
    for (unsigned i = 0; i < COUNT; i++) {
        char name[WAL_NAME_ROOM];
        snprintf(name, sizeof(name), "%08X%016X", 1 + i / 50, i % 50);
        wait_with_time(site, name, i);
        str_appendf(&expected, "%s\n", name);
    }
    assert_run(site, "150 0 0 0 0");
    AUTO(str) Str catalog = {0}, names = {0};
    assert_done(file_read_text(site->catalog, MIB(1), &catalog));
    for (const char *at = str_text(&catalog); *at; at = strchr(at, '\n') + 1) {
        str_append_part(&names, at, strcspn(at, "\t"));
        str_append(&names, "\n");
    }
    assert_string_equal(str_text(&names), str_text(&expected));
    assert_int_equal(count_descriptors(), descriptors);
}

static void
test_hooks(void **state)
{
    Site *site = *state;
    const char *out = site_path(site, "out");
    site->server.pre_archive_script =
        arena_printf(site->arena, "test -e $BARMAN_FILE && echo pre $BARMAN_SEGMENT >> %s", out);
    site->server.post_archive_script = arena_printf(
        site->arena, "test -e $BARMAN_FILE && echo post $BARMAN_SEGMENT $WALDEN_ERROR >> %s", out);
    wait_with_time(site, SEG_2, 1);
    wait_with_time(site, SEG_1, 1);
    assert_run(site, "2 0 0 0 0");
    assert_text(out, "pre " SEG_1 "\npost " SEG_1 "\npre " SEG_2 "\npost " SEG_2 "\n");
    unlink(out);
    wait_with_time(site, SEG_1, 1);
    assert_run(site, "0 1 0 0 0");
    assert_text(out, "pre " SEG_1 "\npost " SEG_1
                     " MatchingDuplicateWalFile:WalFileInfo(compression=None, encryption=None, "
                     "name='" SEG_1 "', size=1048576, time=1704067200.5)\n");
}

static void
test_hook_stops_the_run(void **state)
{
    Site *site = *state;
    site->server.pre_archive_retry_script = "test $BARMAN_SEGMENT != " SEG_2 " || exit 63";
    wait_with_time(site, SEG_1, 1);
    wait_with_time(site, SEG_2, 1);
    wait_with_time(site, SEG_3, 1);
    assert_run(site, "1 0 0 0 0");
    assert_waits(site, SEG_2, true);
    assert_waits(site, SEG_3, true);
    assert_text(site->catalog, SEG_1 ROW);
}

/* Both ways at once: what is held back stays, what came both ways is archived once. */
static void
test_streaming(void **state)
{
    Site *site = *state;
    Told told = {0};
    ArchiveSummary summary;
    site->server.streaming_archiver = true;
    site_segment(site, "streaming", SEG_1, 1);
    site_segment(site, "streaming", SEG_2, 2);
    site_segment(site, "streaming", SEG_3 ".partial", 3);
    site_segment(site, "incoming", SEG_1, 1);
    assert_done(run(site, &told, &summary));
    assert_string_equal(str_text(&told.info),
                        "Processing xlog segments from streaming for main\n"
                        "\t" SEG_1 "\n"
                        "\t" SEG_2 "\n"
                        "Processing xlog segments from file archival for main\n"
                        "\t" SEG_1 "\n");
    assert_int_equal(summary.archived, 2);
    assert_int_equal(summary.duplicates, 1);
    assert_int_equal(count_entries(site->server.streaming_wals_directory), 1);
    assert_true(exists(site_path(site, "streaming/" SEG_3 ".partial")));
    assert_int_equal(count_entries(site->server.incoming_wals_directory), 0);
    assert_archived(site, SEG_1, 1);
    site->server.archiver = false;
    wait_with_time(site, SEG_2, 9);
    assert_run(site, "0 0 0 0 0");
    assert_waits(site, SEG_2, true);
    told_done(&told);
}

static void
test_first_archiver_fails(void **state)
{
    Site *site = *state;
    Told told = {0};
    ArchiveSummary summary;
    site->server.streaming_archiver = true;
    write_text(site_path(site, "streaming"), "in the way");
    wait_with_time(site, SEG_1, 1);
    assert_done(run(site, &told, &summary));
    assert_non_null(strstr(str_text(&told.problems), "(streaming): open directory"));
    assert_int_equal(summary.failed, 1);
    assert_int_equal(summary.archived, 1);
    told_done(&told);
}

/* What was received is never looked into as if it was compressed, and never waits to become whole.
 */
static void
test_received_is_plain(void **state)
{
    Site *site = *state;
    site->server.streaming_archiver = true;
    site->server.incoming_grace = 3600;
    site->server.custom_compression_magic = "0x10d1";
    site->server.custom_decompression_filter = "false";
    site_segment(site, "streaming", SEG_1, 1);
    site_segment(site, "streaming", SEG_2 ".partial", 1);
    site_segment(site, "streaming", SEG_3 ".partial", 1);
    AUTO(free) unsigned char *data = segment_make(SEG_2, 1);
    write_bytes(site_path(site, "streaming/" SEG_2 ".partial"), data, 100000);
    write_bytes(site_path(site, "streaming/" SEG_2), data, 100000);
    assert_run(site, "2 0 0 1 0");
    assert_archived(site, SEG_1, 1);
    assert_bytes(site_path(site, STORED SEG_2 ".partial"), data, 100000);
    assert_int_equal(count_entries(site->server.streaming_wals_directory), 1);
}

static void
test_terse(void **state)
{
    Site *site = *state;
    Told told = {0};
    ArchiveObserver observer = {&told, take_info, ignore_debug, take_problem, true};
    ArchiveSummary summary;
    site->server.streaming_archiver = true;
    assert_done(
        archive_server(&site->config, &site->server, &observer, &(ArchiveKept){0}, &summary));
    assert_string_equal(str_text(&told.info), "");
    site->server.archiver_batch_size = 1;
    wait_with_time(site, SEG_1, 1);
    wait_with_time(site, SEG_2, 1);
    assert_done(
        archive_server(&site->config, &site->server, &observer, &(ArchiveKept){0}, &summary));
    assert_int_equal(summary.beyond, 1);
    assert_string_equal(str_text(&told.info),
                        "Processing xlog segments from file archival for main (batch size: 1)\n"
                        "\t" SEG_1 "\n");
    told_done(&told);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, site_setup, site_teardown)
        TEST(in_order),
        TEST(console),
        TEST(duplicates),
        TEST(after_a_crash),
        TEST(torn_row_comes_back),
        TEST(rejects),
        TEST(waiting_blocks_its_timeline),
        TEST(compresses),
        TEST(compressed_already),
        TEST(custom),
        TEST(full_validation),
        TEST(identity),
        TEST(many),
        TEST(hooks),
        TEST(hook_stops_the_run),
        TEST(streaming),
        TEST(first_archiver_fails),
        TEST(received_is_plain),
        TEST(terse),
    };
    log_open(NULL, LOG_CRITICAL + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
