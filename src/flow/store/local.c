/* SPDX-License-Identifier: PostgreSQL
 * The archive as a local directory: <wals>/<hash dir>/<name>, history files in <wals> itself. What
 * is published here was synced before and never takes another file's place. */
#include "flow/store/local.h"
#include "base/file.h"
#include "wal/name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

enum { WRITE_AHEAD = 4 << 20 };

typedef struct LocalPut {
    StorePut base;
    AtomicFile file;
    bool adopted;
    off_t written, started; /* bytes so far, and of these: handed to the disk */
} LocalPut;

static const StoreClass local_class;

static int
open_at(const char *directory, Store **ret_store)
{
    struct stat st;
    if (stat(directory, &st) < 0)
        return fail_errno("open archive directory '%s'", directory);
    if (!S_ISDIR(st.st_mode))
        return fail(ERR_CONFIG, "wals_directory '%s' is not a directory", directory);
    LocalStore *store = mem_alloc(sizeof(*store));
    store->base.class = &local_class;
    store->directory = mem_dup(directory);
    store->device = st.st_dev;
    pthread_mutex_init(&store->mutex, NULL);
    *ret_store = &store->base;
    return 0;
}

int
local_open(const StorePlace *place, bool create, Store **ret_store)
{
    AUTO(free) char *up = mem_printf("%s/..", place->wals);
    if (!create && access(place->wals, F_OK) < 0 && errno == ENOENT)
        return STORE_MISSING;
    if (create) {
        TRY(dir_make(place->wals));
        /* Whoever made the directory may have died before its name was durable. */
        TRY(dir_sync(up));
        TRY(dir_sweep(place->wals)); /* history files are made here */
    }
    return open_at(place->wals, ret_store);
}

static void
local_free(Store *base)
{
    LocalStore *store = (LocalStore *)base;
    pthread_mutex_destroy(&store->mutex);
    free(store->directory);
    free(store);
}

char *
local_path_of(const LocalStore *store, const char *name)
{
    char relative[WAL_PATH_ROOM];
    wal_relative_path(name, relative);
    return mem_printf("%s/%s", store->directory, relative);
}

static char *
local_path(const Store *store, const char *name, const char *compression)
{
    (void)compression;
    return local_path_of(local(store), name);
}

char *
local_directory_of(const LocalStore *store, const char *name)
{
    char hash_dir[WAL_HASH_DIR_ROOM];
    wal_hash_dir(name, hash_dir);
    return hash_dir[0] ? mem_printf("%s/%s", store->directory, hash_dir)
                       : mem_dup(store->directory);
}

static int
local_stat(const Store *store, const char *name, struct stat *ret_stat)
{
    AUTO(free) char *path = local_path_of(local(store), name);
    if (stat(path, ret_stat) == 0)
        return 0;
    if (errno == ENOENT)
        return STORE_MISSING;
    return fail_errno("look for '%s'", path);
}

static int
local_holds(const Store *store, const char *name)
{
    struct stat st;
    return local_stat(store, name, &st);
}

static int
local_read(const Store *store, const char *name, size_t size, int *ret_fd)
{
    AUTO(free) char *path = local_path_of(local(store), name);
    (void)size;
    int result = file_open(path, ret_fd);
    return result < 0 && error_last()->os_error == ENOENT ? STORE_MISSING : result;
}

/* The first time that a run meets a hash directory it syncs the directory above, even if the hash
 * directory is there already: its maker may have died before its name was durable. */
static int
make_ready(LocalStore *store, const char *name)
{
    char hash_dir[WAL_HASH_DIR_ROOM];
    wal_hash_dir(name, hash_dir);
    if (!hash_dir[0])
        return 0;
    int result = 0;
    pthread_mutex_lock(&store->mutex);
    if (strcmp(store->ready, hash_dir) != 0) {
        AUTO(free) char *path = mem_printf("%s/%s", store->directory, hash_dir);
        result = dir_make(path);
        if (result == 0)
            result = dir_sync(store->directory);
        if (result == 0)
            result = dir_sweep(path);
        if (result == 0)
            memcpy(store->ready, hash_dir, sizeof(hash_dir));
    }
    pthread_mutex_unlock(&store->mutex);
    return result;
}

static StorePut *
new_put(LocalStore *store, AtomicFile file, bool adopted)
{
    LocalPut *put = mem_alloc(sizeof(*put));
    put->base.store = &store->base;
    put->file = file;
    put->adopted = adopted;
    return &put->base;
}

static int
local_put_begin(Store *base, const char *name, const char *compression, StorePut **ret_put)
{
    LocalStore *store = (LocalStore *)base;
    AUTO(free) char *directory = local_directory_of(store, name);
    AtomicFile file = ATOMIC_NONE;
    (void)compression;
    TRY(make_ready(store, name));
    TRY(atomic_open(directory, name, 0666, &file));
    *ret_put = new_put(store, file, false);
    return 0;
}

