/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include "base/str.h"
#include "flow/queue/queue.h"

#define SEG(n) "0000000100000000000000" n

/* In these tests a trailing slash marks a directory, which never is WAL whatever its name. */
static void
add(StrList *files, StrList *others, const char *name)
{
    strlist_add(str_ends(name, "/") ? others : files, name);
}

static const struct {
    const char *names[8];
    size_t limit;
    const char *files, *strangers;
    size_t waiting;
    bool partials_last;
} cases[] = {
    {{NULL}, 0, "", "", 0},
    {{"x"}, 0, "", "x;", 0},
    {{SEG("02"), SEG("01")}, 0, SEG("01;") SEG("02;"), "", 2},
    /* history files before everything, labels and partials behind their segment */
    {{SEG("02"), SEG("01.00000028.backup"), "00000002.history", SEG("01"), SEG("01.partial")},
     0,
     "00000002.history;" SEG("01;") SEG("01.00000028.backup;") SEG("01.partial;") SEG("02;"),
     "",
     5},
    {{"000000020000000000000001", "00000003.history", SEG("FF"), "00000002.history"},
     0,
     "00000002.history;00000003.history;" SEG("FF;") "000000020000000000000001;",
     "",
     4},
    /* the limit counts WAL files only, and strangers do not disappear behind it */
    {{"zz", SEG("03"), "aa", SEG("01"), SEG("02"), "mm"}, 2, SEG("01;") SEG("02;"), "aa;mm;zz;", 3},
    {{"aa", "bb", "cc", SEG("01")}, 1, SEG("01;"), "aa;bb;cc;", 1},
    {{SEG("01"), SEG("02")}, 2, SEG("01;") SEG("02;"), "", 2},
    {{SEG("01"), SEG("02")}, 9, SEG("01;") SEG("02;"), "", 2},
    {{SEG("01/"), SEG("02")}, 0, SEG("02;"), SEG("01/;"), 1},
    {{"00000001.history\n", SEG("01 "), "00000001.histor"},
     0,
     "",
     "00000001.histor;00000001.history\n;" SEG("01 ;"),
     0},
    {{SEG("02.partial"), SEG("01.partial"), SEG("03"), "00000002.history",
      "000000020000000000000001"},
     4,
     "00000002.history;" SEG("03;") "000000020000000000000001;" SEG("01.partial;"),
     "",
     5,
     true},
};

static void
test_build(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(strlist) StrList names = {0}, others = {0};
        for (size_t j = 0; j < COUNT_OF(cases[i].names) && cases[i].names[j]; j++)
            add(&names, &others, cases[i].names[j]);
        Queue queue;
        AUTO(str) Str files = {0}, strangers = {0};
        queue_build(&names, &others, cases[i].limit, cases[i].partials_last, &queue);
        for (size_t j = 0; j < queue.count; j++)
            str_appendf(&files, "%s;", queue.files[j]);
        for (size_t j = 0; j < queue.stranger_count; j++)
            str_appendf(&strangers, "%s;", queue.strangers[j]);
        assert_string_equal(str_text(&files), cases[i].files);
        assert_string_equal(str_text(&strangers), cases[i].strangers);
        assert_int_equal(queue.waiting, cases[i].waiting);
    }
}

/* Whatever the directory's order, the queue's is the same. */
static void
test_any_order(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    static char texts[COUNT][32];
    const char *names[COUNT];
    uint32_t seed = 1;
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            snprintf(texts[i], sizeof(texts[i]), i % 7 ? "%024X" : "stranger%04u", i);
            names[i] = texts[i];
        }
        for (uint32_t i = COUNT - 1; i > 0; i--) {
            seed = seed * 1664525 + 1013904223;
            const char *swap = names[i];
            names[i] = names[(seed >> 8) % (i + 1)];
            names[(seed >> 8) % (i + 1)] = swap;
        }
        AUTO(strlist) StrList files = {0}, others = {0};
        for (uint32_t i = 0; i < COUNT; i++)
            add(&files, &others, names[i]);
        Queue queue;
        queue_build(&files, &others, 0, false, &queue);
        assert_int_equal(queue.count + queue.stranger_count, COUNT);
        for (size_t i = 1; i < queue.count; i++)
            assert_true(strcmp(queue.files[i - 1], queue.files[i]) < 0);
        for (size_t i = 1; i < queue.stranger_count; i++)
            assert_true(strcmp(queue.strangers[i - 1], queue.strangers[i]) < 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
