/* SPDX-License-Identifier: PostgreSQL
 * AtomicFile: how everything that we keep comes into being. A name appears only by link(2), which
 * never replaces an existing file whoever races; only atomic_replace may, and says so.
 *
 * A file opened with O_TMPFILE has no name at all until then, so a crash leaves nothing. File
 * systems without it (NFS) get a named temporary file; dir_sweep clears those that a crash left. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>

enum { UNIQUE_DIGITS = 16, TRIES = 8, STALE_SECONDS = 3600 };

/* Nobody else's name: on a shared file system other hosts and containers make files here, too, with
 * our pid if it so happens. */
static int
make_temp_name(const AtomicFile *file, char **ret_path)
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return fail_errno("get random bytes");
    *ret_path = mem_printf("%s/.%s.%0*llx.tmp", file->dir, file->name, UNIQUE_DIGITS,
                           (unsigned long long)random);
    return 0;
}

/* A temporary file is locked as long as its maker lives: what can be locked is stale. A sweep that
 * came between making and locking has removed it, or is about to. */
static bool
is_ours(int fd)
{
    struct stat st;
    bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    return locked && fstat(fd, &st) == 0 && st.st_nlink > 0;
}

static int
open_named(AtomicFile *file, mode_t mode)
{
    for (int i = 0; i < TRIES; i++) {
        AUTO(free) char *path = NULL;
        TRY(make_temp_name(file, &path));
        file->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (file->fd < 0)
            return fail_errno("create '%s'", path);
        if (is_ours(file->fd)) {
            file->temp = take(path);
            return 0;
        }
        close(take_fd(&file->fd));
    }
    return fail(ERR_BUSY, "make '%s/%s': somebody removes its temporary file", file->dir,
                file->name);
}

/* Giving a nameless file its name goes through /proc; without it, names from the start. */
static bool
nameless_possible(void)
{
    return access("/proc/self/fd", X_OK) == 0;
}

int
atomic_open(const char *dir, const char *name, mode_t mode, AtomicFile *ret_file)
{
    AtomicFile file = {.fd = -1, .dir = mem_dup(dir), .name = mem_dup(name)};
    int result = 0;
    if (nameless_possible())
        file.fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, mode);
    else
        errno = EOPNOTSUPP;
    /* EISDIR: a kernel that has never heard of O_TMPFILE. */
    if (file.fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        result = open_named(&file, mode);
    else if (file.fd < 0)
        result = fail_errno("create a file in '%s'", dir);
    if (result < 0) {
        Error error = *error_last();
        atomic_close(&file);
        error_restore(&error);
        return result;
    }
    *ret_file = file;
    return 0;
}

static int
link_as(AtomicFile *file, const char *path)
{
    if (file->temp)
        return linkat(AT_FDCWD, file->temp, AT_FDCWD, path, 0);
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

static int
drop_temp(AtomicFile *file)
{
    if (!file->temp)
        return 0;
    int result = unlink(file->temp) < 0 ? fail_errno("remove '%s'", file->temp) : 0;
    free(take(file->temp));
    return result;
}

/* For where a nameless file can get no name. */
static int
make_named(AtomicFile *file)
{
    AUTO(close) int nameless = file->fd;
    int result = open_named(file, 0600);
    if (result < 0) {
        file->fd = take_fd(&nameless);
        return result;
    }
    return file_copy(nameless, file->fd, file->name);
}

/* Is another way worth trying? ENOENT: there is no /proc, or somebody has removed the only name of
 * a file that was to get a second one. EPERM: also links to files of others (protected_hardlinks).
 */
static bool
has_no_links(int error)
{
    return error == EPERM || error == EXDEV || error == EMLINK || error == ENOENT ||
           error == EACCES || error == EOPNOTSUPP || error == ENOSYS;
}

/* File systems without hard links can still refuse to replace; all others have link(2). */
static int
rename_as(AtomicFile *file, const char *path)
{
    if (renameat2(AT_FDCWD, file->temp, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
        return -1;
    free(take(file->temp));
    return 0;
}

int
atomic_publish(AtomicFile *file)
{
    AUTO(free) char *path = mem_printf("%s/%s", file->dir, file->name);
    if (link_as(file, path) == 0)
        return drop_temp(file);
    if (errno == EEXIST)
        return ATOMIC_EXISTS;
    if (has_no_links(errno) && !file->temp) {
        TRY(make_named(file));
        return atomic_publish(file);
    }
    if (has_no_links(errno)) {
        if (rename_as(file, path) == 0)
            return 0;
        if (errno == EEXIST)
            return ATOMIC_EXISTS;
    }
    return fail_errno("publish '%s'", path);
}

void
atomic_withdraw(const AtomicFile *file)
{
    AUTO(free) char *path = mem_printf("%s/%s", file->dir, file->name);
    if (file_has_name(file->fd, path))
        unlink(path);
}

int
atomic_replace(AtomicFile *file)
{
    AUTO(free) char *path = mem_printf("%s/%s", file->dir, file->name);
    TRY(file_sync(file->fd, path));
    if (!file->temp) {
        AUTO(free) char *temp = NULL;
        TRY(make_temp_name(file, &temp));
        (void)flock(file->fd, LOCK_EX | LOCK_NB); /* it can be seen from now on */
        if (link_as(file, temp) < 0)
            return fail_errno("create '%s'", temp);
        file->temp = take(temp);
    }
    if (rename(file->temp, path) < 0)
        return fail_errno("rename '%s' to '%s'", file->temp, path);
    free(take(file->temp));
    return dir_sync(file->dir);
}

void
atomic_close(AtomicFile *file)
{
    if (file->temp)
        unlink(file->temp);
    if (file->fd >= 0)
        close(file->fd);
    free(file->temp);
    free(file->dir);
    free(file->name);
    *file = ATOMIC_NONE;
}

static bool
is_temp_name(const char *name)
{
    size_t length = strlen(name), tail = 1 + UNIQUE_DIGITS + strlen(".tmp");
    if (name[0] != '.' || length < 2 + tail || !str_ends(name, ".tmp"))
        return false;
    const char *unique = name + length - tail;
    return *unique == '.' && strspn(unique + 1, "0123456789abcdef") == UNIQUE_DIGITS;
}

/* Is its maker gone? Where there are no locks: has nobody written to it for an hour? */
static bool
is_stale(int fd)
{
    struct stat st;
    return flock(fd, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && fstat(fd, &st) == 0 &&
                                                 st.st_mtime < time(NULL) - STALE_SECONDS);
}

int
dir_sweep(const char *path)
{
    AUTO(closedir) DIR *dir = opendir(path);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return fail_errno("open directory '%s'", path);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!is_temp_name(entry->d_name))
            continue;
        AUTO(close)
        int fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && is_stale(fd) && unlinkat(dirfd(dir), entry->d_name, 0) < 0 &&
            errno != ENOENT)
            return fail_errno("remove stale '%s/%s'", path, entry->d_name);
    }
    return 0;
}
