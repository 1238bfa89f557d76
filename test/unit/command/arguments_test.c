/* SPDX-License-Identifier: PostgreSQL */
#include "command/arguments.h"

#include "../unit.h"

enum { HELP, VERBOSE, QUIET, NAME, COUNT, LIST, KIND, OPTIONS };

static const Argument table[] = {
    [HELP] = {{"help", "", NULL, ""}, .ends = true},
    [VERBOSE] = {{"verbose", "v", NULL, ""}, .group = 1},
    [QUIET] = {{"quiet", "q", NULL, ""}, .group = 1},
    [NAME] = {{"a-name", "N", "NAME", ""}, .aliases = "name|called"},
    [COUNT] = {{"count", "", "N", ""}, .number = true},
    [LIST] = {{"list", "", "ITEM ...", ""}, .many = true},
    [KIND] = {{"kind", "k", "KIND", ""}, .choices = "one|two"},
};

/* "OPTION*times=VALUE,VALUE;... | WORD WORD", or what is wrong */
static void
describe(int result, const Arguments *found, Str *out)
{
    if (result < 0) {
        str_append(out, error_last()->text);
        return;
    }
    for (int i = 0; i < OPTIONS; i++) {
        if (found->given[i])
            str_appendf(out, "%s*%d", table[i].shown.name, found->given[i]);
        for (size_t v = 0; v < found->values[i].count; v++)
            str_appendf(out, "%s%s", v ? "," : "=", found->values[i].items[v]);
        str_append(out, found->given[i] ? ";" : "");
    }
    for (size_t i = 0; i < found->words.count; i++)
        str_appendf(out, " %s", found->words.items[i]);
}

static void
reads_as_argparse_does(void **state)
{
    (void)state;
    static const struct {
        const char *line, *expected;
    } cases[] = {
        {"", ""},
        {"a b c", " a b c"},
        {"a -v b --verbose -vv c", "verbose*4; a b c"},
        {"-vq", "argument --quiet: not allowed with argument --verbose"},
        {"--quie a", "quiet*1; a"},
        {"--q --nam=x --cal y -Nz -N=u", "quiet*1;a-name*4=x,y,z,u;"},
        {"--name", "argument --a-name: expected one argument"},
        {"--name -v", "argument --a-name: expected one argument"},
        {"--name -5 a -", "a-name*1=-5; a -"},
        {"--name=", "a-name*1=;"},
        {"--verbose=1", "argument --verbose: ignored explicit argument '1'"},
        {"--count 12", "count*1=12;"},
        {"--count 1x", "argument --count: invalid value: '1x'"},
        {"--list a b -v c", "verbose*1;list*1=a,b; c"},
        {"--list a --list b c -- d", "list*2=b,c; d"},
        {"--list -- d", "list*1; d"},
        {"-- -v --what", " -v --what"},
        {"-k two", "kind*1=two;"},
        {"-k t", "argument --kind: invalid choice: 't' (choose from one|two)"},
        {"--what", "unrecognized arguments: --what"},
        {"-x", "unrecognized arguments: -x"},
        {"a --help --what", "help*1; a"},
        {"--what --help", "unrecognized arguments: --what"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(free) char *line = mem_printf("program %s", cases[i].line);
        AUTO(arguments) Arguments found;
        AUTO(str) Str text = {0};
        char *argv[16], *rest = NULL;
        int argc = 0;
        for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
            argv[argc++] = word;
        describe(arguments_parse(argc, argv, table, OPTIONS, &found), &found, &text);
        assert_string_equal(str_text(&text), cases[i].expected);
    }
}

static void
tells_what_is_ambiguous(void **state)
{
    (void)state;
    static const Argument close[] = {{{"max-size", "", "N", ""}}, {{"max-count", "", "N", ""}}};
    char program[] = "program", word[] = "--max", value[] = "1";
    char *argv[] = {program, word, value};
    AUTO(arguments) Arguments found;
    assert_int_equal(arguments_parse(3, argv, close, 2, &found), -1);
    assert_string_equal(error_last()->text,
                        "ambiguous option: --max could match --max-size, --max-count");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_as_argparse_does),
        cmocka_unit_test(tells_what_is_ambiguous),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
