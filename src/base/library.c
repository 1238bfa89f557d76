/* SPDX-License-Identifier: PostgreSQL
 * Finds libraries and their functions at run time. */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

static int
load(const Library *library)
{
    /* Lazily: most of what libcurl brings along is never called, and would be looked up. */
    void *loaded = dlopen(library->file, RTLD_LAZY | RTLD_LOCAL);
    for (size_t i = 0; loaded && i < library->count; i++) {
        void *function = dlsym(loaded, library->names[i]);
        if (!function)
            loaded = NULL;
        memcpy((char *)library->table + i * sizeof(function), &function, sizeof(function));
    }
    if (!loaded)
        return hint(fail(ERR_UNSUPPORTED, "load library '%s': %s", library->file, dlerror()),
                    "install the package %s", library->package);
    return library->start ? library->start() : 0;
}

int
library_need(Library *library)
{
    pthread_mutex_lock(&library->mutex);
    int result = library->ready ? 0 : load(library);
    library->ready = result == 0;
    pthread_mutex_unlock(&library->mutex);
    return result;
}
