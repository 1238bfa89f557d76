/* SPDX-License-Identifier: PostgreSQL
 * Getting WAL back: every place in its order, and the difference between "not there" and "could not
 * find out", on which the end of a recovery depends. */
#include "site.h"

#include "base/clock.h"
#include "flow/item.h"
#include "flow/retrieve.h"

#include <sys/wait.h>

#define ROW "\t1048576\t1704067200.0\tNone\tNone\n"
#define STORED "wals/" HASH_DIR

/* Gets it as a file out/NAME; deadline 0: one try. */
static Retrieval
wish(const Site *site, const char *name)
{
    assert_done(dir_make(site_path(site, "out")));
    return (Retrieval){.config = &site->config,
                       .server = &site->server,
                       .name = name,
                       .directory = site_path(site, "out"),
                       .fd = -1};
}

static void
assert_got(const Site *site, const char *name, unsigned seed)
{
    AUTO(free) unsigned char *data = segment_make(name, seed);
    const char *path = arena_printf(site->arena, "%s/out/%s", site->dir, name);
    assert_bytes(path, data, TEST_SEGMENT);
    unlink(path);
}

static int
retrieval_setup(void **state)
{
    site_setup(state);
    Site *site = *state;
    write_text(site->catalog, "");
    site_segment(site, STORED, SEG_3, 3); /* the archive is not empty */
    return 0;
}

/* Takes away one place after another: each time the next one in order has to answer. */
static void
test_places_in_order(void **state)
{
    Site *site = *state;
    static const char *const places[] = {STORED, "incoming", "streaming"};
    Retrieval what = wish(site, SEG_1);
    for (unsigned i = 0; i < COUNT_OF(places); i++)
        site_segment(site, places[i], SEG_1, i);
    for (unsigned i = 0; i < COUNT_OF(places); i++) {
        assert_done(retrieve(&what));
        assert_got(site, SEG_1, i);
        unlink(arena_printf(site->arena, "%s/%s/" SEG_1, site->dir, places[i]));
    }
    assert_int_equal(retrieve(&what), RETRIEVE_MISSING);
    assert_int_equal(count_entries(what.directory), 0);
}

static void
test_partials_in_order(void **state)
{
    Site *site = *state;
    static const char *const places[] = {"streaming", STORED, "incoming"};
    Retrieval what = wish(site, SEG_1);
    for (unsigned i = 0; i < COUNT_OF(places); i++)
        site_segment(site, places[i], SEG_1 ".partial", i);
    assert_int_equal(retrieve(&what), RETRIEVE_MISSING); /* not wanted */
    what.partial = true;
    for (unsigned i = 0; i < COUNT_OF(places); i++) {
        assert_done(retrieve(&what));
        assert_got(site, SEG_1, i);
        unlink(arena_printf(site->arena, "%s/%s/" SEG_1 ".partial", site->dir, places[i]));
    }
    assert_int_equal(retrieve(&what), RETRIEVE_MISSING);
}

/* A partial file is filled up to its whole size, with zeros. */
static void
test_partial_is_filled(void **state)
{
    Site *site = *state;
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    Retrieval what = wish(site, SEG_1);
    what.partial = true;
    memset(data + TEST_PAGE, 0, TEST_SEGMENT - TEST_PAGE);
    write_bytes(site_path(site, "streaming/" SEG_1 ".partial"), data, TEST_PAGE);
    assert_done(retrieve(&what));
    assert_bytes(site_path(site, "out/" SEG_1), data, TEST_SEGMENT);
    write_compressed(site_path(site, "streaming/" SEG_1 ".partial"), "gzip", data, TEST_PAGE, 0);
    assert_done(retrieve(&what));
    assert_bytes(site_path(site, "out/" SEG_1), data, TEST_SEGMENT);
}

static void
test_whole_before_partial(void **state)
{
    Site *site = *state;
    Retrieval what = wish(site, SEG_1);
    what.partial = true;
    site_segment(site, "streaming", SEG_1 ".partial", 1);
    site_segment(site, "incoming", SEG_1, 2);
    assert_done(retrieve(&what));
    assert_got(site, SEG_1, 2);
}

static void
test_forms(void **state)
{
    Site *site = *state;
    static const char *const stored[] = {"gzip", "bzip2", "xz", "zstd", "lz4", "snappy"};
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    const char *path = site_path(site, STORED "/" SEG_1), *out = site_path(site, "out/" SEG_1);
    for (size_t i = 0; i < COUNT_OF(stored); i++) {
        Retrieval what = wish(site, SEG_1);
        AUTO(str) Str stream = {0}, got = {0};
        compress_bytes(stored[i], data, TEST_SEGMENT, &stream);
        write_bytes(path, stream.data, stream.length);
        assert_done(retrieve(&what));
        assert_bytes(out, data, TEST_SEGMENT);
        what.keep_compression = true;
        assert_done(retrieve(&what));
        assert_bytes(out, stream.data, stream.length);
        what.keep_compression = false;
        what.compress = "gzip";
        assert_done(retrieve(&what));
        assert_done(file_read_text(out, MIB(2), &got));
        assert_true(codec_recognise(got.data, got.length) == codec_find("gzip"));
        write_bytes(path, got.data, got.length); /* and it is good */
        what.compress = NULL;
        assert_done(retrieve(&what));
        assert_bytes(out, data, TEST_SEGMENT);
    }
}

