/* SPDX-License-Identifier: PostgreSQL
 * The dialect, case by case; test/e2e/test_ini.py compares it with Python's over many more. */
#include "config/ini.h"

#include "base/str.h"

#include "../unit.h"

/* Everything that was parsed as "number[section]key=value|". */
static char *
parsed(const char *text, size_t length)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(str) Str out = {0};
    IniFile file = {0};
    if (ini_parse("f", text, length, arena, &file) < 0)
        return mem_dup(error_last()->text);
    for (size_t i = 0; i < file.count; i++)
        str_appendf(&out, "%d[%s]%s=%s|", file.lines[i].number, file.lines[i].section,
                    file.lines[i].key, file.lines[i].value);
    return mem_dup(str_text(&out));
}

static void
test_dialect(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"\n# only a comment\n  ; and one more\n", ""},
        {"[a]", "1[a]=|"},
        {"[a]\nk=v", "1[a]=|2[a]k=v|"},
        {"[a]\n  KeY  :  v = w : x  \n", "1[a]=|2[a]key=v = w : x|"},
        {"[a]\nk = v ; no comment # neither\n", "1[a]=|2[a]k=v ; no comment # neither|"},
        {"[a]\nk =\n", "1[a]=|2[a]k=|"},
        /* continuation */
        {"[a]\nk = v\n  w\n\n  x\n\n\n", "1[a]=|2[a]k=v\nw\n\nx|"},
        {"[a]\nk = v\n  # comment\n  w\n", "1[a]=|2[a]k=v\nw|"},
        {"[a]\nk =\n\tw = x\n", "1[a]=|2[a]k=\nw = x|"},
        {"[a]\n  k = v\n  l = w\n m = x\n    y\n", "1[a]=|2[a]k=v|3[a]l=w|4[a]m=x\ny|"},
        {"[a]\nk = v\n  [b]\n", "1[a]=|2[a]k=v\n[b]|"},
        {"[a]\n  k = v\n[b]\n  l = w\n", "1[a]=|2[a]k=v|3[b]=|4[b]l=w|"},
        {"[a]\n  [b]\nk=v\n", "1[a]=|2[b]=|3[b]k=v|"},
        /* headers */
        {"[ a b ] behind\n", "1[ a b ]=|"},
        {"[a]b]\n", "1[a]b]=|"},
        {"[]]\n", "1[]]=|"},
        {"[a]\n[]=x\n", "1[a]=|2[a][]=x|"},
        {"[a]\n[k=v\n", "1[a]=|2[a][k=v|"},
        {"[a]\nk=1\n[b]\n[a]\nk=2\n", "1[a]=|2[a]k=1|3[b]=|4[a]=|5[a]k=2|"},
        /* line ends, blanks that are not ASCII, byte order mark */
        {"[a]\r\nk = v\r\n  w\rl = x", "1[a]=|2[a]k=v\nw|4[a]l=x|"},
        {"\xef\xbb\xbf[a]\nk\xc2\xa0=\xe3\x80\x80v\xe2\x80\x89\n", "1[a]=|2[a]k=v|"},
        {"[a]\nk=\xff\xe2\x80\n", "1[a]=|2[a]k=\xff\xe2\x80|"},
        {"[a]\nk=\v\f v \x1c\n", "1[a]=|2[a]k=v|"},
        /* refused */
        {"k = v\n", "f:1: there is text before the first [section]"},
        {"[]\n", "f:1: there is text before the first [section]"},
        {"[a]\n\nword\n", "f:3: 'word' is neither a section nor an option with a value"},
        {"[a]\n[]\n", "f:2: '[]' is neither a section nor an option with a value"},
        {"[a]\n = v\n", "f:2: the name of the option is missing"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(free) char *got = parsed(cases[i].text, strlen(cases[i].text));
        assert_string_equal(got, cases[i].expected);
    }
    AUTO(free) char *binary = parsed("[a]\nk=\0\n", 8);
    assert_string_equal(binary, "'f' is not a text file");
}

static void
test_unquote(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},           {"a", "a"},           {"\"a\"", "a"},       {"'a'", "a"},
        {"'a\"", "'a\""},   {"'a' 'b'", "a' 'b"}, {"\"", "\""},         {"''", ""},
        {"\"'a'\"", "'a'"}, {"'a' b", "'a' b"},   {"'a\nb'", "'a\nb'"},
    };
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(ini_unquote(arena, cases[i][0]), cases[i][1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialect),
        cmocka_unit_test(test_unquote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
