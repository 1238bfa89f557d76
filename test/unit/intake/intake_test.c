/* SPDX-License-Identifier: PostgreSQL */
#include "../files.h"

#include "flow/intake/intake.h"

#include <sys/stat.h>

static bool
has(const Found *found, const char *name, bool is_file)
{
    for (size_t i = 0; i < found->count; i++)
        if (strcmp(found->names[i], name) == 0)
            return found_is_file(found->names[i]) == is_file;
    return false;
}

static void
test_scan(void **state)
{
    (void)state;
    static const char *const seen[] = {"000000010000000000000001", "README", "tmp", "x.tmp.gz",
                                       "a\nb"};
    static const char *const unseen[] = {".hidden", "000000010000000000000002.tmp", ".tmp",
                                         ".000000010000000000000003.tmp"};
    char *dir = scratch_make();
    AUTO(arena) Arena *arena = arena_new();
    Found found = {0};
    for (size_t i = 0; i < COUNT_OF(seen) + COUNT_OF(unseen); i++) {
        AUTO(free)
        char *path =
            mem_printf("%s/%s", dir, i < COUNT_OF(seen) ? seen[i] : unseen[i - COUNT_OF(seen)]);
        write_text(path, "x");
    }
    AUTO(free) char *sub = mem_printf("%s/000000010000000000000005", dir);
    AUTO(free) char *link = mem_printf("%s/000000010000000000000006", dir);
    AUTO(free) char *fifo = mem_printf("%s/000000010000000000000007", dir);
    assert_done(dir_make(sub));
    assert_int_equal(symlink("README", link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);

    assert_done(incoming_scan(dir, arena, &found));
    assert_int_equal(found.count, COUNT_OF(seen) + 3);
    for (size_t i = 0; i < COUNT_OF(seen); i++)
        assert_true(has(&found, seen[i], true));
    assert_true(has(&found, "000000010000000000000005", false));
    assert_true(has(&found, "000000010000000000000006", false));
    assert_true(has(&found, "000000010000000000000007", false));
    found_done(&found);
    assert_int_equal(found.count, 0);
    scratch_remove(dir);
}

static void
test_many(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(arena) Arena *arena = arena_new();
    Found found = {0};
    for (int i = 0; i < 1000; i++) {
        AUTO(free) char *path = mem_printf("%s/%024X", dir, i);
        write_text(path, "");
    }
    assert_done(incoming_scan(dir, arena, &found));
    assert_int_equal(found.count, 1000);
    assert_true(has(&found, "0000000000000000000003E7", true));
    found_done(&found);
    scratch_remove(dir);
}

static void
test_no_directory(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *none = mem_printf("%s/none", dir);
    AUTO(free) char *file = mem_printf("%s/file", dir);
    AUTO(arena) Arena *arena = arena_new();
    Found found = {0};
    assert_done(incoming_scan(none, arena, &found));
    assert_int_equal(found.count, 0);
    found_done(&found);
    write_text(file, "");
    assert_fails(incoming_scan(file, arena, &found), ERR_IO, "Not a directory");
    scratch_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
