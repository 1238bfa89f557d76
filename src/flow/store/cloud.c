/* SPDX-License-Identifier: PostgreSQL
 * The archive in an object store. What is read comes into a local file without a name first, whole
 * and verified, so that whoever reads it need not know where it was. A store that has failed
 * several times in a row is not asked again for a while: a thousand waiting files would each wait
 * for their own deadline. */
#include "flow/store/cloud.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>

enum { FAILURES_MAX = 3, CLOSED_MS = 60 * 1000, UPLOADS_MOST = 16 };

static const StoreClass cloud_class;

/* The circuit */

int
cloud_allowed(const CloudStore *store)
{
    CloudLive *live = store->live;
    pthread_mutex_lock(&live->mutex);
    bool closed = live->failures >= FAILURES_MAX && clock_ms() < live->closed_until_ms;
    Error last = live->last;
    pthread_mutex_unlock(&live->mutex);
    if (!closed)
        return 0;
    fail(last.class, "not asking '%s' again, which has failed %d times in a row, with: %s",
         bucket_name(store->bucket), FAILURES_MAX, last.text);
    return *last.hint ? hint(-1, "%s", last.hint) : -1;
}

int
cloud_note(const CloudStore *store, int result)
{
    CloudLive *live = store->live;
    const Error *error = error_last();
    bool failed = result < 0 && (error->class == ERR_IO || error->class == ERR_TIMEOUT ||
                                 error->class == ERR_CONFIG);
    pthread_mutex_lock(&live->mutex);
    if (result >= 0)
        live->failures = 0;
    if (failed) {
        live->failures++;
        live->last = *error;
        live->closed_until_ms = clock_ms() + CLOSED_MS;
    }
    pthread_mutex_unlock(&live->mutex);
    return result;
}

/* One file */

struct stat
cloud_stat_of(const CloudEntry *entry)
{
    struct timespec time = {.tv_sec = entry->mtime};
    return (struct stat){.st_mode = S_IFREG | 0600,
                         .st_nlink = 1,
                         .st_size = entry->size,
                         .st_mtim = time,
                         .st_ctim = time};
}

static int
cloud_stat(const Store *base, const char *name, struct stat *ret_stat)
{
    CloudEntry entry;
    int found = cloud_find(cloud(base), name, &entry);
    if (found == 0)
        *ret_stat = cloud_stat_of(&entry);
    return found;
}

static char *
cloud_path(const Store *base, const char *name, const char *compression)
{
    const CloudStore *store = cloud(base);
    const char *extension = store_extension(compression);
    AUTO(free) char *key = cloud_key(store, name, extension ? extension : "");
    return mem_printf("%s/%s", bucket_name(store->bucket), key);
}

static int
cloud_digest(const Store *base, const char *name, char *ret_sha256)
{
    const CloudStore *store = cloud(base);
    CloudEntry entry;
    ObjectInfo info;
    int found = cloud_find(store, name, &entry);
    if (found != 0)
        return found;
    AUTO(free) char *key = cloud_key(store, name, entry.extension);
    found = cloud_note(store, object_head(store->bucket, key, &info));
    if (found != 0)
        return found < 0 ? found : STORE_MISSING;
    if (!*info.sha256)
        return STORE_UNKNOWN;
    memcpy(ret_sha256, info.sha256, OBJECT_SHA256_ROOM);
    return 0;
}

/* Reading */

typedef struct Staging {
    const char *name;
    int fd;
    size_t left;
    bool ended, broken; /* enough has come; it could not be written */
} Staging;

static int
stage(void *context, const void *data, size_t size)
{
    Staging *staging = context;
    size_t part = size < staging->left ? size : staging->left;
    int result = file_write(staging->fd, data, part, staging->name);
    if (result < 0) {
        staging->broken = true;
        return result;
    }
    staging->left -= part;
    staging->ended = staging->left == 0;
    return staging->ended ? fail(ERR_STOPPED, "enough of '%s' was read", staging->name) : 0;
}

static int
open_nameless(const char *directory, int *ret_fd)
{
    TRY(dir_make(directory));
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        AUTO(free) char *path = mem_printf("%s/.staged.XXXXXX", directory);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        return fail_errno("make a file in the staging directory '%s'", directory);
    *ret_fd = fd;
    return 0;
}

static int
download_once(const CloudStore *store, const CloudEntry *entry, size_t size, int fd)
{
    AUTO(free) char *key = cloud_key(store, entry->name, entry->extension);
    Staging staging = {.name = entry->name, .fd = fd, .left = size};
    ObjectInfo info;
    int result = object_get(store->bucket, key, stage, &staging, &info);
    if (staging.ended)
        result = 0;
    if (staging.broken)
        return wrap(result, "read '%s' into the staging directory '%s'", key, store->staging);
    TRY(cloud_note(store, result) < 0 ? -1 : 0);
    if (result == OBJECT_MISSING)
        return STORE_MISSING;
    return lseek(fd, 0, SEEK_SET) < 0 ? fail_errno("seek in '%s'", entry->name) : 0;
}

