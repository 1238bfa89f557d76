/* SPDX-License-Identifier: PostgreSQL
 * Names, catalog, sources: what others do between our steps, and steps that fail. The program is
 * linked with --wrap=linkat, so that a file system can refuse links. */
#include "site.h"

#include "flow/commit.h"

#include <errno.h>

#define STORED "wals/" HASH_DIR "/"

static int link_errors; /* so many links are refused from now on */

int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);

int
__wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (link_errors == 0)
        return __real_linkat(from_dir, from, to_dir, to, flags);
    link_errors--;
    errno = EPERM; /* fs.protected_hardlinks: the source belongs to somebody else */
    return -1;
}

typedef struct Work {
    Recipe recipe;
    ArchiveObserver observer;
    ArchiveSummary summary;
    Committer committer;
    Item items[12];
    Item *group[12];
    size_t count;
    Str told;
} Work;

static void
take_info(void *context, const char *line)
{
    str_appendf(context, "%s\n", line);
}

static void
ignore_debug(void *context, const char *line)
{
    (void)context, (void)line;
}

static void
take_problem(void *context, const Error *error)
{
    str_appendf(context, "problem: %s\n", error->text);
}

static int
setup(void **state)
{
    site_setup(state);
    Site *site = *state;
    Work *work = mem_alloc(sizeof(*work));
    work->recipe.directory = site->server.incoming_wals_directory;
    work->recipe.gate = (Gate){VALIDATE_HEADER, 0, 3600};
    assert_done(
        store_open(&(StorePlace){.wals = site->server.wals_directory}, &work->recipe.store));
    work->observer = (ArchiveObserver){&work->told, take_info, ignore_debug, take_problem};
    work->committer = (Committer){
        .server = "main",
        .errors_directory = site->server.errors_directory,
        .recipe = &work->recipe,
        .db = xlogdb_new(&(XlogDbPlace){"main", site->server.wals_directory,
                                        site->server.wals_directory, site->dir}),
        .observer = &work->observer,
        .summary = &work->summary,
    };
    site->more = work;
    return 0;
}

static int
teardown(void **state)
{
    Site *site = *state;
    Work *work = site->more;
    link_errors = 0;
    for (size_t i = 0; i < work->count; i++)
        item_done(&work->items[i]);
    xlogdb_free(work->committer.db);
    store_free(work->recipe.store);
    str_done(&work->told);
    free(work);
    return site_teardown(state);
}

/* Step 1 for what waits under the name */
static Item *
prepare(Site *site, const char *name)
{
    Work *work = site->more;
    Item *item = &work->items[work->count];
    Coder *compressor = NULL;
    work->group[work->count++] = item;
    if (item_examine(&work->recipe, name, item))
        item_store(&work->recipe, &compressor, item);
    coder_free(compressor);
    return item;
}

static Item *
prepare_segment(Site *site, const char *name)
{
    site_segment(site, "incoming", name, 1);
    Item *item = prepare(site, name);
    assert_int_equal(item->state, ITEM_READY);
    return item;
}

static int
commit(Site *site)
{
    Work *work = site->more;
    return commit_group(&work->committer, work->group, work->count);
}

static bool
waits(const Site *site, const char *name)
{
    return exists(arena_printf(site->arena, "%s/incoming/%s", site->dir, name));
}

