/* SPDX-License-Identifier: PostgreSQL
 * Preloaded into the program under test: lets the n-th operation on files below a directory go
 * wrong. Everything is said by the environment:
 *
 *   WALDEN_FAULT_DIR      only operations on files below this directory count
 *   WALDEN_FAULT_ONLY     only those whose names are in this list, "write,fsync"; default all
 *   WALDEN_FAULT_AT       the n-th of them, from 1, goes wrong (0: none)
 *   WALDEN_FAULT_MODE     kill-before | kill-after | error | short | torn (a short write, then
 *                         killed)
 *   WALDEN_FAULT_ERRNO    for error: the errno
 *   WALDEN_FAULT_STICKY   for error: every later one goes wrong as well
 *   WALDEN_FAULT_TRACE    a file that gets a line for each operation counted
 *   WALDEN_FAULT_DONE     a file that gets a line for each that has succeeded, counted or not:
 *                         "pwrite PATH OFFSET BYTES", "fsync PATH", "rename OLD NEW", "create PATH"
 *   WALDEN_FAULT_GATE     while this file exists, operations counted wait before they begin
 *   WALDEN_FAULT_NO_TMPFILE, WALDEN_FAULT_NO_RENAMEAT2   a file system without these
 *   WALDEN_FAULT_LINK_ERRNO   a file system that answers link(2) so
 *
 * Only what changes files is counted; reading is if the list names it. It must not use the
 * functions it stands for.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef enum Mode { NOTHING, KILL_BEFORE, KILL_AFTER, ERROR, SHORT, TORN } Mode;

static struct {
    const char *directory, *only, *gate;
    long at;
    Mode mode;
    int error, link_error, trace_fd, done_fd;
    bool sticky, no_tmpfile, no_renameat2;
} plan;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counted;

static long
number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : 0;
}

static int
open_lines(const char *name)
{
    const char *path = getenv(name);
    return path ? (int)syscall(SYS_openat, AT_FDCWD, path,
                               O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)
                : -1;
}

static void
read_plan(void)
{
    static const char *const modes[] = {"", "kill-before", "kill-after", "error", "short", "torn"};
    const char *mode = getenv("WALDEN_FAULT_MODE");
    plan.directory = getenv("WALDEN_FAULT_DIR");
    plan.only = getenv("WALDEN_FAULT_ONLY");
    plan.at = number("WALDEN_FAULT_AT");
    plan.error = (int)number("WALDEN_FAULT_ERRNO");
    plan.sticky = getenv("WALDEN_FAULT_STICKY") != NULL;
    plan.no_tmpfile = getenv("WALDEN_FAULT_NO_TMPFILE") != NULL;
    plan.no_renameat2 = getenv("WALDEN_FAULT_NO_RENAMEAT2") != NULL;
    plan.link_error = (int)number("WALDEN_FAULT_LINK_ERRNO");
    for (size_t i = 0; mode && i < COUNT_OF(modes); i++)
        if (strcmp(mode, modes[i]) == 0)
            plan.mode = (Mode)i;
    plan.trace_fd = open_lines("WALDEN_FAULT_TRACE");
    plan.done_fd = open_lines("WALDEN_FAULT_DONE");
    plan.gate = getenv("WALDEN_FAULT_GATE");
}

static bool
is_below(const char *path)
{
    size_t length = plan.directory ? strlen(plan.directory) : 0;
    return length && strncmp(path, plan.directory, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

static bool
fd_path(int fd, char ret_path[PATH_MAX])
{
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(self, ret_path, PATH_MAX - 1);
    ret_path[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* What a path relative to a directory means, as far as the program under test needs it. */
static const char *
full_path(int dir_fd, const char *path, char buffer[PATH_MAX])
{
    char directory[PATH_MAX];
    if (path[0] == '/' || dir_fd == AT_FDCWD || !fd_path(dir_fd, directory))
        return path;
    int length = snprintf(buffer, PATH_MAX, "%s/%s", directory, path);
    return length < PATH_MAX ? buffer : path;
}

