/* SPDX-License-Identifier: PostgreSQL
 * The archive as a local directory: <wals>/<hash dir>/<name>, history files in <wals> itself. What
 * is published here was synced before and never takes another file's place. */
#include "flow/store/store.h"

#include "base/file.h"
#include "wal/name.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

enum { WRITE_AHEAD = 4 << 20 };

struct Store {
    char *directory;
    dev_t device;
    atomic_bool links_fail; /* a link to a source was refused: no need to try again */
    pthread_mutex_t mutex;
    char ready[WAL_HASH_DIR_ROOM]; /* the hash directory that was last made sure of */
};

struct StorePut {
    Store *store;
    AtomicFile file;
    bool adopted;
    off_t written, started; /* bytes so far, and of these: handed to the disk */
};

static int
open_at(const char *directory, Store **ret_store)
{
    struct stat st;
    if (stat(directory, &st) < 0)
        return fail_errno("open archive directory '%s'", directory);
    if (!S_ISDIR(st.st_mode))
        return fail(ERR_CONFIG, "wals_directory '%s' is not a directory", directory);
    Store *store = mem_alloc(sizeof(*store));
    store->directory = mem_dup(directory);
    store->device = st.st_dev;
    pthread_mutex_init(&store->mutex, NULL);
    *ret_store = store;
    return 0;
}

int
store_open(const char *directory, Store **ret_store)
{
    AUTO(free) char *up = mem_printf("%s/..", directory);
    TRY(dir_make(directory));
    /* Whoever made the directory may have died before its name was durable. */
    TRY(dir_sync(up));
    TRY(dir_sweep(directory)); /* history files are made here */
    return open_at(directory, ret_store);
}

int
store_open_existing(const char *directory, Store **ret_store)
{
    if (access(directory, F_OK) < 0 && errno == ENOENT)
        return STORE_MISSING;
    return open_at(directory, ret_store);
}

void
store_free(Store *store)
{
    if (!store)
        return;
    pthread_mutex_destroy(&store->mutex);
    free(store->directory);
    free(store);
}

char *
store_path(const Store *store, const char *name)
{
    char relative[WAL_PATH_ROOM];
    wal_relative_path(name, relative);
    return mem_printf("%s/%s", store->directory, relative);
}

static char *
directory_of(const Store *store, const char *name)
{
    char hash_dir[WAL_HASH_DIR_ROOM];
    wal_hash_dir(name, hash_dir);
    return hash_dir[0] ? mem_printf("%s/%s", store->directory, hash_dir)
                       : mem_dup(store->directory);
}

int
store_stat(const Store *store, const char *name, struct stat *ret_stat)
{
    AUTO(free) char *path = store_path(store, name);
    if (stat(path, ret_stat) == 0)
        return 0;
    if (errno == ENOENT)
        return STORE_MISSING;
    return fail_errno("look for '%s'", path);
}

int
store_read(const Store *store, const char *name, int *ret_fd)
{
    AUTO(free) char *path = store_path(store, name);
    int result = file_open(path, ret_fd);
    return result < 0 && error_last()->os_error == ENOENT ? STORE_MISSING : result;
}

/* The first time that a run meets a hash directory it syncs the directory above, even if the hash
 * directory is there already: its maker may have died before its name was durable. */
static int
make_ready(Store *store, const char *name)
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

int
store_put_begin(Store *store, const char *name, StorePut **ret_put)
{
    AUTO(free) char *directory = directory_of(store, name);
    AtomicFile file = ATOMIC_NONE;
    TRY(make_ready(store, name));
    TRY(atomic_open(directory, name, 0666, &file));
    StorePut *put = mem_alloc(sizeof(*put));
    put->store = store;
    put->file = file;
    *ret_put = put;
    return 0;
}

int
store_put_adopt(Store *store, const char *name, int source_fd, StorePut **ret_put)
{
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
    StorePut *put = mem_alloc(sizeof(*put));
    put->store = store;
    put->file = (AtomicFile){.fd = fd, .dir = directory_of(store, name), .name = mem_dup(name)};
    put->adopted = true;
    *ret_put = put;
    return 0;
}

int
store_put_fd(const StorePut *put)
{
    return put->file.fd;
}