static void
test_custom(void **state)
{
    Site *site = *state;
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    AUTO(str) Str stream = {0};
    Retrieval what = wish(site, SEG_1);
    str_append(&stream, "MAGIC");
    str_append_part(&stream, (char *)data, TEST_SEGMENT);
    write_bytes(site_path(site, STORED "/" SEG_1), stream.data, stream.length);
    site->server.custom_compression_magic = "0x4d41474943";
    site->server.custom_decompression_filter = "tail -c +6";
    assert_done(retrieve(&what));
    assert_got(site, SEG_1, 1);
    site->server.custom_decompression_filter = "tail -c +6; exit 1"; /* all of it, and yet */
    assert_fails(retrieve(&what), ERR_HOOK, "exit code 1");
    assert_int_equal(count_entries(what.directory), 0);
}

static void
test_other_kinds(void **state)
{
    Site *site = *state;
    static const char *const names[] = {"00000002.history", SEG_1 ".00000028.backup"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        Retrieval what = wish(site, names[i]);
        const char *out = arena_printf(site->arena, "%s/out/%s", site->dir, names[i]);
        assert_int_equal(retrieve(&what), RETRIEVE_MISSING);
        write_text(arena_printf(site->arena, "%s/incoming/%s", site->dir, names[i]), "in incoming");
        assert_done(retrieve(&what));
        assert_text(out, "in incoming");
        write_text(
            arena_printf(site->arena, i ? "%s/" STORED "/%s" : "%s/wals/%s", site->dir, names[i]),
            "archived");
        assert_done(retrieve(&what));
        assert_text(out, "archived");
    }
}

