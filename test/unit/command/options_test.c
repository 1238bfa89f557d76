/* SPDX-License-Identifier: PostgreSQL
 * Command lines by tables: what is understood, what is refused and under which name, and that every
 * help text fits a terminal. */
#include "../capture.h"

#include "command/options.h"

enum { OUTPUT, GZIP, PEEK, LONGER, COUNT };

static const CommandOption table[COUNT] = {
    [OUTPUT] = {"output-directory", "o", "DIR", "where\nit goes"},
    [GZIP] = {"gzip", "zx", NULL, "compress"},
    [PEEK] = {"peek", "p", "N", "hidden", true},
    [LONGER] = {"a-very-long-name-of-an-option", "", NULL, "help below"},
};

/* The values as "o=. z=. p=. l=." and the arguments behind them */
static const struct {
    const char *argv[8];
    bool in_order;
    const char *result; /* NULL: refused, with: */
    const char *error;
} cases[] = {
    {{"server", "name"}, false, "- - - -|server name "},
    {{NULL}, false, "- - - -|"},
    {{"-o", "dir", "server"}, false, "dir - - -|server "},
    {{"-odir", "server"}, false, "dir - - -|server "},
    {{"--output-directory=dir", "server"}, false, "dir - - -|server "},
    {{"--output-directory", "dir", "server"}, false, "dir - - -|server "},
    {{"--output-directory=", "server"}, false, " - - -|server "},
    {{"--out", "dir"}, false, "dir - - -|"},
    {{"--g", "--pee=3"}, false, "-  3 -|"},
    {{"-z"}, false, "-  - -|"},
    {{"-xp3"}, false, "-  3 -|"},
    {{"-p", "1", "-p", "2"}, false, "- - 2 -|"},
    {{"-p", "-1"}, false, "- - -1 -|"},
    /* mixed, and not */
    {{"server", "-z", "name", "-p", "1"}, false, "-  1 -|server name "},
    {{"server", "-z", "name", "-p", "1"}, true, "- - - -|server -z name -p 1 "},
    {{"-z", "server", "-p", "1"}, true, "-  - -|server -p 1 "},
    {{"-z", "--", "-p", "1"}, false, "-  - -|-p 1 "},
    {{"a", "--", "-z", "b"}, false, "- - - -|a -z b "},
    {{"-", "-z"}, false, "-  - -|- "},
    {{"--", "--"}, true, "- - - -|-- "},
    /* refused */
    {{"--nonsense"}, false, NULL, "'--nonsense' is unknown"},
    {{"server", "--nonsense"}, false, NULL, "'--nonsense' is unknown"},
    {{"a", "b", "--nonsense=1", "c"}, false, NULL, "'--nonsense=1' is unknown"},
    {{"-z", "--nonsense"}, true, NULL, "'--nonsense' is unknown"},
    {{"-n"}, false, NULL, "there is no option '-n'"},
    {{"a", "-zn"}, false, NULL, "there is no option '-n'"},
    {{"-o"}, false, NULL, "'-o' needs an argument"},
    {{"-zo"}, false, NULL, "'-o' needs an argument"},
    {{"--peek"}, false, NULL, "'--peek' needs an argument"},
    {{"server", "--pee"}, false, NULL, "'--pee' needs an argument"},
    {{"--gzip=9"}, false, NULL, "'--gzip=9' is unknown, ambiguous or takes no argument"},
    {{"a", "--gzip=9"}, false, NULL, "'--gzip=9'"},
    {{"--gzipped"}, false, NULL, "'--gzipped' is unknown"},
    {{"-:"}, false, NULL, "'-:'"},
    {{"a", "-\xc3\xa9"}, false, NULL, "'-\xc3'"},
};

static void
test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *argv[10] = {(char *)"walden"};
        const char *values[COUNT];
        int argc = 1, first = -1;
        for (size_t j = 0; j < 8 && cases[i].argv[j]; j++)
            argv[argc++] = (char *)cases[i].argv[j];
        int result = options_parse(argc, argv, table, COUNT, cases[i].in_order, values, &first);
        if (!cases[i].result) {
            assert_fails(result, ERR_USAGE, cases[i].error);
            assert_int_equal(first, -1);
            continue;
        }
        AUTO(str) Str got = {0};
        assert_done(result);
        for (int j = 0; j < COUNT; j++)
            str_appendf(&got, "%s%s", values[j] ? values[j] : "-", j < COUNT - 1 ? " " : "|");
        for (int j = first; j < argc; j++)
            str_appendf(&got, "%s ", argv[j]);
        if (strcmp(str_text(&got), cases[i].result) != 0)
            fail_msg("case %zu: '%s' instead of '%s'", i, str_text(&got), cases[i].result);
    }
}

static void
test_ambiguous(void **state)
{
    (void)state;
    static const CommandOption options[] = {{"partial", "", NULL, ""}, {"peek", "", "N", ""}};
    const char *values[2];
    int first = 0;
    char *argv[] = {(char *)"walden", (char *)"x", (char *)"--p", NULL};
    assert_fails(options_parse(3, argv, options, 2, false, values, &first), ERR_USAGE, "'--p'");
    assert_done(options_parse(1, argv, NULL, 0, false, values, &first));
}

static void
test_help(void **state)
{
    (void)state;
    AUTO(str) Str text = {0};
    Capture capture = capture_begin(stdout);
    options_print(table, COUNT);
    capture_end(&capture, &text);
    assert_string_equal(str_text(&text), "  -o, --output-directory DIR\n"
                                         "                            where\n"
                                         "                            it goes\n"
                                         "  -z, -x, --gzip            compress\n"
                                         "  --a-very-long-name-of-an-option\n"
                                         "                            help below\n");
}

static void
assert_fits(const char *what, const char *text)
{
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strcspn(line, "\n") >= 80)
            fail_msg("%s: a line of %zu columns", what, strcspn(line, "\n"));
}

static void
test_help_of_all_commands(void **state)
{
    (void)state;
    size_t count = 0;
    const Command *const *commands = command_all(&count);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        const Command *command = commands[i];
        AUTO(str) Str text = {0};
        AUTO(free)
        char *usage =
            mem_printf("Usage: walden [...] %s [OPTIONS] %s", command->name, command->arguments);
        Capture capture = capture_begin(stdout);
        options_print(command->options, command->option_count);
        capture_end(&capture, &text);
        assert_fits(command->name, str_text(&text));
        assert_fits(command->name, command->help);
        assert_fits(command->name, usage);
        assert_fits(command->name, command->summary);
        assert_true(command->option_count < OPTIONS_MAX);
        assert_true(command->argument_min <= command->argument_max);
        assert_true(command_find(command->name) == command);
        assert_true(!command->alias || command_find(command->alias) == command);
    }
    assert_null(command_find("no-such-command"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_ambiguous),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_help_of_all_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