/* The disk begins at once, so that the sync at the end finds little left to do. */
static void
start_writing(StorePut *put)
{
    sync_file_range(put->file.fd, put->started, 0, SYNC_FILE_RANGE_WRITE);
    put->started = put->written;
}

int
store_put_write(void *context, const void *data, size_t size)
{
    StorePut *put = context;
    assert(!put->adopted);
    TRY(file_write(put->file.fd, data, size, put->file.name));
    put->written += (off_t)size;
    if (put->written - put->started >= WRITE_AHEAD)
        start_writing(put);
    return 0;
}

int
store_put_finish(StorePut *put, int source_fd, const struct stat *source, int64_t *ret_size)
{
    struct stat st;
    /* An adopted file may never have been synced by whoever wrote it. That is all there is to do
     * for it, so here, where it is done for several files at once. */
    if (put->adopted)
        TRY(file_sync(put->file.fd, put->file.name));
    else
        TRY(file_copy_attributes(source_fd, source, put->file.fd, put->file.name));
    if (fstat(put->file.fd, &st) < 0)
        return fail_errno("stat '%s'", put->file.name);
    start_writing(put); /* until it is published the disk has some time */
    *ret_size = st.st_size;
    return 0;
}

int
store_put_publish(StorePut *put)
{
    int source_fd = put->file.fd;
    /* Without this the name could survive a crash of the machine and the contents not. */
    if (!put->adopted)
        TRY(file_sync(put->file.fd, put->file.name));
    int result = atomic_publish(&put->file);
    if (put->adopted && put->file.fd != source_fd)
        put->store->links_fail = true;
    return result == ATOMIC_EXISTS ? STORE_EXISTS : result;
}

void
store_put_free(StorePut *put)
{
    if (!put)
        return;
    atomic_close(&put->file);
    free(put);
}

int
store_sync(Store *store, const char *const *names, size_t count)
{
    char last[WAL_HASH_DIR_ROOM] =
        "-"; /* names come in order, so equal directories stand together */
    for (size_t i = 0; i < count; i++) {
        char hash_dir[WAL_HASH_DIR_ROOM];
        wal_hash_dir(names[i], hash_dir);
        if (strcmp(hash_dir, last) == 0)
            continue;
        memcpy(last, hash_dir, sizeof(last));
        AUTO(free) char *directory = directory_of(store, names[i]);
        TRY(dir_sync(directory));
    }
    return 0;
}

int
store_sync_file(Store *store, const char *name, int fd)
{
    TRY(make_ready(store, name));
    TRY(file_sync(fd, name));
    return store_sync(store, &name, 1);
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "" for a regular file; else a mark that makes it no WAL file's name. Links are followed, as
 * elsewhere in the archive. */
static const char *
type_mark(DIR *dir, const struct dirent *entry)
{
    struct stat st = {0};
    if (entry->d_type == DT_REG)
        return "";
    if (entry->d_type == DT_DIR)
        return "/";
    if (fstatat(dirfd(dir), entry->d_name, &st, 0) < 0)
        return "?";
    return S_ISREG(st.st_mode) ? "" : S_ISDIR(st.st_mode) ? "/" : "?";
}

/* The entries of a directory in byte order, dot-files left out. */
static int
list_sorted(const char *path, StrList *ret_names)
{
    AUTO(closedir) DIR *dir = opendir(path);
    if (!dir)
        return fail_errno("open directory '%s'", path);
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0)
        if (entry->d_name[0] != '.')
            strlist_addf(ret_names, "%s%s", entry->d_name, type_mark(dir, entry));
    if (errno)
        return fail_errno("read directory '%s'", path);
    if (ret_names->count)
        qsort(ret_names->items, ret_names->count, sizeof(char *), by_name);
    return 0;
}

static bool
is_hash_dir(const char *name)
{
    size_t digits = strspn(name, "0123456789ABCDEF");
    return digits == WAL_HASH_DIR_ROOM - 1 && strcmp(name + digits, "/") == 0;
}