static void
test_to_descriptor(void **state)
{
    Site *site = *state;
    AUTO(free) unsigned char *data = segment_make(SEG_3, 3);
    Retrieval what = wish(site, SEG_3);
    what.directory = NULL;
    what.fd = open(site_path(site, "stream"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_done(retrieve(&what));
    close(what.fd);
    assert_bytes(site_path(site, "stream"), data, TEST_SEGMENT);
}

/* What is archived and not right is an error and never handed out. */
static void
test_damaged_archive(void **state)
{
    Site *site = *state;
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    const char *path = site_path(site, STORED "/" SEG_1);
    Retrieval what = wish(site, SEG_1);
    AUTO(str) Str stream = {0};
    write_bytes(path, data, TEST_SEGMENT / 2);
    assert_fails(retrieve(&what), ERR_DATA, "shorter than its header says");
    write_bytes(path, "", 0);
    assert_fails(retrieve(&what), ERR_DATA, "shorter");
    segment_write(path, SEG_2, 1);
    assert_fails(retrieve(&what), ERR_DATA, "not what its name says");
    compress_bytes("zstd", data, TEST_SEGMENT / 2, &stream);
    write_bytes(path, stream.data, stream.length);
    assert_fails(retrieve(&what), ERR_DATA, "524288");
    write_bytes(path, stream.data, stream.length - 9);
    assert_fails(retrieve(&what), ERR_DATA, "");
    assert_int_equal(count_entries(what.directory), 0);
}

/* In incoming/ the same may still be arriving. */
static void
test_arriving(void **state)
{
    Site *site = *state;
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    Retrieval what = wish(site, SEG_1);
    static const size_t sizes[] = {0, 10, 40, TEST_PAGE, TEST_SEGMENT - 1};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        write_bytes(site_path(site, "incoming/" SEG_1), data, sizes[i]);
        assert_fails(retrieve(&what), ERR_BUSY, "still arriving");
    }
    site_segment(site, "streaming", SEG_1, 2); /* whole in the next place */
    assert_done(retrieve(&what));
    assert_got(site, SEG_1, 2);
}

/* Until the deadline it is asked for again: here it becomes whole meanwhile. */
static void
test_tries_again(void **state)
{
    Site *site = *state;
    Retrieval what = wish(site, SEG_1);
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    const char *path = site_path(site, "incoming/" SEG_1);
    write_bytes(path, data, TEST_PAGE);
    int64_t begin = clock_ms();
    what.deadline_ms = 400;
    assert_fails(retrieve(&what), ERR_BUSY, "still arriving");
    assert_true(clock_ms() - begin >= 100 && clock_ms() - begin < 5000);
    what.deadline_ms = 20000;
    pid_t pid = fork();
    if (pid == 0) {
        clock_pause_ms(300);
        _exit(truncate(path, TEST_SEGMENT)); /* the rest of it is zeros */
    }
    assert_done(retrieve(&what));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    memset(data + TEST_PAGE, 0, TEST_SEGMENT - TEST_PAGE);
    assert_bytes(site_path(site, "out/" SEG_1), data, TEST_SEGMENT);
}

static void
test_missing_is_certain(void **state)
{
    Site *site = *state;
    Retrieval what = wish(site, SEG_1);
    assert_int_equal(retrieve(&what), RETRIEVE_MISSING);
    unlink(site->catalog); /* an archive without a catalog, but with files */
    assert_int_equal(retrieve(&what), RETRIEVE_MISSING);
}

static void
test_missing_is_not_certain(void **state)
{
    Site *site = *state;
    Retrieval what = wish(site, SEG_1);
    write_text(site->catalog, SEG_1 ROW);
    assert_fails(retrieve(&what), ERR_DATA, "in the catalog");
    unlink(site->catalog);
    unlink(site_path(site, STORED "/" SEG_3));
    rmdir(site_path(site, STORED));
    assert_fails(retrieve(&what), ERR_IO, "is empty and has no catalog");
    rmdir(site->server.wals_directory);
    assert_fails(retrieve(&what), ERR_IO, "does not exist");
    write_text(site->server.wals_directory, "");
    assert_fails(retrieve(&what), ERR_CONFIG, "not a directory");
}

static void
test_unreadable_places(void **state)
{
    Site *site = *state;
    Retrieval what = wish(site, SEG_1);
    write_text(site->server.incoming_wals_directory, "not a directory");
    assert_fails(retrieve(&what), ERR_IO, "incoming");
    unlink(site->server.incoming_wals_directory);
    assert_done(dir_make(site_path(site, "incoming/" SEG_1)));
    assert_fails(retrieve(&what), ERR_IO, "incoming/" SEG_1);
    what.directory = site_path(site, "none");
    what.name = SEG_3;
    assert_fails(retrieve(&what), ERR_IO, "/none");
}

static void
test_encrypted(void **state)
{
    Site *site = *state;
    static const char pgp[] = "\x85\x01\x0c\x03 and so on";
    Retrieval what = wish(site, SEG_1);
    setenv("GNUPGHOME", site->server.wals_directory, 1); /* where no keys are */
    write_text(site_path(site, STORED "/" SEG_1), pgp);
    /* Cut off in its first packet, of which gpg says nothing, as when it is killed */
    assert_fails(retrieve(&what), ERR_IO, STORED "/" SEG_1 "': decrypt with gpg");
    assert_false(exists(site_path(site, "out/" SEG_1)));
    what.keep_compression = true; /* for who can decrypt it himself */
    assert_done(retrieve(&what));
    assert_text(site_path(site, "out/" SEG_1), pgp);
}

static void
add_name(void *context, const char *name)
{
    str_appendf(context, "%s;", name + 16);
}

static void
assert_peek(const Site *site, const char *name, size_t limit, const char *expected)
{
    AUTO(str) Str names = {0};
    Retrieval what = wish(site, name);
    assert_done(retrieve_peek(&what, limit, add_name, &names));
    assert_string_equal(str_text(&names), expected);
}

static void
test_peek(void **state)
{
    Site *site = *state;
    assert_peek(site, SEG_1, 10, "");
    site_segment(site, "incoming", SEG_1, 1);
    site_segment(site, "streaming", SEG_2, 1);
    assert_peek(site, SEG_1, 10, "00000001;00000002;00000003;");
    assert_peek(site, SEG_1, 2, "00000001;00000002;");
    assert_peek(site, SEG_1, 0, "");
    site_segment(site, "wals/0000000100000001", "000000010000000100000000", 1);
    site_segment(site, "wals/0000000100000001", "000000010000000100000001", 1);
    assert_peek(site, SEG_1, 10, "00000001;00000002;00000003;00000000;00000001;"); /* of 1 GiB */
    unlink(site_path(site, "streaming/" SEG_2));
    assert_peek(site, SEG_1, 10, "00000001;"); /* a gap is no border */
    assert_peek(site, "000000010000000000000005", 10, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, retrieval_setup, site_teardown)
        TEST(places_in_order),
        TEST(partials_in_order),
        TEST(partial_is_filled),
        TEST(whole_before_partial),
        TEST(forms),
        TEST(custom),
        TEST(other_kinds),
        TEST(to_descriptor),
        TEST(damaged_archive),
        TEST(arriving),
        TEST(tries_again),
        TEST(missing_is_certain),
        TEST(missing_is_not_certain),
        TEST(unreadable_places),
        TEST(encrypted),
        TEST(peek),
    };
    log_open(NULL, LOG_CRITICAL + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
