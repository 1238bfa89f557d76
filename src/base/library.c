/* SPDX-License-Identifier: PostgreSQL
 * Finds libraries and their functions at run time. */
#include "base/library.h"

#include "base/error.h"

#include <dlfcn.h>
#include <string.h>

int
library_load(const char *file, const char *package, const LibrarySymbol *symbols, size_t count)
{
    /* Lazily: most of what libcurl brings along is never called, and would be looked up. */
    void *library = dlopen(file, RTLD_LAZY | RTLD_LOCAL);
    for (size_t i = 0; library && i < count; i++) {
        void *function = dlsym(library, symbols[i].name);
        if (!function)
            library = NULL;
        memcpy(symbols[i].ret_function, &function, sizeof(function));
    }
    if (library)
        return 0;
    return hint(fail(ERR_UNSUPPORTED, "load library '%s': %s", file, dlerror()),
                "install the package %s", package);
}
