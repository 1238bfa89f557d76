/* SPDX-License-Identifier: PostgreSQL
 * Finds libpq and its functions at run time. The library stays loaded until the program ends. */
#define LIBPQ_LOADER
#include "pg/libpq.h"

#include "base/error.h"
#include "base/library.h"

struct Libpq libpq_functions;

#define SYMBOL(name) {#name, &libpq_functions.name},
static const LibrarySymbol symbols[] = {LIBPQ_FUNCTIONS(SYMBOL)};
static Library library = {LIBRARY("libpq.so.5", "libpq5", symbols)};

int
libpq_load(void)
{
    return library_need(&library);
}