static int
local_put_adopt(Store *base, const char *name, int source_fd, StorePut **ret_put)
{
    LocalStore *store = (LocalStore *)base;
    struct stat st;
    if (fstat(source_fd, &st) < 0)
        return fail_errno("stat '%s'", name);
    /* A source with another name already may be a segment in the server's own pg_wal that somebody
     * linked to incoming/, and the server will write into it again. One that is not ours may be
     * written to by its owner, and links to such files may be forbidden. */
    bool ours = st.st_uid == geteuid() || geteuid() == 0;
    if (st.st_dev != store->device || st.st_nlink != 1 || !ours || store->links_fail)
        return STORE_CANNOT_LINK;
    TRY(make_ready(store, name));
    int fd = fcntl(source_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno("duplicate the descriptor of '%s'", name);
    AtomicFile file = {.fd = fd, .dir = local_directory_of(store, name), .name = mem_dup(name)};
    *ret_put = new_put(store, file, true);
    return 0;
}

static int
local_put_fd(const StorePut *put)
{
    return ((const LocalPut *)put)->file.fd;
}

/* The disk begins at once, so that the sync at the end finds little left to do. */
static void
start_writing(LocalPut *put)
{
    sync_file_range(put->file.fd, put->started, 0, SYNC_FILE_RANGE_WRITE);
    put->started = put->written;
}

static int
local_put_write(StorePut *base, const void *data, size_t size)
{
    LocalPut *put = (LocalPut *)base;
    assert(!put->adopted);
    TRY(file_write(put->file.fd, data, size, put->file.name));
    put->written += (off_t)size;
    if (put->written - put->started >= WRITE_AHEAD)
        start_writing(put);
    return 0;
}

/* Beside the contents, in the inode: it is synced, moved and removed with the file. Where the file
 * system has no place for it, it is not known later. */
static const char digest_attribute[] = "user.walden.sha256";

static void
keep_digest(const LocalPut *put, const char *sha256)
{
    if (sha256)
        (void)fsetxattr(put->file.fd, digest_attribute, sha256, strlen(sha256), 0);
    else /* the source may have had one */
        (void)fremovexattr(put->file.fd, digest_attribute);
}

static int
local_digest(const Store *store, const char *name, char ret_sha256[OBJECT_SHA256_ROOM])
{
    char text[OBJECT_SHA256_ROOM];
    AUTO(free) char *path = local_path_of(local(store), name);
    ssize_t size = getxattr(path, digest_attribute, text, sizeof(text));
    if (size < 0 && errno == ENOENT)
        return STORE_MISSING;
    if (size != OBJECT_SHA256_ROOM - 1)
        return STORE_UNKNOWN;
    memcpy(ret_sha256, text, (size_t)size);
    ret_sha256[size] = '\0';
    return 0;
}

static int
local_put_finish(StorePut *base, int source_fd, const struct stat *source, const char *sha256,
                 int64_t *ret_size)
{
    LocalPut *put = (LocalPut *)base;
    struct stat st;
    /* An adopted file may never have been synced by whoever wrote it. That is all there is to do
     * for it, so here, where it is done for several files at once. */
    if (put->adopted)
        TRY(file_sync(put->file.fd, put->file.name));
    else
        TRY(file_copy_attributes(source_fd, source, put->file.fd, put->file.name));
    keep_digest(put, sha256);
    if (fstat(put->file.fd, &st) < 0)
        return fail_errno("stat '%s'", put->file.name);
    start_writing(put); /* until it is published the disk has some time */
    *ret_size = st.st_size;
    return 0;
}

static int
local_put_publish(StorePut *base)
{
    LocalPut *put = (LocalPut *)base;
    int source_fd = put->file.fd;
    /* Without this the name could survive a crash of the machine and the contents not. */
    if (!put->adopted)
        TRY(file_sync(put->file.fd, put->file.name));
    int result = atomic_publish(&put->file);
    if (put->adopted && put->file.fd != source_fd)
        ((LocalStore *)base->store)->links_fail = true;
    return result == ATOMIC_EXISTS ? STORE_EXISTS : result;
}

static void
local_put_free(StorePut *base)
{
    LocalPut *put = (LocalPut *)base;
    atomic_close(&put->file);
    free(put);
}

static int
local_sync(Store *store, const char *const *names, size_t count)
{
    char last[WAL_HASH_DIR_ROOM] =
        "-"; /* names come in order, so equal directories stand together */
    for (size_t i = 0; i < count; i++) {
        char hash_dir[WAL_HASH_DIR_ROOM];
        wal_hash_dir(names[i], hash_dir);
        if (strcmp(hash_dir, last) == 0)
            continue;
        memcpy(last, hash_dir, sizeof(last));
        AUTO(free) char *directory = local_directory_of(local(store), names[i]);
        TRY(dir_sync(directory));
    }
    return 0;
}

static int
local_sync_file(Store *store, const char *name)
{
    AUTO(close) int fd = -1;
    int found = local_read(store, name, SIZE_MAX, &fd);
    if (found != 0)
        return found;
    TRY(make_ready((LocalStore *)store, name));
    TRY(file_sync(fd, name));
    return local_sync(store, &name, 1);
}

/* Written like any other file that is archived, but never given its name. */
static int
local_try(Store *store)
{
    static const char text[] = "written by walden check, and removed\n";
    AUTO(store_put) StorePut *put = NULL;
    TRY(local_put_begin(store, "FFFFFFFF.history", NULL, &put));
    return local_put_write(put, text, sizeof(text) - 1);
}

static const StoreClass local_class = {
    .free = local_free,
    .path = local_path,
    .stat = local_stat,
    .holds = local_holds,
    .read = local_read,
    .digest = local_digest,
    .put_begin = local_put_begin,
    .put_adopt = local_put_adopt,
    .put_fd = local_put_fd,
    .put_write = local_put_write,
    .put_finish = local_put_finish,
    .put_publish = local_put_publish,
    .put_free = local_put_free,
    .sync = local_sync,
    .sync_file = local_sync_file,
    .list = local_list,
    .remove = local_remove,
    .is_empty = local_is_empty,
    .try = local_try,
};