static bool
is_file(const Store *store, const char *name)
{
    struct stat st;
    AUTO(free) char *path = store_path(store, name);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static int
list_hash_dir(const Store *store, const char *hash_dir, StoreVisit *visit, void *context,
              size_t *strangers)
{
    AUTO(strlist) StrList names = {0};
    AUTO(free) char *path = mem_printf("%s/%s", store->directory, hash_dir);
    TRY(list_sorted(path, &names));
    for (size_t i = 0; i < names.count; i++) {
        char expected[WAL_HASH_DIR_ROOM] = "";
        WalKind kind = wal_kind(names.items[i]);
        if (kind != WAL_NONE)
            wal_hash_dir(names.items[i], expected);
        bool fits = strcmp(expected, hash_dir) == 0;
        if (fits && is_file(store, names.items[i]))
            TRY(visit(context, names.items[i]));
        else
            ++*strangers;
    }
    return 0;
}

/* The hash directories among the names that are wanted; all of them without a `wanted`. */
static int
list_hash_dirs(const Store *store, StrList *names, StoreWants *wanted, StoreVisit *visit,
               void *context, size_t *strangers)
{
    for (size_t i = 0; i < names->count; i++) {
        if (!is_hash_dir(names->items[i]))
            continue;
        names->items[i][WAL_HASH_DIR_ROOM - 1] = '\0';
        if (!wanted || wanted(context, names->items[i]))
            TRY(list_hash_dir(store, names->items[i], visit, context, strangers));
    }
    return 0;
}

int
store_list(const Store *store, StoreVisit *visit, void *context, size_t *ret_strangers)
{
    AUTO(strlist) StrList names = {0};
    size_t strangers = 0;
    TRY(list_sorted(store->directory, &names));
    for (size_t i = 0; i < names.count; i++)
        if (wal_kind(names.items[i]) == WAL_HISTORY && is_file(store, names.items[i]))
            TRY(visit(context, names.items[i]));
    TRY(list_hash_dirs(store, &names, NULL, visit, context, &strangers));
    *ret_strangers = strangers;
    return 0;
}

int
store_list_some(const Store *store, StoreWants *wanted, StoreVisit *visit, void *context,
                size_t *ret_strangers)
{
    AUTO(strlist) StrList names = {0};
    size_t strangers = 0;
    TRY(list_sorted(store->directory, &names));
    TRY(list_hash_dirs(store, &names, wanted, visit, context, &strangers));
    *ret_strangers = strangers;
    return 0;
}

static void
remove_file(const Store *store, StoreRemoval *removal)
{
    AUTO(free) char *path = store_path(store, removal->name);
    removal->missing = false;
    removal->error = NULL;
    if (unlink(path) == 0)
        return;
    removal->missing = errno == ENOENT || errno == ENOTDIR;
    if (!removal->missing) {
        fail_errno("remove '%s'", path);
        removal->error = mem_dup(error_last()->text);
    }
}

/* Files are gone from it. Never more than this one directory is removed, and never one with
 * anything in it: files of other names, whoever put them there, are not ours to judge. An archiver
 * that was about to put a file here fails and finds its source again on its next run. */
static int
leave_directory(const Store *store, const char *name)
{
    char hash_dir[WAL_HASH_DIR_ROOM];
    AUTO(free) char *directory = directory_of(store, name);
    wal_hash_dir(name, hash_dir);
    if (hash_dir[0] && unlinkat(AT_FDCWD, directory, AT_REMOVEDIR) == 0)
        return 0;
    return access(directory, F_OK) < 0 && errno == ENOENT ? 0 : dir_sync(directory);
}

int
store_remove(Store *store, StoreRemoval *batch, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char here[WAL_HASH_DIR_ROOM], next[WAL_HASH_DIR_ROOM] = "-";
        remove_file(store, &batch[i]);
        wal_hash_dir(batch[i].name, here);
        if (i + 1 < count)
            wal_hash_dir(batch[i + 1].name, next);
        /* Without the syncs a crash of the machine brings files back that no catalog lists. */
        if (strcmp(here, next) != 0)
            TRY(leave_directory(store, batch[i].name));
    }
    return count ? dir_sync(store->directory) : 0;
}

bool
store_is_empty(const Store *store)
{
    AUTO(closedir) DIR *dir = opendir(store->directory);
    size_t count = 0;
    while (dir && readdir(dir))
        count++;
    return count <= 2;
}
