/* SPDX-License-Identifier: PostgreSQL
 * The log's sinks. Each line is one write(2) on a descriptor in append mode, so that lines of
 * several processes and threads never mix. Failures to log are swallowed: the archive is worth
 * more. */
#include "base/log.h"

#include "base/file.h"

#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdarg.h>

static struct {
    pthread_mutex_t mutex;
    int level;
    int fd; /* of the file; -1: standard error */
    char *path;
} sink = {.mutex = PTHREAD_MUTEX_INITIALIZER, .level = LOG_WARNING, .fd = -1};

static int
open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
}

int
log_open(const char *path, int level)
{
    sink.level = level;
    if (sink.fd >= 0)
        close(sink.fd);
    sink.fd = -1;
    free(take(sink.path));
    if (!path)
        return 0;
    AUTO(free) char *copy = mem_dup(path);
    TRY(wrap(dir_make(dirname(copy)), "open log file '%s'", path));
    int fd = open_file(path);
    if (fd < 0)
        return fail_errno("open log file '%s'", path);
    sink.fd = fd;
    sink.path = mem_dup(path);
    return 0;
}

bool
log_on_stderr(void)
{
    return sink.fd < 0;
}

/* logrotate has moved the file away when the path leads elsewhere or nowhere. */
static void
follow_rotation(void)
{
    struct stat ours, theirs;
    if (fstat(sink.fd, &ours) < 0 || (stat(sink.path, &theirs) == 0 &&
                                      ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev))
        return;
    int fd = open_file(sink.path);
    if (fd >= 0) {
        close(sink.fd);
        sink.fd = fd;
    }
}

static const char *
level_name(LogLevel level)
{
    switch (level) {
    case LOG_DEBUG:
        return "DEBUG";
    case LOG_INFO:
        return "INFO";
    case LOG_WARNING:
        return "WARNING";
    case LOG_ERROR:
        return "ERROR";
    case LOG_CRITICAL:
        return "CRITICAL";
    }
    return "?";
}

void
log_line(LogLevel level, const char *format, ...)
{
    if ((int)level < sink.level)
        return;
    struct timespec now;
    struct tm parts;
    char stamp[24];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &parts);

    AUTO(str) Str line = {0};
    str_appendf(&line, "%s,%03d [%d] walden %s: ", stamp, (int)(now.tv_nsec / 1000000),
                (int)getpid(), level_name(level));
    size_t head = line.length;
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = mem_vprintf(format, args);
    va_end(args);
    str_append(&line, text);
    /* One message, one line, whatever a file name or a hook's output holds. */
    for (size_t i = head; i < line.length; i++)
        if (line.data[i] == '\n' || line.data[i] == '\r')
            line.data[i] = ' ';
    str_append(&line, "\n");

    pthread_mutex_lock(&sink.mutex);
    if (sink.fd >= 0)
        follow_rotation();
    int fd = sink.fd >= 0 ? sink.fd : STDERR_FILENO;
    if (write(fd, line.data, line.length) < 0)
        (void)0; /* nobody left to tell */
    pthread_mutex_unlock(&sink.mutex);
}

bool
log_level_parse(const char *text, int *ret_level)
{
    static const struct {
        const char *name;
        int level;
    } names[] = {{"NOTSET", 0},        {"DEBUG", LOG_DEBUG},
                 {"INFO", LOG_INFO},   {"WARNING", LOG_WARNING},
                 {"ERROR", LOG_ERROR}, {"CRITICAL", LOG_CRITICAL}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcasecmp(text, names[i].name) == 0) {
            *ret_level = names[i].level;
            return true;
        }
    int64_t number = 0;
    if (!int_parse(text, 0, 1000, &number))
        return false;
    *ret_level = (int)number;
    return true;
}
