/* SPDX-License-Identifier: PostgreSQL */
#include "../files.h"

#include "flow/intake/intake.h"

#include <sys/stat.h>

static bool
has(const StrList *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], name) == 0)
            return true;
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
    AUTO(strlist) StrList files = {0}, others = {0};
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

    assert_done(incoming_scan(dir, &files, &others));
    assert_int_equal(files.count, COUNT_OF(seen));
    for (size_t i = 0; i < COUNT_OF(seen); i++)
        assert_true(has(&files, seen[i]));
    assert_int_equal(others.count, 3);
    assert_true(has(&others, "000000010000000000000005"));
    assert_true(has(&others, "000000010000000000000006"));
    assert_true(has(&others, "000000010000000000000007"));
    scratch_remove(dir);
}

static void
test_many(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(strlist) StrList files = {0}, others = {0};
    for (int i = 0; i < 1000; i++) {
        AUTO(free) char *path = mem_printf("%s/%024X", dir, i);
        write_text(path, "");
    }
    assert_done(incoming_scan(dir, &files, &others));
    assert_int_equal(files.count, 1000);
    assert_true(has(&files, "0000000000000000000003E7"));
    scratch_remove(dir);
}

static void
test_no_directory(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *none = mem_printf("%s/none", dir);
    AUTO(free) char *file = mem_printf("%s/file", dir);
    AUTO(strlist) StrList files = {0}, others = {0};
    assert_done(incoming_scan(none, &files, &others));
    assert_int_equal(files.count + others.count, 0);
    write_text(file, "");
    assert_fails(incoming_scan(file, &files, &others), ERR_IO, "Not a directory");
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
