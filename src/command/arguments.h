/* SPDX-License-Identifier: PostgreSQL
 * Command lines as Python's argparse reads them, for the programs of Barman's that are Python:
 * options that take all words up to the next option, that exclude each other, that have several
 * names, may be cut short, and may be given repeatedly. */
#ifndef WALDEN_COMMAND_ARGUMENTS_H
#define WALDEN_COMMAND_ARGUMENTS_H

#include "base/str.h"
#include "command/command.h"

typedef struct Argument {
    CommandOption shown; /* its placeholder decides whether it takes an argument */
    const char *aliases; /* other long names, "one|two"; or NULL */
    const char *choices; /* "one|two"; NULL: anything */
    bool number;         /* takes whole numbers */
    bool many;           /* takes all words up to the next option, which may be none */
    bool ends;           /* nothing behind it is looked at: help, version */
    int group;           /* of the options of one group only one may be given; 0: in none */
} Argument;

enum { ARGUMENTS_MAX = 40 };

typedef struct Arguments {
    int given[ARGUMENTS_MAX];      /* how often */
    StrList values[ARGUMENTS_MAX]; /* of each option, in order */
    StrList words;                 /* what is no option and belongs to none */
    int ended;                     /* the option that ended it, or -1 */
} Arguments;

/* Reads argv[1..]. ERR_USAGE; the result is to be given back in any case. */
int arguments_parse(int argc, char **argv, const Argument *table, int count, Arguments *ret_found);
void arguments_done(Arguments *found);

static inline void
auto_arguments(Arguments *found)
{
    arguments_done(found);
}

/* The last value of an option, or NULL. */
const char *arguments_value(const Arguments *found, int option);

/* As options_print. */
void arguments_print(const Argument *table, int count);

#endif