static bool
is_listed(const char *operation)
{
    size_t length = strlen(operation);
    for (const char *at = plan.only; at && (at = strstr(at, operation)); at += length)
        if ((at == plan.only || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return true;
    return !plan.only;
}

static void
die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Counts the operation. What is to become of it: NOTHING lets it pass. */
static Mode
judge(const char *operation, const char *path)
{
    pthread_once(&once, read_plan);
    if (!is_below(path) || !is_listed(operation))
        return NOTHING;
    pthread_mutex_lock(&mutex);
    long n = ++counted;
    pthread_mutex_unlock(&mutex);
    if (plan.trace_fd >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof(line), "%ld %s %s\n", n, operation, path);
        syscall(SYS_write, plan.trace_fd, line, (size_t)length);
    }
    struct timespec nap = {.tv_nsec = 2000000};
    while (plan.gate && syscall(SYS_faccessat, AT_FDCWD, plan.gate, F_OK) == 0)
        syscall(SYS_nanosleep, &nap, NULL);
    bool hit = plan.at && (n == plan.at || (plan.sticky && n > plan.at));
    if (hit && plan.mode == KILL_BEFORE)
        die();
    if (hit && plan.mode == ERROR)
        errno = plan.error;
    return hit ? plan.mode : NOTHING;
}

static Mode
judge_fd(const char *operation, int fd)
{
    char path[PATH_MAX];
    return fd_path(fd, path) ? judge(operation, path) : NOTHING;
}

/* A line of WALDEN_FAULT_DONE, unless the operation has failed; returns result. Before anybody else
 * can know of the success. */
static long
note(long result, const char *path, const char *format, ...) __attribute__((format(printf, 3, 4)));

static long
note(long result, const char *path, const char *format, ...)
{
    if (result < 0 || plan.done_fd < 0 || !is_below(path))
        return result;
    char line[2 * PATH_MAX + 64];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    syscall(SYS_write, plan.done_fd, line, (size_t)length);
    return result;
}

static long
note_fd(long result, int fd, const char *operation)
{
    char path[PATH_MAX];
    return plan.done_fd >= 0 && fd_path(fd, path) ? note(result, path, "%s %s\n", operation, path)
                                                  : result;
}

static long
finish(Mode mode, long result)
{
    if (mode == KILL_AFTER || mode == TORN)
        die();
    return result;
}

/* The system call itself, unless the operation is to fail. */
#define PERFORM(mode, ...)                                                                         \
    ({                                                                                             \
        Mode once_ = (mode);                                                                       \
        once_ == ERROR ? -1 : finish(once_, syscall(__VA_ARGS__));                                 \
    })

static size_t
write_size(Mode mode, size_t size)
{
    return (mode == SHORT || mode == TORN) && size > 1 ? size / 2 : size;
}

static int
open_it(int dir_fd, const char *path, int flags, mode_t mode)
{
    char buffer[PATH_MAX];
    const char *full = full_path(dir_fd, path, buffer);
    pthread_once(&once, read_plan);
    if ((flags & O_TMPFILE) == O_TMPFILE && plan.no_tmpfile && is_below(full)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    Mode fate = writes ? judge("open", full) : NOTHING;
    int fd = (int)PERFORM(fate, SYS_openat, dir_fd, path, flags, mode);
    return flags & O_CREAT ? (int)note(fd, full, "create %s\n", full) : fd;
}

#define OPEN_MODE(flags)                                                                           \
    mode_t mode = 0;                                                                               \
    if (((flags)&O_CREAT) || ((flags)&O_TMPFILE) == O_TMPFILE) {                                   \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }

EXPORT int
open(const char *path, int flags, ...)
{
    OPEN_MODE(flags)
    return open_it(AT_FDCWD, path, flags, mode);
}

EXPORT int
open64(const char *path, int flags, ...)
{
    OPEN_MODE(flags)
    return open_it(AT_FDCWD, path, flags, mode);
}

EXPORT int
openat(int dir_fd, const char *path, int flags, ...)
{
    OPEN_MODE(flags)
    return open_it(dir_fd, path, flags, mode);
}

EXPORT int
openat64(int dir_fd, const char *path, int flags, ...)
{
    OPEN_MODE(flags)
    return open_it(dir_fd, path, flags, mode);
}

EXPORT ssize_t
read(int fd, void *data, size_t size)
{
    pthread_once(&once, read_plan);
    Mode fate = plan.only ? judge_fd("read", fd) : NOTHING;
    return PERFORM(fate, SYS_read, fd, data, size);
}

EXPORT ssize_t
write(int fd, const void *data, size_t size)
{
    Mode fate = judge_fd("write", fd);
    return PERFORM(fate, SYS_write, fd, data, write_size(fate, size));
}

EXPORT ssize_t
pwrite(int fd, const void *data, size_t size, off_t at)
{
    char path[PATH_MAX];
    Mode fate = judge_fd("pwrite", fd);
    ssize_t written = PERFORM(fate, SYS_pwrite64, fd, data, write_size(fate, size), at);
    if (plan.done_fd >= 0 && fd_path(fd, path))
        note(written, path, "pwrite %s %lld %zd\n", path, (long long)at, written);
    return written;
}

EXPORT ssize_t
pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return pwrite(fd, data, size, at);
}

EXPORT int
fsync(int fd)
{
    return (int)note_fd(PERFORM(judge_fd("fsync", fd), SYS_fsync, fd), fd, "fsync");
}

EXPORT int
fdatasync(int fd)
{
    return (int)note_fd(PERFORM(judge_fd("fdatasync", fd), SYS_fdatasync, fd), fd, "fsync");
}

EXPORT int
ftruncate(int fd, off_t size)
{
    return (int)PERFORM(judge_fd("ftruncate", fd), SYS_ftruncate, fd, size);
}

EXPORT int
ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

EXPORT int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    char buffer[PATH_MAX];
    const char *full = full_path(to_fd, to, buffer);
    Mode fate = judge("link", full);
    if (plan.link_error && is_below(full)) {
        errno = plan.link_error;
        return -1;
    }
    return (int)PERFORM(fate, SYS_linkat, from_fd, from, to_fd, to, flags);
}

