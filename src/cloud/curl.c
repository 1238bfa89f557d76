/* SPDX-License-Identifier: PostgreSQL
 * Finds libcurl and its functions at run time. The library stays loaded until the program ends. */
#define CURL_LOADER
#include "cloud/curl.h"

#include "base/error.h"
#include "base/library.h"

#include <pthread.h>

struct Curl curl_functions;

static int
start(void)
{
    return curl_functions.curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
               ? 0
               : fail(ERR_UNSUPPORTED, "libcurl cannot be initialised");
}

static Library library = {LIBRARY("libcurl.so.4", "libcurl4", CURL_FUNCTIONS, curl_functions),
                          start};

int
curl_load(void)
{
    return library_need(&library);
}

static void *
load_beside(void *argument)
{
    (void)curl_load(); /* who needs it is told */
    return argument;
}

bool
curl_load_beside(pthread_t *ret_thread)
{
    return pthread_create(ret_thread, NULL, load_beside, NULL) == 0;
}
