/* SPDX-License-Identifier: PostgreSQL
 * Finds libcurl and its functions at run time. The library stays loaded until the program ends. */
#define CURL_LOADER
#include "cloud/curl.h"

#include "base/error.h"
#include "base/library.h"

#include <pthread.h>

struct Curl curl_functions;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static Error problem; /* why it could not be loaded */
static int outcome;

static void
load(void)
{
#define SYMBOL(name) {#name, &curl_functions.name},
    static const LibrarySymbol symbols[] = {CURL_FUNCTIONS(SYMBOL)};
    outcome = library_load("libcurl.so.4", "libcurl4", symbols, COUNT_OF(symbols));
    if (outcome == 0 && curl_functions.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        outcome = fail(ERR_UNSUPPORTED, "libcurl cannot be initialised");
    problem = *error_last();
}

int
curl_load(void)
{
    pthread_once(&once, load);
    if (outcome < 0)
        error_restore(&problem);
    return outcome;
}

static void *
load_beside(void *argument)
{
    (void)curl_load(); /* who needs it is told */
    return argument;
}

void
curl_load_beside(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, load_beside, NULL) == 0)
        pthread_detach(thread);
}
