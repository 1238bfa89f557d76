/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include "base/str.h"

static void
test_append(void **state)
{
    (void)state;
    AUTO(str) Str str = {0};
    assert_string_equal(str_text(&str), "");
    for (int i = 0; i < 1000; i++)
        str_appendf(&str, "%d,", i % 10);
    assert_int_equal(str.length, 2000);
    str_clear(&str);
    str_append(&str, "a");
    str_append_part(&str, "bcd", 2);
    assert_string_equal(str_text(&str), "abc");
}

static void
test_int_parse(void **state)
{
    (void)state;
    int64_t value = 7;
    assert_true(int_parse("42", 0, 100, &value));
    assert_int_equal(value, 42);
    assert_true(int_parse(" -3 ", -10, 100, &value));
    assert_int_equal(value, -3);
    const char *const bad[] = {"", " ", "x", "4x", "4 2", "101", "99999999999999999999", "-1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(int_parse(bad[i], 0, 100, &value));
    assert_int_equal(value, -3);
}

static void
test_sizes(void **state)
{
    (void)state;
    const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},         {1023, "1023 B"},       {1024, "1.0 KiB"},
                 {-96, "-96 B"},     {16 << 20, "16.0 MiB"}, {1536LL << 20, "1.5 GiB"},
                 {-2048, "-2.0 KiB"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[SIZE_ROOM];
        size_format(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void
test_duration(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {{0, "less than one second"},
                 {1, "1 second"},
                 {59, "59 seconds"},
                 {60, "1 minute"},
                 {3661, "1 hour, 1 minute, 1 second"},
                 {2 * 86400 + 4, "2 days, 4 seconds"},
                 {-90, "1 minute, 30 seconds ago"},
                 {INT64_MIN, "106751991167300 days, 15 hours, 30 minutes, 8 seconds ago"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[DURATION_ROOM];
        duration_format(cases[i].seconds, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void
test_stamp(void **state)
{
    (void)state;
    char text[STAMP_ROOM];
    time_format_stamp(1704067200, text);
    assert_string_equal(text, "20240101T000000Z");
}

static void
test_ends(void **state)
{
    (void)state;
    assert_true(str_starts("abc", "ab"));
    assert_false(str_starts("a", "ab"));
    assert_true(str_ends("a.tmp", ".tmp"));
    assert_false(str_ends("tmp", ".tmp"));
}

static void
test_make_utf8(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\x98.", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\x98."},
        {"m\xE4in", "m?in"},
        {"\xC3", "?"},
        {"\xE2\x82", "??"},
        {"\x80\xBFx\xFF", "??x?"},
        {"\xC0\xAF\xC1\xBF", "????"}, /* longer than it has to be */
        {"\xE0\x80\x80\xF0\x80\x80\x80", "???????"},
        {"\xED\xA0\x80|\xED\x9F\xBF", "???|\xED\x9F\xBF"},              /* half of a pair */
        {"\xF4\x8F\xBF\xBF|\xF4\x90\x80\x80", "\xF4\x8F\xBF\xBF|????"}, /* behind the last */
        {"\xF8\x88\x80\x80\x80", "?????"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(free) char *text = mem_dup(cases[i][0]);
        str_make_utf8(text);
        assert_string_equal(text, cases[i][1]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),    cmocka_unit_test(test_int_parse),
        cmocka_unit_test(test_sizes),     cmocka_unit_test(test_duration),
        cmocka_unit_test(test_stamp),     cmocka_unit_test(test_ends),
        cmocka_unit_test(test_make_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
