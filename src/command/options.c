/* SPDX-License-Identifier: PostgreSQL
 * getopt_long behind a table. Both tables of a command line, of the program and of the command, are
 * read here, so help and parser cannot differ. */
#include "command/options.h"

#include <getopt.h>

enum { LONG_BASE = 1000, HELP_COLUMN = 28 };

/* Finds the option of a short letter. */
static int
find_letter(const CommandOption *options, int count, int letter)
{
    for (int i = 0; i < count; i++)
        if (strchr(options[i].letters, letter))
            return i;
    return -1;
}

static int
usage_error(char **argv, int answer)
{
    /* optopt is the letter of a short option (below 0 when it is not ASCII), and 0 or the number of
     * a long one, which stands before optind. */
    if (optopt != 0 && optopt < LONG_BASE)
        return fail(ERR_USAGE,
                    answer == ':' ? "option '-%c' needs an argument" : "there is no option '-%c'",
                    optopt);
    return fail(ERR_USAGE,
                answer == ':' ? "option '%s' needs an argument"
                              : "option '%s' is unknown, ambiguous or takes no argument",
                argv[optind - 1]);
}

int
options_parse(int argc, char **argv, const CommandOption *options, int count, bool in_order,
              const char **ret_values, int *ret_first)
{
    struct option table[OPTIONS_MAX + 1] = {0};
    AUTO(str) Str letters = {0};
    assert(count <= OPTIONS_MAX);
    str_append(&letters, in_order ? "+:" : ":");
    for (int i = 0; i < count; i++) {
        bool takes = options[i].placeholder != NULL;
        table[i] = (struct option){options[i].name, takes ? required_argument : no_argument, NULL,
                                   LONG_BASE + i};
        for (const char *letter = options[i].letters; *letter; letter++)
            str_appendf(&letters, "%c%s", *letter, takes ? ":" : "");
        ret_values[i] = NULL;
    }
    optind = 0; /* glibc: start afresh */
    for (;;) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread */
        int answer = getopt_long(argc, argv, str_text(&letters), table, NULL);
        if (answer == -1)
            break;
        if (answer == '?' || answer == ':')
            return usage_error(argv, answer);
        int option = answer >= LONG_BASE ? answer - LONG_BASE : find_letter(options, count, answer);
        assert(option >= 0);
        ret_values[option] = optarg ? optarg : "";
    }
    *ret_first = optind;
    return 0;
}

static void
print_help_text(const char *text, int column)
{
    for (bool first = true; *text; first = false) {
        int length = (int)strcspn(text, "\n");
        if (first && column <= HELP_COLUMN - 2)
            printf("%*s%.*s\n", HELP_COLUMN - column, "", length, text);
        else
            printf("%s%*s%.*s\n", first ? "\n" : "", HELP_COLUMN, "", length, text);
        text += length + (text[length] == '\n');
    }
}

void
options_print(const CommandOption *options, int count)
{
    for (int i = 0; i < count; i++) {
        if (options[i].hidden)
            continue;
        AUTO(str) Str head = {0};
        str_append(&head, "  ");
        for (const char *letter = options[i].letters; *letter; letter++)
            str_appendf(&head, "-%c, ", *letter);
        str_appendf(&head, "--%s%s%s", options[i].name, options[i].placeholder ? " " : "",
                    options[i].placeholder ? options[i].placeholder : "");
        fputs(str_text(&head), stdout);
        print_help_text(options[i].help, (int)head.length);
    }
}
