/* SPDX-License-Identifier: PostgreSQL
 * Finds libpq and its functions at run time. The library stays loaded until the program ends. */
#define LIBPQ_LOADER
#include "pg/libpq.h"

#include "base/error.h"
#include "base/library.h"

#include <pthread.h>

struct Libpq libpq_functions;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static Error problem; /* why it could not be loaded */
static int outcome;

static void
load(void)
{
#define SYMBOL(name) {#name, &libpq_functions.name},
    static const LibrarySymbol symbols[] = {LIBPQ_FUNCTIONS(SYMBOL)};
    outcome = library_load("libpq.so.5", "libpq5", symbols, COUNT_OF(symbols));
    problem = *error_last();
}

int
libpq_load(void)
{
    pthread_once(&once, load);
    if (outcome < 0)
        error_restore(&problem);
    return outcome;
}
