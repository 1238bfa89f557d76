/* SPDX-License-Identifier: PostgreSQL
 * What the files of the archive in an object store share: its keys, its listings, and the circuit
 * that opens when the store has failed too often. */
#ifndef WALDEN_FLOW_STORE_CLOUD_H
#define WALDEN_FLOW_STORE_CLOUD_H

#include "base/str.h"
#include "flow/store/class.h"
#include "flow/store/throttle.h"
#include "wal/name.h"

#include <stdatomic.h>
#include <time.h>

/* One object of the archive. Its key is root, hash directory, name and extension. */
typedef struct CloudEntry {
    char name[WAL_NAME_ROOM];
    const char *extension; /* one of the table's */
    int64_t size;
    time_t mtime;
} CloudEntry;

typedef struct CloudEntries {
    CloudEntry *items;
    size_t count, room;
} CloudEntries;

/* What changes while the store is used, by any of its users. */
typedef struct CloudLive {
    pthread_mutex_t mutex; /* of what counts failures */
    int failures;          /* in a row */
    int64_t closed_until_ms;
    Error last; /* of these failures */
    /* What was there when a part of one hash directory was listed; held while that goes on */
    pthread_mutex_t listing;
    char begin[WAL_NAME_ROOM]; /* all names of this hash directory from here on; "": not listed */
    CloudEntries known;        /* in order */
    atomic_uint lists_failed;  /* listings of that kind that have failed */
    Error list_error;          /* of the last of them */
    bool located;              /* a file was looked for: this is not the only one */
    Throttle throttle;
    atomic_ullong busy; /* how often the store had asked for patience when that last counted */
} CloudLive;

typedef struct CloudStore {
    Store base;
    Bucket *bucket;
    char *root; /* "PREFIX/SERVER/wals/" */
    char *staging;
    char **history_tags; /* NULL: none of their own */
    int64_t removal_batch;
    int uploads;
    bool alone;
    CloudLive *live;
} CloudStore;

static inline const CloudStore *
cloud(const Store *store)
{
    return (const CloudStore *)store;
}

/* Reads what follows the root in a key. False when that is no WAL file in its place. */
bool cloud_key_parse(const char *relative, CloudEntry *ret_entry);

/* The key of a file; free it. */
char *cloud_key(const CloudStore *store, const char *name, const char *extension);

/* Which object holds the file: one without a compression, else the first. STORE_MISSING. */
int cloud_find(const CloudStore *store, const char *name, CloudEntry *ret_entry);

/* The same from what was listed a moment ago, where that is so: for those that read many files in
 * order. *ret_fresh: the store was asked now. */
int cloud_locate(const CloudStore *store, const char *name, CloudEntry *ret_entry, bool *ret_fresh);

/* All objects below the root whose keys go on so, in the order of store_list; free items. */
int cloud_collect(const CloudStore *store, const char *below, CloudEntries *ret_entries,
                  size_t *strangers);

/* May the store be asked, or has it failed too often a moment ago? */
int cloud_allowed(const CloudStore *store);

/* Takes note of what the store has answered; returns that. */
int cloud_note(const CloudStore *store, int result);

struct stat cloud_stat_of(const CloudEntry *entry);

/* As StoreClass has them */
int cloud_holds(const Store *store, const char *name);
int cloud_list(const Store *store, StoreWants *wanted, StoreVisit *visit, void *context,
               size_t *strangers);
int cloud_remove(Store *store, StoreRemoval *batch, size_t count);
int cloud_is_empty(const Store *store);
int cloud_put_begin(Store *store, const char *name, const char *compression, StorePut **ret_put);
int cloud_put_write(StorePut *put, const void *data, size_t size);
int cloud_put_finish(StorePut *put, int source_fd, const struct stat *source, const char *sha256,
                     int64_t *ret_size);
int cloud_put_publish(StorePut *put);
void cloud_put_free(StorePut *put);

#endif
