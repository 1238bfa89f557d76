/* SPDX-License-Identifier: PostgreSQL
 * Finds libpq and its functions at run time. The library stays loaded until the program ends. */
#define LIBPQ_LOADER
#include "pg/libpq.h"

#include "base/error.h"
#include "base/library.h"

struct Libpq libpq_functions;

static Library library = {LIBRARY("libpq.so.5", "libpq5", LIBPQ_FUNCTIONS, libpq_functions)};

int
libpq_load(void)
{
    return library_need(&library);
}
