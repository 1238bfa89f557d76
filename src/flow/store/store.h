/* SPDX-License-Identifier: PostgreSQL
 * Where WAL rests: the archive directory, wals/. A file gets in by a StorePut: begun, written,
 * finished (complete, but without a name) and published (durable, never in the place of another
 * file); store_sync then makes the names durable, for many files at once.
 *
 * Any number of threads may have puts of their own under way. */
#ifndef WALDEN_FLOW_STORE_STORE_H
#define WALDEN_FLOW_STORE_STORE_H

#include "base/error.h"
#include "base/mem.h"
#include "wal/wal.h"

#include <stdbool.h>
#include <sys/stat.h>

typedef struct Store Store;
typedef struct StorePut StorePut;

/* Opens the archive in this directory, which is created when it is missing. */
int store_open(const char *directory, Store **ret_store);

/* The same for reading only: nothing is created. STORE_MISSING when there is no such directory. */
enum { STORE_MISSING = 1 };
int store_open_existing(const char *directory, Store **ret_store);

void store_free(Store *store);
AUTO_DEFINE(store, Store *, store_free)

/* Path of a file in the archive, whether it is there or not; free it. */
char *store_path(const Store *store, const char *name);

/* What is archived under the name; STORE_MISSING when nothing is. */
int store_stat(const Store *store, const char *name, struct stat *ret_stat);

/* Opens an archived file for reading from its start; STORE_MISSING when there is none. */
int store_read(const Store *store, const char *name, int *ret_fd);

/* A new file that will be archived under the name. */
int store_put_begin(Store *store, const char *name, StorePut **ret_put);

/* As store_put_begin, but the open file itself will be published, by another link to it: no copy is
 * made. STORE_CANNOT_LINK when it rests on another file system, or has other names or another
 * owner. Takes a descriptor of its own. */
enum { STORE_CANNOT_LINK = 2 };
int store_put_adopt(Store *store, const char *name, int source_fd, StorePut **ret_put);

/* The descriptor to write to, at the end of what was written. */
int store_put_fd(const StorePut *put);

/* Appends; usable as a Sink. context is the StorePut. */
int store_put_write(void *context, const void *data, size_t size);

/* All is written: gives the file the attributes of the source (mode, times, user attributes); an
 * adopted file is only synced. *ret_size is what the archive now spends on it. */
int store_put_finish(StorePut *put, int source_fd, const struct stat *source, int64_t *ret_size);

/* Makes a finished put's contents durable and gives it its name. STORE_EXISTS when the name is
 * taken. */
enum { STORE_EXISTS = 1 };
int store_put_publish(StorePut *put);

/* Ends the put; what was not published leaves no trace. */
void store_put_free(StorePut *put);
AUTO_DEFINE(store_put, StorePut *, store_put_free)

/* Makes the names of these archived files durable: one sync for each directory among them. */
int store_sync(Store *store, const char *const *names, size_t count);

/* Makes sure that a file which was found in the archive is durable, contents and name. */
int store_sync_file(Store *store, const char *name, int fd);

/* Calls visit for every archived WAL file: history files first, then the hash directories in order
 * and the files of each in order. Dot-files, and what is no file in wals/ itself, are passed over;
 * whatever else is in a hash directory and is no WAL file that belongs there counts as a stranger.
 */
typedef int StoreVisit(void *context, const char *name);
int store_list(const Store *store, StoreVisit *visit, void *context, size_t *ret_strangers);

/* The same for those hash directories only for which `wanted` answers true, and without the history
 * files. */
typedef bool StoreWants(void *context, const char *hash_dir);
int store_list_some(const Store *store, StoreWants *wanted, StoreVisit *visit, void *context,
                    size_t *ret_strangers);

/* One name of a batch that is to be removed from the archive. */
typedef struct StoreRemoval {
    const char *name;
    bool missing; /* set: there was no such file */
    char *error;  /* set: why the file is still there, free it; NULL: it is not there any more */
} StoreRemoval;

/* Removes exactly these files, and the hash directories that are left empty by that, and returns
 * when that is durable. What becomes of each file is said in the batch; <0 only when nothing can be
 * said for sure (a sync failed). The names should be in order: each directory is synced once then.
 */
int store_remove(Store *store, StoreRemoval *batch, size_t count);

/* True when nothing at all is in the archive directory. */
bool store_is_empty(const Store *store);

#endif
