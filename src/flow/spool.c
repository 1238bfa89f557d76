/* SPDX-License-Identifier: PostgreSQL
 * The spool holds no more than is fetched ahead at one time, is private to one source and one data
 * directory, and is never believed: what lies in it is checked again before it is used. It never
 * reads what Barman's own client leaves in the root, which may be half a file. */
#include "flow/spool.h"

#include "base/crc32c.h"

#include <errno.h>
#include <fcntl.h>

enum { STALE_AFTER = 24 * 60 * 60 };

static const char prefix[] = "walden-"; /* of the names of the spools in the root */

char *
spool_directory(const char *root, const char *server, const char *source)
{
    AUTO(free) char *label = mem_dup(server);
    for (char *at = label; *at; at++)
        if (*at == '/' || (unsigned char)*at <= ' ')
            *at = '_';
    return mem_printf("%s/%s%.60s-%08x", root, prefix, label, crc32c(0, source, strlen(source)));
}

/* 0, or SPOOL_MISSING when there is no such directory */
static int
check_private(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? SPOOL_MISSING : fail_errno("stat '%s'", path);
    if (S_ISDIR(st.st_mode) && (st.st_uid == geteuid() || st.st_uid == 0) &&
        (!(st.st_mode & 022) || (st.st_mode & S_ISVTX)))
        return 0;
    return hint(fail(ERR_CONFIG, "'%s' is not a directory that only its owner can write to", path),
                "remove it, or choose another one with --spool-dir");
}

/* Whoever may write to the root could exchange two spools that are both ours. */
static int
check_both(const char *root, const char *directory)
{
    int result = check_private(root);
    return result ? result : check_private(directory);
}

int
spool_make(const char *root, const char *directory)
{
    if (mkdir(root, 0700) < 0 && errno != EEXIST)
        return fail_errno("create directory '%s'", root);
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return fail_errno("create directory '%s'", directory);
    int result = check_both(root, directory);
    return result == SPOOL_MISSING ? fail(ERR_IO, "'%s' has vanished", directory) : result;
}

static int
check_spooled(const Order *order, const char *path, int fd)
{
    char head[WAL_LONG_HEADER_SIZE];
    size_t got = 0;
    int64_t fill = 0;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return fail_errno("stat '%s'", path);
    TRY(file_read(fd, head, sizeof(head), path, &got));
    int result = delivery_check(order, head, got, st.st_size, &fill);
    if (result == 0 && fill) /* nothing stands in for anything here */
        return fail(ERR_DATA, "'%s' is not whole", path);
    return result == DELIVERY_NOTHING ? fail(ERR_DATA, "'%s' is empty", path) : result;
}

static int
hand_over(const char *path, int fd, const char *to_dir, const char *to_name)
{
    AUTO(free) char *to = mem_printf("%s/%s", to_dir, to_name);
    if (rename(path, to) == 0)
        return dir_sync(to_dir);
    if (errno != EXDEV)
        return fail_errno("rename '%s' to '%s'", path, to);
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    TRY(atomic_open(to_dir, to_name, 0600, &file));
    TRY(file_copy(fd, file.fd, to));
    TRY(atomic_replace(&file));
    return unlink(path) < 0 ? fail_errno("remove '%s'", path) : 0;
}

int
spool_take(const char *root, const char *directory, const Order *order, const char *to_dir,
           const char *to_name)
{
    AUTO(free) char *path = mem_printf("%s/%s", directory, order->name);
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return SPOOL_MISSING;
    if (fd < 0)
        return fail_errno("open '%s'", path);
    int result = check_both(root, directory);
    if (result != 0)
        return result;
    if (check_spooled(order, path, fd) < 0) {
        unlink(path);
        return SPOOL_MISSING;
    }
    return hand_over(path, fd, to_dir, to_name);
}

static bool
is_kept(const StrList *keep, const char *name)
{
    for (size_t i = 0; keep && i < keep->count; i++)
        if (strcmp(keep->items[i], name) == 0)
            return true;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Temporary files that may still be written stay; others' WAL files go. */
static int
clear(const char *directory, const StrList *keep)
{
    TRY(dir_sweep(directory));
    AUTO(closedir) DIR *dir = opendir(directory);
    if (!dir)
        return fail_errno("open directory '%s'", directory);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (wal_kind(entry->d_name) != WAL_NONE && !is_kept(keep, entry->d_name) &&
            unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT)
            return fail_errno("remove '%s/%s'", directory, entry->d_name);
    return 0;
}

/* Of a recovery that has ended long ago; one that cannot be removed is somebody else's. */
static void
remove_stale(const char *root, const char *name)
{
    AUTO(free) char *path = mem_printf("%s/%s", root, name);
    struct stat st;
    if (check_private(path) == 0 && lstat(path, &st) == 0 &&
        time(NULL) - st.st_mtim.tv_sec > STALE_AFTER && clear(path, NULL) == 0)
        rmdir(path);
}

int
spool_sweep(const char *root, const char *directory, const StrList *keep)
{
    AUTO(closedir) DIR *dir = opendir(root);
    if (!dir)
        return fail_errno("open directory '%s'", root);
    const char *own = strrchr(directory, '/') + 1;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (str_starts(entry->d_name, prefix) && strcmp(entry->d_name, own) != 0)
            remove_stale(root, entry->d_name);
    return clear(directory, keep);
}

int
spool_add(AtomicFile *file)
{
    TRY(file_sync(file->fd, file->name));
    int result = atomic_publish(file);
    return result < 0 ? result : dir_sync(file->dir);
}