/* Only what comes damaged twice is called damaged: the first time it may have been the way. */
static int
download(const CloudStore *store, const CloudEntry *entry, size_t size, int fd)
{
    int result = download_once(store, entry, size, fd);
    if (result >= 0 || error_last()->class != ERR_DATA)
        return result;
    log_warning("%s; reading it once more", error_last()->text);
    if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return fail_errno("empty the staged copy of '%s'", entry->name);
    return download_once(store, entry, size, fd);
}

static int
cloud_read(const Store *base, const char *name, size_t size, int *ret_fd)
{
    const CloudStore *store = cloud(base);
    CloudEntry entry;
    AUTO(close) int fd = -1;
    bool fresh = false;
    int result = cloud_locate(store, name, &entry, &fresh);
    if (result != 0)
        return result;
    TRY(open_nameless(store->staging, &fd));
    result = download(store, &entry, size, fd);
    if (result == STORE_MISSING && !fresh) { /* gone, or now there under another key */
        result = cloud_find(store, name, &entry);
        if (result == 0)
            result = download(store, &entry, size, fd);
    }
    if (result == 0)
        *ret_fd = take_fd(&fd);
    return result;
}

/* The store */

static int
cloud_ready(const Store *store)
{
    return cloud_allowed(cloud(store));
}

static int
cloud_try(Store *base)
{
    const CloudStore *store = cloud(base);
    int result = bucket_check(store->bucket);
    if (result == BUCKET_MISSING)
        return hint(fail(ERR_CONFIG, "the bucket '%s' does not exist", bucket_name(store->bucket)),
                    "create it, or put wals_directory right");
    return result;
}

static int
cloud_workers(const Store *base, int cores)
{
    const CloudStore *store = cloud(base);
    return store->uploads > 0 ? store->uploads : cores > UPLOADS_MOST ? cores : UPLOADS_MOST;
}

static void
cloud_free(Store *base)
{
    CloudStore *store = (CloudStore *)base;
    if (store->bucket)
        bucket_free(store->bucket);
    throttle_done(&store->live->throttle);
    pthread_mutex_destroy(&store->live->listing);
    pthread_mutex_destroy(&store->live->mutex);
    free(store->live->known.items);
    free(store->live);
    for (size_t i = 0; store->history_tags && store->history_tags[i]; i++)
        free(store->history_tags[i]);
    free(store->history_tags);
    free(store->staging);
    free(store->root);
    free(store);
}

static char **
copy_list(const char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    char **copy = list ? mem_alloc((count + 1) * sizeof(char *)) : NULL;
    for (size_t i = 0; i < count; i++)
        copy[i] = mem_dup(list[i]);
    return copy;
}

static void
init_live(CloudLive *live, int uploads)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_mutex_init(&live->mutex, NULL);
    pthread_mutex_init(&live->listing, NULL);
    throttle_init(&live->throttle,
                  uploads > 0 ? uploads
                  : cores > 0 ? (int)cores
                              : 1,
                  uploads > 0 ? uploads : UPLOADS_MOST);
}

int
cloud_open(const StorePlace *place, Store **ret_store)
{
    AUTO(free) char *prefix = NULL;
    AUTO(store) Store *keep = NULL;
    CloudStore *store = mem_alloc(sizeof(*store));
    store->base.class = &cloud_class;
    store->live = mem_alloc(sizeof(*store->live));
    init_live(store->live, place->uploads);
    keep = &store->base;
    TRY(bucket_open(place->wals, &place->bucket, &store->bucket, &prefix));
    store->root = mem_printf("%s%s%s/wals/", prefix, *prefix ? "/" : "", place->server);
    store->staging = mem_dup(place->staging_directory);
    store->history_tags = copy_list(place->history_tags);
    store->removal_batch = place->removal_batch;
    store->uploads = place->uploads;
    store->alone = place->alone;
    *ret_store = take(keep);
    return 0;
}

static const StoreClass cloud_class = {
    .remote = true,
    .workers = cloud_workers,
    .free = cloud_free,
    .path = cloud_path,
    .stat = cloud_stat,
    .holds = cloud_holds,
    .read = cloud_read,
    .digest = cloud_digest,
    .put_begin = cloud_put_begin,
    .put_write = cloud_put_write,
    .put_finish = cloud_put_finish,
    .put_publish = cloud_put_publish,
    .put_free = cloud_put_free,
    .list = cloud_list,
    .remove = cloud_remove,
    .is_empty = cloud_is_empty,
    .ready = cloud_ready,
    .try = cloud_try,
};
