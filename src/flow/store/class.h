/* SPDX-License-Identifier: PostgreSQL
 * A kind of archive: what store.h promises, as functions. Only for the files of this folder. */
#ifndef WALDEN_FLOW_STORE_CLASS_H
#define WALDEN_FLOW_STORE_CLASS_H

#include "flow/store/store.h"

typedef struct StoreClass {
    bool remote;
    int (*workers)(const Store *store, int cores);
    void (*free)(Store *store);
    char *(*path)(const Store *store, const char *name, const char *compression);
    int (*stat)(const Store *store, const char *name, struct stat *ret_stat);
    int (*holds)(const Store *store, const char *name);
    int (*read)(const Store *store, const char *name, size_t size, int *ret_fd);
    int (*digest)(const Store *store, const char *name, char *ret_sha256);
    int (*put_begin)(Store *store, const char *name, const char *compression, StorePut **ret_put);
    int (*put_adopt)(Store *store, const char *name, int source_fd, StorePut **ret_put);
    int (*put_fd)(const StorePut *put);
    int (*put_write)(StorePut *put, const void *data, size_t size);
    int (*put_finish)(StorePut *put, int source_fd, const struct stat *source, const char *sha256,
                      int64_t *ret_size);
    int (*put_publish)(StorePut *put);
    void (*put_free)(StorePut *put);
    int (*sync)(Store *store, const char *const *names, size_t count);
    int (*sync_file)(Store *store, const char *name);
    int (*list)(const Store *store, StoreWants *wanted, StoreVisit *visit, void *context,
                size_t *strangers); /* wanted NULL: all, and the history files */
    int (*remove)(Store *store, StoreRemoval *batch, size_t count);
    int (*is_empty)(const Store *store);
    int (*ready)(const Store *store);
    int (*try)(Store *store);
} StoreClass;

/* What the classes' stores and puts begin with. */
struct Store {
    const StoreClass *class;
};

struct StorePut {
    Store *store;
};

int local_open(const StorePlace *place, bool create, Store **ret_store); /* STORE_MISSING */
int cloud_open(const StorePlace *place, Store **ret_store);

#endif
