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

#define SEG(n) "0000000100000000000000" n
#define NEXT(n) "0000000200000000000000" n

/* What is in streaming/, and what of it is held back; a trailing slash marks a directory. */
static const struct {
    const char *there[8];
    const char *held[3];
} held_cases[] = {
    {{NULL}, {NULL}},
    {{SEG("01")}, {SEG("01")}},
    {{SEG("02"), SEG("01"), SEG("03")}, {SEG("03")}},
    {{SEG("01"), SEG("02"), SEG("03.partial")}, {SEG("03.partial")}},
    {{SEG("01.partial")}, {SEG("01.partial")}},
    /* its own whole segment is older than a partial file */
    {{SEG("01"), SEG("01.partial")}, {SEG("01.partial")}},
    /* left behind by switches of the timeline */
    {{SEG("03.partial"), SEG("02"), NEXT("03.partial")}, {NEXT("03.partial")}},
    {{SEG("03.partial"), NEXT("03.partial"), NEXT("02")}, {NEXT("03.partial")}},
    /* between two segments of the new timeline: the newest is whole */
    {{SEG("03.partial"), SEG("02"), NEXT("03"), NEXT("04")}, {SEG("03.partial"), NEXT("04")}},
    /* no receiver starts from a history file */
    {{SEG("01"), "00000002.history"}, {SEG("01")}},
    {{SEG("01.partial"), "00000002.history"}, {SEG("01.partial")}},
    {{"00000002.history", "00000003.history"}, {"00000003.history"}},
    /* strangers are no WAL, however new their names */
    {{SEG("01"), SEG("02"), SEG("03.gz"), "zzz", SEG("04/")}, {SEG("02")}},
    {{"README", "x.partial"}, {NULL}},
    {{SEG("01"), SEG("02.tmp"), "." SEG("03"), "." SEG("04.partial")}, {SEG("01")}},
};

static void
test_streaming(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(held_cases); i++) {
        char *dir = scratch_make();
        AUTO(strlist) StrList seen = {0}, files = {0}, others = {0};
        for (size_t j = 0; j < COUNT_OF(held_cases[i].there) && held_cases[i].there[j]; j++) {
            AUTO(free) char *path = mem_printf("%s/%s", dir, held_cases[i].there[j]);
            if (str_ends(path, "/"))
                assert_done(dir_make(path));
            else
                write_text(path, "x");
        }
        assert_done(incoming_scan(dir, &seen, &others));
        size_t strangers = others.count, held = 0;
        strlist_done(&others);
        others = (StrList){0};
        assert_done(streaming_scan(dir, &files, &others));
        for (; held < COUNT_OF(held_cases[i].held) && held_cases[i].held[held]; held++)
            if (has(&files, held_cases[i].held[held]) || !has(&seen, held_cases[i].held[held]))
                fail_msg("case %zu: '%s' is not held back", i, held_cases[i].held[held]);
        if (files.count != seen.count - held || others.count != strangers)
            fail_msg("case %zu: %zu files of %zu", i, files.count, seen.count);
        for (size_t j = 0; j < files.count; j++)
            assert_true(has(&seen, files.items[j]));
        scratch_remove(dir);
    }
}

static void
test_streaming_directory(void **state)
{
    (void)state;
    AUTO(strlist) StrList files = {0}, others = {0};
    assert_done(streaming_scan("/none/of/these", &files, &others));
    assert_int_equal(files.count + others.count, 0);
    assert_fails(streaming_scan("/dev/null", &files, &others), ERR_IO, "Not a directory");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_no_directory),
        cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_streaming_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
