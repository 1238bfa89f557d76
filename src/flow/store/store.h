/* SPDX-License-Identifier: PostgreSQL
 * Where WAL rests: the archive, a directory or a bucket of an object store. A file gets in by a
 * StorePut: begun, written, finished (complete, but without a name) and published (never in the
 * place of another file); store_sync then makes the names durable, for many files at once.
 *
 * An object store knows no files without names: there, finishing a put is what makes it appear,
 * and publishing tells whether it could. Whoever works with an archive need not know which it is.
 *
 * Any number of threads may have puts of their own under way. */
#ifndef WALDEN_FLOW_STORE_STORE_H
#define WALDEN_FLOW_STORE_STORE_H

#include "base/error.h"
#include "base/mem.h"
#include "cloud/bucket.h"
#include "wal/wal.h"

#include <stdbool.h>
#include <sys/stat.h>

typedef struct Store Store;
typedef struct StorePut StorePut;

/* Which archive, and how to get there. The store copies what it keeps. */
typedef struct StorePlace {
    const char *wals; /* the directory, or the URL of an object store */
    /* All below is for object stores only. */
    const char *server;              /* keys are PREFIX/SERVER/wals/... */
    BucketSettings bucket;           /* 0 and NULL: the usual */
    const char *const *history_tags; /* for history files instead of bucket.tags; NULL: those */
    const char *staging_directory;   /* where what is read lies without a name; made when missing */
    int64_t removal_batch; /* objects removed by one request; 0: as many as the store allows */
    int uploads;           /* at once; 0: as many as pay */
    bool alone; /* nobody archives with another compression, so a put does not look for that first:
                   one request less */
} StorePlace;

/* What the keys of an object store end in for a compression (NULL: none): "", ".gz" and so on. NULL
 * for what a program compresses, which cannot be there. */
const char *store_extension(const char *compression);

/* Opens the archive. A directory is created when it is missing; a bucket is not. */
int store_open(const StorePlace *place, Store **ret_store);

/* The same for reading only: nothing is created. STORE_MISSING when there is no such directory.
 * Of an object store, the first request says whether it can be reached. */
enum { STORE_MISSING = 1 };
int store_open_existing(const StorePlace *place, Store **ret_store);

void store_free(Store *store);
AUTO_DEFINE(store, Store *, store_free)

/* Is it beyond this host? Then reading costs requests, and a path is no path for programs. */
bool store_is_remote(const Store *store);

/* How many threads should store files, when `cores` of them can compress at a time. */
int store_workers(const Store *store, int cores);

/* Path (or URL) of a file in the archive, whether it is there or not, as a file with this
 * compression is named (NULL: without); free it. */
char *store_path(const Store *store, const char *name, const char *compression);

/* What is archived under the name; STORE_MISSING when nothing is. */
int store_stat(const Store *store, const char *name, struct stat *ret_stat);

/* Opens an archived file for reading from its start; STORE_MISSING when there is none. */
int store_read(const Store *store, const char *name, int *ret_fd);

/* The same when the first `size` bytes are enough: there may be no more to read. From STORE_HEAD
 * bytes of a compressed file, its first plain bytes can be had. */
enum { STORE_HEAD = 1 << 20 };
int store_read_head(const Store *store, const char *name, size_t size, int *ret_fd);

/* SHA-256 of the plain contents (64 hex digits), as store_put_finish was told it: beyond this host
 * that is no proof of what is there. STORE_UNKNOWN when there is none, STORE_MISSING when there is
 * no such file. */
enum { STORE_UNKNOWN = 2 };
int store_digest(const Store *store, const char *name, char ret_sha256[OBJECT_SHA256_ROOM]);

/* Does the archive keep the digest of every file? Then store_put_finish should have one. (A
 * directory keeps what it is given.) */
bool store_keeps_digests(const Store *store);

/* Before a put: is something archived under the name already? 0 when it is, STORE_MISSING when not.
 * May be answered from what was true a moment ago: a put finds out for certain. */
int store_holds(const Store *store, const char *name);

/* A new file that will be archived under the name, in this compression (NULL: none). */
int store_put_begin(Store *store, const char *name, const char *compression, StorePut **ret_put);

/* As store_put_begin, but the open file itself will be published, by another link to it: no copy is
 * made. STORE_CANNOT_LINK when it rests on another file system, or has other names or another
 * owner, or the archive is no directory. Takes a descriptor of its own. */
enum { STORE_CANNOT_LINK = 2 };
int store_put_adopt(Store *store, const char *name, int source_fd, StorePut **ret_put);

/* The descriptor to write to, at the end of what was written; -1 where there is none. */
int store_put_fd(const StorePut *put);

/* Appends; usable as a Sink. context is the StorePut. */
int store_put_write(void *context, const void *data, size_t size);

/* All is written: gives the file the attributes of the source (mode, times, user attributes); an
 * adopted file is only synced. sha256 is that of the plain contents, or NULL. *ret_size is what the
 * archive now spends on it. */
int store_put_finish(StorePut *put, int source_fd, const struct stat *source, const char *sha256,
                     int64_t *ret_size);

/* Makes a finished put's contents durable and gives it its name. STORE_EXISTS when the name is
 * taken. */
enum { STORE_EXISTS = 1 };
int store_put_publish(StorePut *put);

/* Ends the put; what was not published leaves no trace. (In an object store it does, once it was
 * finished: the next run finds it there.) */
void store_put_free(StorePut *put);
AUTO_DEFINE(store_put, StorePut *, store_put_free)

/* Makes the names of these archived files durable: one sync for each directory among them. */
int store_sync(Store *store, const char *const *names, size_t count);

/* Makes sure that a file which was found in the archive is durable, contents and name.
 * STORE_MISSING. */
int store_sync_file(Store *store, const char *name);

/* Calls visit for every archived WAL file: history files first, then the hash directories in order
 * and the files of each in order. Dot-files, and what is no file in wals/ itself, are passed over;
 * whatever else is in a hash directory and is no WAL file that belongs there counts as a stranger,
 * and so does a second object of one name.
 */
typedef int StoreVisit(void *context, const char *name, const struct stat *st);
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

/* STORE_EMPTY when nothing at all is in the archive. */
enum { STORE_EMPTY = 1 };
int store_is_empty(const Store *store);

/* Is there any use in going on? <0 when the archive has failed too often a moment ago, and will not
 * be asked again for a while. */
int store_ready(const Store *store);

/* Could a file be archived now? Leaves nothing behind. */
int store_try(Store *store);

#endif