EXPORT int
link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int
renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    char buffer[PATH_MAX];
    const char *full = full_path(to_fd, to, buffer);
    Mode fate = judge("rename", full);
    if (flags && plan.no_renameat2 && is_below(full)) {
        errno = EINVAL;
        return -1;
    }
    int result = (int)PERFORM(fate, SYS_renameat2, from_fd, from, to_fd, to, flags);
    return (int)note(result, full, "rename %s %s\n", from, full);
}

EXPORT int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return renameat2(from_fd, from, to_fd, to, 0);
}

EXPORT int
rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int
unlinkat(int dir_fd, const char *path, int flags)
{
    char buffer[PATH_MAX];
    return (int)PERFORM(judge("unlink", full_path(dir_fd, path, buffer)), SYS_unlinkat, dir_fd,
                        path, flags);
}

EXPORT int
unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

EXPORT int
mkdirat(int dir_fd, const char *path, mode_t mode)
{
    char buffer[PATH_MAX];
    return (int)PERFORM(judge("mkdir", full_path(dir_fd, path, buffer)), SYS_mkdirat, dir_fd, path,
                        mode);
}

EXPORT int
mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

EXPORT int
fchmod(int fd, mode_t mode)
{
    return (int)PERFORM(judge_fd("fchmod", fd), SYS_fchmod, fd, mode);
}

EXPORT int
futimens(int fd, const struct timespec times[2])
{
    return (int)PERFORM(judge_fd("futimens", fd), SYS_utimensat, fd, NULL, times, 0);
}

EXPORT int
flock(int fd, int operation)
{
    return (int)PERFORM(judge_fd("flock", fd), SYS_flock, fd, operation);
}
