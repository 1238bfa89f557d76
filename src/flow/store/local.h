/* SPDX-License-Identifier: PostgreSQL
 * What the files of the local archive share. */
#ifndef WALDEN_FLOW_STORE_LOCAL_H
#define WALDEN_FLOW_STORE_LOCAL_H

#include "flow/store/class.h"
#include "wal/name.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct LocalStore {
    Store base;
    char *directory;
    dev_t device;
    atomic_bool links_fail; /* a link to a source was refused: no need to try again */
    pthread_mutex_t mutex;
    char ready[WAL_HASH_DIR_ROOM]; /* the hash directory that was last made sure of */
} LocalStore;

static inline const LocalStore *
local(const Store *store)
{
    return (const LocalStore *)store;
}

/* Of a file, and of the directory that it is in; free them. */
char *local_path_of(const LocalStore *store, const char *name);
char *local_directory_of(const LocalStore *store, const char *name);

/* As StoreClass has them */
int local_list(const Store *base, StoreWants *wanted, StoreVisit *visit, void *context,
               size_t *strangers);
int local_remove(Store *base, StoreRemoval *batch, size_t count);
int local_is_empty(const Store *store);

#endif
