/* SPDX-License-Identifier: PostgreSQL
 * Which kind of archive a place is, and the calls that lead to that kind's own functions. */
#include "flow/store/class.h"

#include <string.h>

/* Also one of a store that we do not know: opening it says so. */
static bool
is_url(const char *text)
{
    return strstr(text, "://");
}

int
store_open(const StorePlace *place, Store **ret_store)
{
    return is_url(place->wals) ? cloud_open(place, ret_store) : local_open(place, true, ret_store);
}

int
store_open_existing(const StorePlace *place, Store **ret_store)
{
    return is_url(place->wals) ? cloud_open(place, ret_store) : local_open(place, false, ret_store);
}

void
store_free(Store *store)
{
    if (store)
        store->class->free(store);
}

bool
store_is_remote(const Store *store)
{
    return store->class->remote;
}

int
store_workers(const Store *store, int cores)
{
    return store->class->workers ? store->class->workers(store, cores) : cores;
}

char *
store_path(const Store *store, const char *name, const char *compression)
{
    return store->class->path(store, name, compression);
}

int
store_stat(const Store *store, const char *name, struct stat *ret_stat)
{
    return store->class->stat(store, name, ret_stat);
}

int
store_read(const Store *store, const char *name, int *ret_fd)
{
    return store->class->read(store, name, SIZE_MAX, ret_fd);
}

int
store_read_head(const Store *store, const char *name, size_t size, int *ret_fd)
{
    return store->class->read(store, name, size, ret_fd);
}

int
store_digest(const Store *store, const char *name, char ret_sha256[OBJECT_SHA256_ROOM])
{
    return store->class->digest ? store->class->digest(store, name, ret_sha256) : STORE_UNKNOWN;
}

bool
store_keeps_digests(const Store *store)
{
    return store->class->remote;
}

int
store_holds(const Store *store, const char *name)
{
    return store->class->holds(store, name);
}

int
store_put_begin(Store *store, const char *name, const char *compression, StorePut **ret_put)
{
    return store->class->put_begin(store, name, compression, ret_put);
}

int
store_put_adopt(Store *store, const char *name, int source_fd, StorePut **ret_put)
{
    return store->class->put_adopt ? store->class->put_adopt(store, name, source_fd, ret_put)
                                   : STORE_CANNOT_LINK;
}

int
store_put_fd(const StorePut *put)
{
    return put->store->class->put_fd ? put->store->class->put_fd(put) : -1;
}

int
store_put_write(void *context, const void *data, size_t size)
{
    StorePut *put = context;
    return put->store->class->put_write(put, data, size);
}

int
store_put_finish(StorePut *put, int source_fd, const struct stat *source, const char *sha256,
                 int64_t *ret_size)
{
    return put->store->class->put_finish(put, source_fd, source, sha256, ret_size);
}

int
store_put_publish(StorePut *put)
{
    return put->store->class->put_publish(put);
}

void
store_put_free(StorePut *put)
{
    if (put)
        put->store->class->put_free(put);
}

int
store_sync(Store *store, const char *const *names, size_t count)
{
    return store->class->sync ? store->class->sync(store, names, count) : 0;
}

int
store_sync_file(Store *store, const char *name)
{
    return store->class->sync_file ? store->class->sync_file(store, name) : 0;
}

int
store_list(const Store *store, StoreVisit *visit, void *context, size_t *ret_strangers)
{
    return store_list_some(store, NULL, visit, context, ret_strangers);
}

int
store_list_some(const Store *store, StoreWants *wanted, StoreVisit *visit, void *context,
                size_t *ret_strangers)
{
    size_t strangers = 0;
    TRY(store->class->list(store, wanted, visit, context, &strangers));
    *ret_strangers = strangers;
    return 0;
}

int
store_remove(Store *store, StoreRemoval *batch, size_t count)
{
    return store->class->remove(store, batch, count);
}

int
store_is_empty(const Store *store)
{
    return store->class->is_empty(store);
}

int
store_ready(const Store *store)
{
    return store->class->ready ? store->class->ready(store) : 0;
}

int
store_try(Store *store)
{
    return store->class->try(store);
}
