/* SPDX-License-Identifier: PostgreSQL
 * Reading command lines by tables, and printing the same tables as help. */
#ifndef WALDEN_COMMAND_OPTIONS_H
#define WALDEN_COMMAND_OPTIONS_H

#include "command/command.h"

/* Parses argv[1..] by the table: ret_values[i] is option i's argument, "" when it takes none, NULL
 * when it was not given (the last one counts). Long options may be abbreviated. in_order: ends at
 * the first argument that is no option, else options and arguments may mix (argv is permuted).
 * *ret_first is the index of the first argument. ERR_USAGE. */
int options_parse(int argc, char **argv, const CommandOption *options, int count, bool in_order,
                  const char **ret_values, int *ret_first);

/* "  -o, --output-directory DIR   help text" for each, under 80 columns. */
void options_print(const CommandOption *options, int count);

#endif
