/* SPDX-License-Identifier: PostgreSQL
 * Finds libpq and its functions at run time. The library stays loaded until the program ends. */
#define LIBPQ_LOADER
#include "pg/libpq.h"

#include "base/error.h"

#include <dlfcn.h>
#include <pthread.h>

struct Libpq libpq_functions;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char reason[400]; /* why it could not be loaded; empty when it was */

static void
find(void *library, const char *name, void *ret_function)
{
    void *function = dlsym(library, name);
    if (!function && !reason[0])
        snprintf(reason, sizeof(reason), "%s", dlerror());
    memcpy(ret_function, &function, sizeof(function));
}

static void
load(void)
{
    void *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(reason, sizeof(reason), "%s", dlerror());
        return;
    }
#define FIND(name) find(library, #name, &libpq_functions.name);
    LIBPQ_FUNCTIONS(FIND)
}

int
libpq_load(void)
{
    pthread_once(&once, load);
    if (!reason[0])
        return 0;
    return hint(fail(ERR_UNSUPPORTED, "load PostgreSQL's client library: %s", reason),
                "install the package libpq5");
}
