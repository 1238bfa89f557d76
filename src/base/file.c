/* SPDX-License-Identifier: PostgreSQL
 * Whole reads and writes, and directories. The heart of durability is in atomic.c. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/xattr.h>

int
file_read(int fd, void *buffer, size_t size, const char *name, size_t *ret_got)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = read(fd, (char *)buffer + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("read '%s'", name);
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *ret_got = got;
    return 0;
}

int
file_write(int fd, const void *buffer, size_t size, const char *name)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(fd, (const char *)buffer + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("write '%s'", name);
        done += (size_t)n;
    }
    return 0;
}

int
file_open(const char *path, int *ret_fd)
{
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_errno("open '%s'", path);
    if (!S_ISREG(st.st_mode))
        return fail(ERR_DATA, "'%s' is not a regular file", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

int
file_read_text(const char *path, size_t max, Str *ret_text)
{
    AUTO(close) int fd = -1;
    TRY(file_open(path, &fd));
    char buffer[16384];
    size_t got = 0;
    str_append(ret_text, "");
    do {
        TRY(file_read(fd, buffer, sizeof(buffer), path, &got));
        if (ret_text->length + got > max)
            return fail(ERR_DATA, "'%s' is larger than %zu bytes", path, max);
        str_append_part(ret_text, buffer, got);
    } while (got == sizeof(buffer));
    return 0;
}

int
file_sync(int fd, const char *name)
{
    if (fsync(fd) < 0)
        return fail_errno("fsync '%s'", name);
    return 0;
}

int
dir_sync(const char *path)
{
    AUTO(close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno("open directory '%s'", path);
    /* Some network file systems cannot sync a directory and need not: they answer EINVAL. */
    if (fsync(fd) < 0 && errno != EINVAL)
        return fail_errno("fsync directory '%s'", path);
    return 0;
}

static int
parent_of(const char *path, char **ret_parent)
{
    AUTO(free) char *copy = mem_dup(path);
    *ret_parent = mem_dup(dirname(copy));
    return 0;
}

int
dir_make(const char *path)
{
    if (mkdir(path, 0777) == 0) {
        AUTO(free) char *parent = NULL;
        TRY(parent_of(path, &parent));
        /* Without this a crash may take the new directory away with everything synced inside it. */
        return dir_sync(parent);
    }
    if (errno == EEXIST) {
        struct stat st;
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            return 0;
        errno = ENOTDIR;
        return fail_errno("create directory '%s'", path);
    }
    if (errno != ENOENT)
        return fail_errno("create directory '%s'", path);
    AUTO(free) char *parent = NULL;
    TRY(parent_of(path, &parent));
    if (strcmp(parent, path) == 0)
        return fail_errno("create directory '%s'", path);
    TRY(dir_make(parent));
    return dir_make(path);
}

/* Extended attributes are a courtesy: not every file system has them, and none is worth a WAL file.
 */
static void
copy_user_attributes(int from_fd, int to_fd)
{
    char names[4096], value[4096];
    ssize_t length = flistxattr(from_fd, names, sizeof(names));
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
        if (!str_starts(names + at, "user."))
            continue;
        ssize_t size = fgetxattr(from_fd, names + at, value, sizeof(value));
        if (size >= 0 && fsetxattr(to_fd, names + at, value, (size_t)size, 0) < 0)
            return;
    }
}

int
file_copy_attributes(int from_fd, const struct stat *like, int to_fd, const char *name)
{
    copy_user_attributes(from_fd, to_fd);
    struct timespec times[2] = {like->st_atim, like->st_mtim};
    if (fchmod(to_fd, like->st_mode & 07777) < 0)
        return fail_errno("set the mode of '%s'", name);
    if (futimens(to_fd, times) < 0)
        return fail_errno("set the times of '%s'", name);
    return 0;
}

/* Times are not asked for: Linux (6.13 on) would give the next write to a file whose times somebody
 * has seen a time of its own, and so each sync of it an inode to write. */
bool
file_has_name(int fd, const char *path)
{
    struct statx ours, there;
    return statx(fd, "", AT_EMPTY_PATH, STATX_INO, &ours) == 0 &&
           statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO, &there) == 0 &&
           ours.stx_dev_major == there.stx_dev_major && ours.stx_dev_minor == there.stx_dev_minor &&
           ours.stx_ino == there.stx_ino;
}

bool
file_unchanged(const struct stat *before, const struct stat *now)
{
    return now->st_dev == before->st_dev && now->st_ino == before->st_ino &&
           now->st_size == before->st_size && now->st_mtim.tv_sec == before->st_mtim.tv_sec &&
           now->st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

int
file_copy(int from_fd, int to_fd, const char *name)
{
    AUTO(free) char *buffer = mem_alloc(KIB(256));
    struct stat before, now;
    int64_t total = 0;
    size_t got = 0;
    if (fstat(from_fd, &before) < 0 || lseek(from_fd, 0, SEEK_SET) < 0)
        return fail_errno("copy '%s'", name);
    do {
        TRY(file_read(from_fd, buffer, KIB(256), name, &got));
        TRY(file_write(to_fd, buffer, got, name));
        total += (int64_t)got;
    } while (got > 0);
    TRY(file_copy_attributes(from_fd, &before, to_fd, name));
    TRY(file_sync(to_fd, name));
    if (fstat(from_fd, &now) < 0)
        return fail_errno("stat '%s'", name);
    if (total != before.st_size || !file_unchanged(&before, &now))
        return fail(ERR_IO, "'%s' was changed while it was copied", name);
    return 0;
}

static int
copy_into(const char *from, const char *to_dir, const char *to_name)
{
    struct stat st;
    if (lstat(from, &st) < 0)
        return fail_errno("stat '%s'", from);
    if (!S_ISREG(st.st_mode))
        return hint(fail(ERR_DATA, "'%s' is not a regular file", from),
                    "only files can be moved to another file system: remove it");
    /* O_NONBLOCK: should it be a pipe by now, opening it would wait for somebody at its other end.
     */
    AUTO(close) int fd = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return fail_errno("open '%s'", from);
    AUTO(atomic) AtomicFile copy = ATOMIC_NONE;
    TRY(atomic_open(to_dir, to_name, 0600, &copy));
    TRY(file_copy(fd, copy.fd, from));
    return atomic_publish(&copy);
}

int
file_move(const char *from, const char *to_dir, const char *to_name)
{
    AUTO(free) char *to = mem_printf("%s/%s", to_dir, to_name);
    AUTO(free) char *from_dir = NULL;
    TRY(parent_of(from, &from_dir));
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        TRY(dir_sync(to_dir));
        return dir_sync(from_dir);
    }
    if (errno == EEXIST)
        return FILE_EXISTS;
    if (errno == ENOENT && access(from, F_OK) < 0)
        return FILE_GONE;
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS)
        return fail_errno("move '%s' to '%s'", from, to);

    int copied = copy_into(from, to_dir, to_name);
    if (copied == ATOMIC_EXISTS)
        return FILE_EXISTS;
    TRY(wrap(copied, "copy '%s' to '%s'", from, to));
    TRY(dir_sync(to_dir));
    if (unlink(from) < 0)
        return fail_errno("remove '%s'", from);
    return dir_sync(from_dir);
}
