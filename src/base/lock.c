/* SPDX-License-Identifier: PostgreSQL
 * flock files. Waiting is polling, because flock has no deadline and a signal handler for it would
 * be the whole program's business; the pause grows to 20 ms. */
#include "base/lock.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

static pid_t
read_holder(int fd)
{
    char text[24] = "";
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    int64_t pid = 0;
    if (got > 0) {
        text[strcspn(text, "\n")] = '\0';
        if (!int_parse(text, 1, INT32_MAX, &pid))
            pid = 0;
    }
    return (pid_t)pid;
}

static int
write_holder(int fd, const char *path)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    /* Written before truncated, as Barman does: a reader never finds the file empty. */
    errno = ENOSPC; /* what a write that is cut short means */
    if (pwrite(fd, text, (size_t)length, 0) == length && ftruncate(fd, length) == 0)
        return 0;
    /* The lock counts, the pid is for people: a full disk must not keep us from making room on it.
     */
    if (errno == ENOSPC || errno == EDQUOT)
        return 0;
    return fail_errno("write our pid into lock file '%s'", path);
}

/* Does the path still lead to the file that we have locked? */
static bool
is_current(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

int
lock_take(const char *path, LockKind kind, int wait_ms, Lock *ret_lock, pid_t *ret_holder)
{
    int64_t deadline = clock_ms() + wait_ms;
    for (int pause_ms = 1;; pause_ms = pause_ms < 20 ? pause_ms * 2 : 20) {
        /* A reader may have another account than the archive's owner, whom a lock file that he
         * cannot open would keep from archiving for good. So only those who write make it. */
        int create = kind == LOCK_EXCLUSIVE ? O_CREAT : 0;
        AUTO(close) int fd = open(path, O_RDWR | create | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 && kind == LOCK_SHARED && (errno == EACCES || errno == EROFS))
            fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW); /* who may only read can share it */
        if (fd < 0 && kind == LOCK_SHARED && errno == ENOENT)
            return 0; /* nobody has locked: nobody writes */
        if (fd < 0)
            return hint(
                fail_errno("open lock file '%s'", path),
                "run as the user that owns the archive (option barman_user), and check that "
                "the directory exists");
        if (flock(fd, (kind == LOCK_SHARED ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) {
            if (!is_current(fd, path))
                continue; /* somebody removed the file while we opened it: again, at once */
            if (kind == LOCK_EXCLUSIVE)
                TRY(write_holder(fd, path));
            ret_lock->fd = take_fd(&fd);
            return 0;
        }
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail_errno("lock '%s'", path);
        TRY(stop_check());
        if (clock_ms() >= deadline) {
            *ret_holder = read_holder(fd);
            return LOCK_BUSY;
        }
        clock_pause_ms(pause_ms);
    }
}

void
lock_release(Lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd); /* the last descriptor of the file: closing releases */
    lock->fd = -1;
}
