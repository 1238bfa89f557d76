/* SPDX-License-Identifier: PostgreSQL
 * The local archive as a whole: what is in it, and taking files out of it. Only names that were
 * asked for are ever removed. */
#include "flow/store/local.h"

#include "base/file.h"
#include "wal/name.h"

#include <errno.h>
#include <fcntl.h>

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
is_file(const LocalStore *store, const char *name, struct stat *ret_stat)
{
    AUTO(free) char *path = local_path_of(store, name);
    return stat(path, ret_stat) == 0 && S_ISREG(ret_stat->st_mode);
}

static int
list_hash_dir(const LocalStore *store, const char *hash_dir, StoreVisit *visit, void *context,
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
        struct stat st;
        if (fits && is_file(store, names.items[i], &st))
            TRY(visit(context, names.items[i], &st));
        else
            ++*strangers;
    }
    return 0;
}

/* The hash directories among the names that are wanted; all of them without a `wanted`. */
static int
list_hash_dirs(const LocalStore *store, StrList *names, StoreWants *wanted, StoreVisit *visit,
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
local_list(const Store *base, StoreWants *wanted, StoreVisit *visit, void *context,
           size_t *strangers)
{
    const LocalStore *store = local(base);
    AUTO(strlist) StrList names = {0};
    struct stat st;
    TRY(list_sorted(store->directory, &names));
    for (size_t i = 0; i < names.count && !wanted; i++)
        if (wal_kind(names.items[i]) == WAL_HISTORY && is_file(store, names.items[i], &st))
            TRY(visit(context, names.items[i], &st));
    return list_hash_dirs(store, &names, wanted, visit, context, strangers);
}

static void
remove_file(const LocalStore *store, StoreRemoval *removal)
{
    AUTO(free) char *path = local_path_of(store, removal->name);
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
leave_directory(const LocalStore *store, const char *name)
{
    char hash_dir[WAL_HASH_DIR_ROOM];
    AUTO(free) char *directory = local_directory_of(store, name);
    wal_hash_dir(name, hash_dir);
    if (hash_dir[0] && unlinkat(AT_FDCWD, directory, AT_REMOVEDIR) == 0)
        return 0;
    return access(directory, F_OK) < 0 && errno == ENOENT ? 0 : dir_sync(directory);
}

int
local_remove(Store *base, StoreRemoval *batch, size_t count)
{
    const LocalStore *store = local(base);
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

int
local_is_empty(const Store *store)
{
    AUTO(closedir) DIR *dir = opendir(local(store)->directory);
    size_t count = 0;
    if (!dir)
        return fail_errno("open directory '%s'", local(store)->directory);
    while (readdir(dir))
        count++;
    return count <= 2 ? STORE_EMPTY : 0;
}
