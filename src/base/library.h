/* SPDX-License-Identifier: PostgreSQL
 * Libraries that are loaded when they are needed: linked, each would cost every get-wal some time,
 * and a recovering server calls that for every file. */
#ifndef WALDEN_BASE_LIBRARY_H
#define WALDEN_BASE_LIBRARY_H

#include <stddef.h>

typedef struct LibrarySymbol {
    const char *name;
    void *ret_function; /* address of the function pointer to set */
} LibrarySymbol;

/* Loads the library for as long as the program runs and finds all its functions. ERR_UNSUPPORTED
 * with the advice to install the Debian package. Once is enough. */
int library_load(const char *file, const char *package, const LibrarySymbol *symbols, size_t count);

#endif
