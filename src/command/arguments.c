/* SPDX-License-Identifier: PostgreSQL
 * argparse's rules, as far as they can be seen from outside: a word is an option if it begins with
 * a dash, unless it is only that, a number, holds a blank, or stands behind "--"; a long option may
 * be cut short while it is unmistakable; what follows a letter in its word are letters or the
 * letter's argument. */
#include "command/arguments.h"

#include "command/options.h"

typedef struct Reading {
    int argc, at; /* the word to be read next */
    char **argv;
    const Argument *table;
    int count;
    bool plain; /* "--" was passed */
    Arguments *found;
} Reading;

/* "one|two" holds the word; prefix: or a longer one that begins so. */
static bool
lists(const char *list, const char *word, size_t length, bool prefix)
{
    for (const char *item = list; item && *item;) {
        size_t size = strcspn(item, "|");
        if (size >= length && (prefix || size == length) && strncmp(item, word, length) == 0)
            return true;
        item += size + (item[size] == '|');
    }
    return false;
}

static bool
has_name(const Argument *option, const char *word, size_t length, bool prefix)
{
    return lists(option->shown.name, word, length, prefix) ||
           lists(option->aliases, word, length, prefix);
}

static bool
is_number(const char *word)
{
    char *end = NULL;
    (void)strtod(word, &end);
    return end != word && *end == '\0' && strspn(word, "-0123456789.") == strlen(word);
}

static bool
is_option(const Reading *reading, const char *word)
{
    return !reading->plain && word[0] == '-' && word[1] != '\0' && !is_number(word) &&
           (!strchr(word, ' ') || strchr(word, '='));
}

static int
find_long(const Reading *reading, const char *word, size_t length, int *ret_option)
{
    int found = -1;
    for (int i = 0; i < reading->count; i++)
        if (has_name(&reading->table[i], word, length, false)) {
            *ret_option = i;
            return 0;
        }
    for (int i = 0; i < reading->count; i++) {
        if (!has_name(&reading->table[i], word, length, true))
            continue;
        if (found >= 0)
            return fail(ERR_USAGE, "ambiguous option: --%.*s could match --%s, --%s", (int)length,
                        word, reading->table[found].shown.name, reading->table[i].shown.name);
        found = i;
    }
    if (found < 0)
        return fail(ERR_USAGE, "unrecognized arguments: --%s", word);
    *ret_option = found;
    return 0;
}

static int
check_group(const Reading *reading, int option)
{
    const Argument *table = reading->table;
    for (int i = 0; i < reading->count; i++)
        if (i != option && table[i].group && table[i].group == table[option].group &&
            reading->found->given[i])
            return fail(ERR_USAGE, "argument --%s: not allowed with argument --%s",
                        table[option].shown.name, table[i].shown.name);
    return 0;
}

static int
add_value(const Reading *reading, int option, const char *value)
{
    const Argument *argument = &reading->table[option];
    int64_t number = 0;
    if (argument->choices && !lists(argument->choices, value, strlen(value), false))
        return fail(ERR_USAGE, "argument --%s: invalid choice: '%s' (choose from %s)",
                    argument->shown.name, value, argument->choices);
    if (argument->number && !int_parse(value, INT32_MIN, INT32_MAX, &number))
        return fail(ERR_USAGE, "argument --%s: invalid value: '%s'", argument->shown.name, value);
    strlist_add(&reading->found->values[option], value);
    return 0;
}

/* The option with its argument: the one attached to it, or the words that follow. */
static int
take_option(Reading *reading, int option, const char *attached)
{
    const Argument *argument = &reading->table[option];
    TRY(check_group(reading, option));
    reading->found->given[option]++;
    if (argument->ends)
        reading->found->ended = option;
    if (!argument->shown.placeholder)
        return attached ? fail(ERR_USAGE, "argument --%s: ignored explicit argument '%s'",
                               argument->shown.name, attached)
                        : 0;
    if (argument->many) /* the last list counts, not all of them together */
        strlist_done(&reading->found->values[option]);
    if (attached)
        return add_value(reading, option, attached);
    int taken = 0;
    while (reading->at < reading->argc && (argument->many || taken == 0)) {
        const char *word = reading->argv[reading->at];
        if (is_option(reading, word))
            break;
        TRY(add_value(reading, option, word));
        reading->at++;
        taken++;
    }
    return taken == 0 && !argument->many
               ? fail(ERR_USAGE, "argument --%s: expected one argument", argument->shown.name)
               : 0;
}

static int
take_letters(Reading *reading, const char *letters)
{
    for (const char *letter = letters; *letter; letter++) {
        int option = -1;
        for (int i = 0; i < reading->count && option < 0; i++)
            if (strchr(reading->table[i].shown.letters, *letter))
                option = i;
        if (option < 0)
            return fail(ERR_USAGE, "unrecognized arguments: -%s", letter);
        if (reading->table[option].shown.placeholder) {
            const char *rest = letter + 1;
            return take_option(reading, option, *rest ? rest + (*rest == '=') : NULL);
        }
        TRY(take_option(reading, option, NULL));
    }
    return 0;
}

static int
take_word(Reading *reading)
{
    const char *word = reading->argv[reading->at++];
    if (!reading->plain && strcmp(word, "--") == 0) {
        reading->plain = true;
        return 0;
    }
    if (!is_option(reading, word)) {
        strlist_add(&reading->found->words, word);
        return 0;
    }
    if (word[1] != '-')
        return take_letters(reading, word + 1);
    int option = -1;
    const char *name = word + 2;
    size_t length = strcspn(name, "=");
    TRY(find_long(reading, name, length, &option));
    return take_option(reading, option, name[length] ? name + length + 1 : NULL);
}

int
arguments_parse(int argc, char **argv, const Argument *table, int count, Arguments *ret_found)
{
    assert(count <= ARGUMENTS_MAX);
    *ret_found = (Arguments){.ended = -1};
    Reading reading = {
        .argc = argc, .at = 1, .argv = argv, .table = table, .count = count, .found = ret_found};
    while (reading.at < argc && ret_found->ended < 0)
        TRY(take_word(&reading));
    return 0;
}

void
arguments_done(Arguments *found)
{
    for (int i = 0; i < ARGUMENTS_MAX; i++)
        strlist_done(&found->values[i]);
    strlist_done(&found->words);
}

const char *
arguments_value(const Arguments *found, int option)
{
    const StrList *values = &found->values[option];
    return values->count ? values->items[values->count - 1] : NULL;
}

void
arguments_print(const Argument *table, int count)
{
    for (int i = 0; i < count; i++)
        options_print(&table[i].shown, 1);
}
