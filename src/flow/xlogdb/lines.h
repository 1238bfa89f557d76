/* SPDX-License-Identifier: PostgreSQL
 * The lines of a catalog file, which may be damaged in any way: reading is bounded, whatever they
 * hold. For this folder only. */
#ifndef WALDEN_FLOW_XLOGDB_LINES_H
#define WALDEN_FLOW_XLOGDB_LINES_H

#include "flow/xlogdb/xlogdb.h"

typedef struct Lines {
    const char *path;
    int fd;
    size_t at, end;
    int64_t taken; /* bytes of the file so far */
    bool failed;   /* error_last() says why */
    char buffer[KIB(64)];
} Lines;

/* LINES_NONE: there is no such file. The path must stay. lines_close also what could not be opened.
 */
enum { LINES_NONE = 1 };
int lines_open(const char *path, Lines *lines);
void lines_close(Lines *lines);

/* What is left of the line into a buffer of XLOGDB_LINE_ROOM bytes: with the line feed, unless the
 * line is longer or the file ends. Its length; 0 at the end of the file or when it cannot be read
 * (failed). */
size_t lines_piece(Lines *lines, char *ret_piece);

/* The next line; of one that is too long, and so damaged, the beginning. */
size_t lines_next(Lines *lines, char *ret_line);

#endif
