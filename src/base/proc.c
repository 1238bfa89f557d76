/* SPDX-License-Identifier: PostgreSQL
 * Starting programs without a shell of our own choosing, reading what they print, and ending them
 * in time together with everything they started. */
#include "base/proc.h"

#include "base/clock.h"
#include "base/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

extern char **environ;

static atomic_int stop_flag;

static void
note_stop(int signal_number)
{
    stop_flag = signal_number;
}

void
stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = note_stop}; /* no SA_RESTART: waits must end */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

int
stop_signal(void)
{
    return stop_flag;
}

int
stop_check(void)
{
    if (!stop_flag)
        return 0;
    return fail(ERR_STOPPED, "stopped by signal %d", (int)stop_flag);
}

/* A signal between a look at the flag and the wait would be slept over; so it is let in only while
 * we wait. */
int
stop_poll(struct pollfd *polls, size_t count, int64_t timeout_ms)
{
    struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000};
    sigset_t stops, before;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stops, &before);
    int ready = stop_flag ? 0 : ppoll(polls, count, &timeout, &before);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return ready < 0 && error == EINTR ? 0 : ready;
}

void
proc_status_format(int status, char *ret_text)
{
    if (status >= 256)
        snprintf(ret_text, PROC_STATUS_ROOM, "signal %d", status - 256);
    else
        snprintf(ret_text, PROC_STATUS_ROOM, "exit code %d", status);
}

/* Our environment with the additions in place of entries of the same name. */
static char **
build_environment(const ProcSpec *spec, Arena *arena)
{
    size_t count = 0, added = spec->env ? spec->env->count : 0;
    while (environ[count])
        count++;
    char **result = arena_alloc(arena, (count + added + 2) * sizeof(char *));
    size_t filled = 0;
    for (size_t i = 0; i < count; i++) {
        size_t name = strcspn(environ[i], "=") + 1;
        bool replaced = spec->path_prefix && str_starts(environ[i], "PATH=");
        for (size_t j = 0; j < added && !replaced; j++)
            replaced = strncmp(environ[i], spec->env->items[j], name) == 0;
        if (!replaced)
            result[filled++] = environ[i];
    }
    for (size_t j = 0; j < added; j++)
        result[filled++] = spec->env->items[j];
    const char *path = getenv("PATH");
    if (spec->path_prefix)
        /* An empty part of PATH would be the working directory. */
        result[filled++] = arena_printf(arena, "PATH=%s%s%s", spec->path_prefix,
                                        path && *path ? ":" : "", path ? path : "");
    return result;
}

typedef struct Pipe {
    int fd; /* our end, -1 once closed */
    bool is_stderr;
    Str line;
} Pipe;

static void
line_end(ProcSpec *spec, Pipe *from)
{
    if (from->is_stderr)
        snprintf(spec->stderr_tail, sizeof(spec->stderr_tail), "%s", str_text(&from->line));
    if (spec->on_line)
        spec->on_line(spec->context, from->is_stderr, str_text(&from->line));
    str_clear(&from->line);
}

/* Takes what is there; closes the pipe at its end. A line without end is cut at 4 KiB. */
static void
drain(ProcSpec *spec, Pipe *from)
{
    char buffer[4096];
    ssize_t got = read(from->fd, buffer, sizeof(buffer));
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    for (ssize_t i = 0; i < got; i++) {
        if (buffer[i] == '\n' || from->line.length >= sizeof(buffer))
            line_end(spec, from);
        if (buffer[i] != '\n')
            str_append_part(&from->line, buffer + i, 1);
    }
    if (got > 0)
        return;
    if (from->line.length)
        line_end(spec, from);
    close(from->fd);
    from->fd = -1;
}

static int
spawn(const ProcSpec *spec, const int pipes[2][2], pid_t *ret_pid)
{
    AUTO(arena) Arena *arena = arena_new();
    const char *const shell_argv[] = {"/bin/sh", "-c", spec->shell, NULL};
    const char *const *argv = spec->shell ? shell_argv : spec->argv;

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (spec->stdin_fd >= 0)
        posix_spawn_file_actions_adddup2(&actions, spec->stdin_fd, STDIN_FILENO);
    else
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, spec->stdout_fd >= 0 ? spec->stdout_fd : pipes[0][1],
                                     STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipes[1][1], STDERR_FILENO);

    posix_spawnattr_t attributes;
    sigset_t defaults, none;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETPGROUP);
    int error = posix_spawnp(ret_pid, argv[0], &actions, &attributes, (char *const *)argv,
                             build_environment(spec, arena));
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error) {
        errno = error;
        fail_errno("start '%s'", spec->shell ? spec->shell : argv[0]);
        Error failure = *error_last();
        failure.class = ERR_HOOK;
        error_restore(&failure);
        return -1;
    }
    return 0;
}

/* SIGTERM to the whole group, two seconds of patience, SIGKILL. */
static void
end_group(pid_t pid)
{
    kill(-pid, SIGTERM);
    for (int i = 0; i < 100; i++) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid)
            break;
        clock_pause_ms(20);
    }
    kill(-pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* Follows the program until it has ended. Its end counts, not the end of its output: a hook may
 * leave a daemon behind that keeps the pipes. */
static int
follow(ProcSpec *spec, pid_t pid, Pipe pipes[2], int *ret_wait_status)
{
    int64_t deadline = spec->timeout_ms ? clock_ms() + spec->timeout_ms : INT64_MAX;
    for (bool ended = false;;) {
        struct pollfd polls[2] = {{.fd = pipes[0].fd, .events = POLLIN},
                                  {.fd = pipes[1].fd, .events = POLLIN}};
        int ready = poll(polls, 2, ended ? 0 : 20);
        for (int i = 0; i < 2 && ready > 0; i++)
            if (polls[i].revents)
                drain(spec, &pipes[i]);
        if (ended && ready <= 0)
            return 0;
        if (!ended)
            ended = waitpid(pid, ret_wait_status, WNOHANG) == pid;
        if (ended)
            continue;
        if (stop_signal()) {
            end_group(pid);
            return stop_check();
        }
        if (clock_ms() >= deadline) {
            end_group(pid);
            return fail(ERR_TIMEOUT, "'%s' was ended after %lld ms",
                        spec->shell ? spec->shell : spec->argv[0], (long long)spec->timeout_ms);
        }
    }
}

int
proc_run(ProcSpec *spec, int *ret_status)
{
    int ends[2][2] = {{-1, -1}, {-1, -1}};
    if (pipe2(ends[0], O_CLOEXEC) < 0 || pipe2(ends[1], O_CLOEXEC) < 0) {
        close(ends[0][0]);
        close(ends[0][1]);
        return fail_errno("make a pipe");
    }
    pid_t pid = 0;
    int wait_status = 0;
    int result = spawn(spec, ends, &pid);
    close(ends[0][1]);
    close(ends[1][1]);
    Pipe pipes[2] = {{.fd = ends[0][0]}, {.fd = ends[1][0], .is_stderr = true}};
    if (result == 0)
        result = follow(spec, pid, pipes, &wait_status);
    for (int i = 0; i < 2; i++) {
        if (pipes[i].fd >= 0)
            close(pipes[i].fd);
        str_done(&pipes[i].line);
    }
    TRY(result);
    *ret_status = WIFSIGNALED(wait_status) ? 256 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    return 0;
}
