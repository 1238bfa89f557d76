/* SPDX-License-Identifier: PostgreSQL
 * The dialect of Barman's configuration files, which is that of Python's configparser with
 * strict=False. */
#ifndef WALDEN_CONFIG_INI_H
#define WALDEN_CONFIG_INI_H

#include "base/error.h"
#include "base/mem.h"

#include <stdbool.h>

/* A section header (key "") or an option. */
typedef struct IniLine {
    const char *section;
    const char *key;   /* lower case */
    const char *value; /* blanks around it gone, continuation lines joined by line feeds */
    int number;        /* of the line in the file, from 1 */
    bool warned;       /* for whoever reads the values: a fault is told once */
} IniLine;

/* In the order of the file; what is said twice stands here twice, and the last one counts. */
typedef struct IniFile {
    const char *name; /* for messages */
    IniLine *lines;
    size_t count;
} IniFile;

/* Memory is the arena's. ERR_CONFIG with "NAME:LINE:". */
int ini_parse(const char *name, const char *text, size_t length, Arena *arena, IniFile *ret_file);

/* Past the blank at text (Python's idea of one, in UTF-8); text itself when there is none. */
const char *ini_blank(const char *text, const char *end);

/* Takes away one pair of quotes around the whole value, unless it has several lines. */
char *ini_unquote(Arena *arena, const char *value);

#endif
