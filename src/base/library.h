/* SPDX-License-Identifier: PostgreSQL
 * Libraries that are loaded when they are needed: linked, each would cost every get-wal some time,
 * and a recovering server calls that for every file. */
#ifndef WALDEN_BASE_LIBRARY_H
#define WALDEN_BASE_LIBRARY_H

#include "base/error.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* A library's functions are a list, FUNCTIONS(X) X(first) X(second), of which this makes the fields
 * of a table of function pointers, and nothing else. */
#define LIBRARY_FIELD(name) __typeof__(name) *name;
#define LIBRARY_NAME(name) #name,

/* A static one for each library: LIBRARY(file, package, FUNCTIONS, table), and start behind it. */
typedef struct Library {
    const char *file, *package; /* "libfoo.so.1", and Debian's package that has it */
    const char *const *names;   /* of its functions, in the table's order */
    size_t count;
    void *table;
    pthread_mutex_t mutex;
    int (*start)(void); /* to be called once when it is loaded; <0 with its failure; or NULL */
    bool ready;
} Library;

#define LIBRARY(file, package, functions, table)                                                   \
    (file), (package), (const char *const[]){functions(LIBRARY_NAME)},                             \
        sizeof(table) / sizeof(void *), &(table), PTHREAD_MUTEX_INITIALIZER

/* Loads the library for as long as the program runs and finds all its functions, once for all
 * threads; after a failure the next call tries again. ERR_UNSUPPORTED with the advice to install
 * the package, or what start has failed with. */
int library_need(Library *library);

#endif