static size_t
catalog_lines(const Site *site)
{
    AUTO(str) Str text = {0};
    size_t lines = 0;
    if (!exists(site->catalog))
        return 0;
    assert_done(file_read_text(site->catalog, MIB(1), &text));
    for (const char *at = str_text(&text); (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

/* The file belongs to somebody else and may not be linked: it is copied. */
static void
test_link_refused(void **state)
{
    Site *site = *state;
    Work *work = site->more;
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    prepare_segment(site, SEG_1);
    link_errors = 99;
    assert_done(commit(site));
    assert_string_equal(str_text(&work->told), "\t" SEG_1 "\n");
    assert_int_equal(work->summary.archived, 1);
    assert_bytes(site_path(site, STORED SEG_1), data, TEST_SEGMENT);
    assert_int_equal(catalog_lines(site), 1);
    assert_false(waits(site, SEG_1));
}

/* Whoever took it away after we had opened it cannot take the contents. */
static void
test_source_taken(void **state)
{
    Site *site = *state;
    Work *work = site->more;
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    prepare_segment(site, SEG_1);
    unlink(site_path(site, "incoming/" SEG_1));
    assert_done(commit(site));
    assert_int_equal(work->summary.archived, 1);
    assert_bytes(site_path(site, STORED SEG_1), data, TEST_SEGMENT);
    assert_int_equal(catalog_lines(site), 1);
}

/* Another archiver was faster, with the same content or with another. */
static void
test_name_taken(void **state)
{
    Site *site = *state;
    Work *work = site->more;
    prepare_segment(site, SEG_1);
    prepare_segment(site, SEG_2);
    segment_write(site_path(site, STORED SEG_1), SEG_1, 1);
    segment_write(site_path(site, STORED SEG_2), SEG_2, 7);
    assert_done(commit(site));
    assert_int_equal(work->items[0].state, ITEM_SAME);
    assert_int_equal(work->items[1].state, ITEM_DIFFERENT);
    assert_int_equal(work->summary.duplicates, 1);
    assert_int_equal(work->summary.rejected, 1);
    assert_int_equal(catalog_lines(site), 1); /* of the first: it had none */
    assert_int_equal(count_entries(site->server.errors_directory), 1);
    AUTO(free) unsigned char *data = segment_make(SEG_2, 7);
    assert_bytes(site_path(site, STORED SEG_2), data, TEST_SEGMENT);
}

/* Somebody put a new file under the name: that one was not archived and is not removed. */
static void
test_source_replaced(void **state)
{
    Site *site = *state;
    const char *path = site_path(site, "incoming/" SEG_1);
    prepare_segment(site, SEG_1);
    assert_int_equal(rename(path, site_path(site, "incoming/old")), 0);
    segment_write(path, SEG_1, 5);
    assert_done(commit(site));
    AUTO(free) unsigned char *newer = segment_make(SEG_1, 5), *older = segment_make(SEG_1, 1);
    assert_bytes(path, newer, TEST_SEGMENT);
    assert_bytes(site_path(site, STORED SEG_1), older, TEST_SEGMENT);
}

/* Without its line nothing counts as archived. */
static void
test_catalog_fails(void **state)
{
    Site *site = *state;
    prepare_segment(site, SEG_1);
    assert_done(dir_make(site->catalog));
    assert_fails(commit(site), ERR_IO, "main-xlog.db");
    assert_true(waits(site, SEG_1));
    rmdir(site->catalog);
    ((Work *)site->more)->count = 0;
    item_done(&((Work *)site->more)->items[0]);
    assert_int_equal(prepare(site, SEG_1)->state, ITEM_SAME); /* the next run */
    assert_done(commit(site));
    assert_int_equal(catalog_lines(site), 1);
    assert_false(waits(site, SEG_1));
}

/* More timelines are blocked than there is room to remember: then all are. */
static void
test_many_timelines_blocked(void **state)
{
    Site *site = *state;
    Work *work = site->more;
    char name[WAL_NAME_ROOM];
    for (unsigned i = 1; i <= 10; i++) {
        snprintf(name, sizeof(name), "%08X%016X", i, 1);
        write_text(arena_printf(site->arena, "%s/incoming/%s", site->dir, name), "");
        assert_int_equal(prepare(site, name)->state, ITEM_WAITING);
    }
    snprintf(name, sizeof(name), "%08X%016X", 11, 1);
    prepare_segment(site, name);
    write_text(site_path(site, "incoming/00000002.history"), "1\t0/1\tx\n");
    assert_int_equal(prepare(site, "00000002.history")->state, ITEM_READY);
    assert_done(commit(site));
    assert_int_equal(work->summary.waiting, 11);
    assert_int_equal(work->summary.archived, 1); /* the history file follows nothing */
    assert_true(waits(site, name));
}

/* Changed between the look at it and its copy, and while nobody looked */
static void
test_changing_sources(void **state)
{
    Site *site = *state;
    Work *work = site->more;
    const char *path = site_path(site, "incoming/" SEG_1);
    Coder *compressor = NULL;
    site_segment(site, "incoming", SEG_1, 1);
    Item *item = &work->items[0];
    work->group[work->count++] = item;
    assert_true(item_examine(&work->recipe, SEG_1, item));
    assert_int_equal(truncate(path, TEST_SEGMENT + 1), 0);
    item_store(&work->recipe, &compressor, item);
    assert_int_equal(item->state, ITEM_FAILED);
    assert_non_null(strstr(item->error.text, "changed while it was read"));
    item_done(item);

    static const off_t sizes[] = {TEST_SEGMENT + 1, TEST_SEGMENT - 1};
    static const char *const texts[] = {"grew", "shrank"};
    work->recipe.codec = codec_find("zstd");
    work->recipe.level = 1;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_int_equal(truncate(path, TEST_SEGMENT), 0);
        assert_true(item_examine(&work->recipe, SEG_1, item));
        assert_int_equal(truncate(path, sizes[i]), 0);
        item_store(&work->recipe, &compressor, item);
        assert_int_equal(item->state, ITEM_FAILED);
        assert_non_null(strstr(item->error.text, texts[i]));
        item_done(item);
    }
    coder_free(compressor);
    assert_int_equal(count_entries(site_path(site, STORED)), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
        TEST(link_refused),     TEST(source_taken),  TEST(name_taken),
        TEST(source_replaced),  TEST(catalog_fails), TEST(many_timelines_blocked),
        TEST(changing_sources),
    };
    log_open(NULL, LOG_CRITICAL + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
