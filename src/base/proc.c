/* SPDX-License-Identifier: PostgreSQL
 * Starting programs without a shell of our own choosing, reading what they print, and ending them
 * in time together with everything they started. */
#include "base/proc.h"

#include "base/clock.h"
#include "base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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
    int fd;                  /* our end, -1 once closed */
    bool is_stderr, refused; /* on_data has failed, and the error is recorded */
    Str line;
} Pipe;

/* The reason is often not in the last line. */
static void
remember(ProcSpec *spec, const char *line)
{
    enum { MOST = sizeof(spec->stderr_tail) - 1 };
    AUTO(free)
    char *all =
        mem_printf("%s%s%s", spec->stderr_tail, *spec->stderr_tail && *line ? "; " : "", line);
    size_t length = strlen(all), skipped = length > MOST ? length - MOST : 0;
    while ((all[skipped] & 0xC0) == 0x80) /* not in the middle of a character */
        skipped++;
    snprintf(spec->stderr_tail, sizeof(spec->stderr_tail), "%s", all + skipped);
}

static void
line_end(ProcSpec *spec, Pipe *from)
{
    if (from->is_stderr)
        remember(spec, str_text(&from->line));
    if (spec->on_line)
        spec->on_line(spec->context, from->is_stderr, str_text(&from->line));
    str_clear(&from->line);
}

enum { LINE_MAX_SIZE = 4096, DRAIN_SIZE = 32 << 10, DRAINS_AFTER_END = 16 };

/* A line without end is cut. */
static void
take_lines(ProcSpec *spec, Pipe *from, const char *data, ssize_t size)
{
    for (ssize_t i = 0; i < size; i++) {
        if (data[i] == '\n' || from->line.length >= LINE_MAX_SIZE)
            line_end(spec, from);
        if (data[i] != '\n')
            str_append_part(&from->line, data + i, 1);
    }
}

/* Takes what is there; closes the pipe at its end. */
static void
drain(ProcSpec *spec, Pipe *from)
{
    char buffer[DRAIN_SIZE];
    ssize_t got = read(from->fd, buffer, sizeof(buffer));
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got > 0 && spec->on_data && !from->is_stderr)
        from->refused = from->refused || spec->on_data(spec->context, buffer, (size_t)got) < 0;
    else
        take_lines(spec, from, buffer, got);
    if (got > 0)
        return;
    if (from->line.length)
        line_end(spec, from);
    close(from->fd);
    from->fd = -1;
}

/* Signals as a program expects them, and a group or a session of its own. */
static void
attributes_init(posix_spawnattr_t *attributes, short apart)
{
    sigset_t defaults, none;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawnattr_init(attributes);
    posix_spawnattr_setsigdefault(attributes, &defaults);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setflags(attributes,
                             (short)(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | apart));
}

/* The standard descriptors up to `nothing_to` lead nowhere, the others are ours. */
static int
start(const char *const *argv, short apart, int nothing_to, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int fd = STDIN_FILENO; fd <= nothing_to; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null",
                                         fd == STDIN_FILENO ? O_RDONLY : O_WRONLY, 0);
    posix_spawnattr_t attributes;
    attributes_init(&attributes, apart);
    errno = posix_spawn(ret_pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
    int result = errno ? fail_errno("start '%s'", argv[0]) : 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

int
proc_detach(const char *const *argv, bool keep_descriptors)
{
    pid_t pid = 0;
    return start(argv, POSIX_SPAWN_SETSID, keep_descriptors ? -1 : STDERR_FILENO, &pid);
}

int
proc_fork_detached(void)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0)
        return fail_errno("open '/dev/null'");
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
            dup2(nothing, fd);
    }
    close(nothing);
    if (pid < 0)
        return fail_errno("start a process");
    return pid > 0 ? PROC_PARENT : PROC_CHILD;
}

int
proc_start(const char *const *argv, pid_t *ret_pid)
{
    return start(argv, POSIX_SPAWN_SETPGROUP, STDIN_FILENO, ret_pid);
}

int
proc_own_path(char **ret_path)
{
    static const char replaced[] = " (deleted)"; /* put behind it by the kernel */
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (length < 0)
        return fail_errno("find our own program");
    path[length] = '\0';
    if (str_ends(path, replaced))
        path[length - (ssize_t)strlen(replaced)] = '\0';
    *ret_path = mem_dup(path);
    return 0;
}

static int
signal_to_end(const ProcSpec *spec)
{
    return spec->end_signal ? spec->end_signal : SIGTERM;
}

/* The child's part of spawn_tied, between fork and exec: nothing that could take a lock. */
static void
become_tied(const ProcSpec *spec, const int pipes[2][2], pid_t parent, char *const *environment)
{
    static const int defaults[] = {SIGPIPE, SIGINT, SIGTERM};
    sigset_t none;
    sigemptyset(&none);
    for (size_t i = 0; i < COUNT_OF(defaults); i++)
        signal(defaults[i], SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    int input = spec->stdin_fd >= 0 ? spec->stdin_fd : open("/dev/null", O_RDONLY | O_CLOEXEC);
    int output = spec->stdout_fd >= 0 ? spec->stdout_fd : pipes[0][1];
    if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(pipes[1][1], STDERR_FILENO) < 0 || prctl(PR_SET_PDEATHSIG, signal_to_end(spec)) < 0 ||
        getppid() != parent)
        return; /* who has died meanwhile sends no signal */
    execvpe(spec->argv[0], (char *const *)spec->argv, environment);
}

/* What posix_spawn cannot do. An error of exec comes back through a pipe that exec closes. */
static int
spawn_tied(const ProcSpec *spec, const int pipes[2][2], char *const *environment, pid_t *ret_pid)
{
    int news[2], error = 0;
    pid_t parent = getpid();
    if (pipe2(news, O_CLOEXEC) < 0)
        return errno;
    pid_t pid = fork();
    if (pid == 0) {
        become_tied(spec, pipes, parent, environment);
        error = errno;
        (void)!write(news[1], &error, sizeof(error));
        _exit(127);
    }
    if (pid < 0)
        error = errno;
    close(news[1]);
    if (pid > 0 && read(news[0], &error, sizeof(error)) > 0)
        waitpid(pid, NULL, 0);
    close(news[0]);
    *ret_pid = pid;
    return error;
}

static int
spawn_free(const ProcSpec *spec, const int pipes[2][2], char *const *environment, pid_t *ret_pid)
{
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
    attributes_init(&attributes, POSIX_SPAWN_SETPGROUP);
    int error =
        posix_spawnp(ret_pid, argv[0], &actions, &attributes, (char *const *)argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static int
spawn(const ProcSpec *spec, const int pipes[2][2], pid_t *ret_pid)
{
    AUTO(arena) Arena *arena = arena_new();
    char **environment = build_environment(spec, arena);
    errno = (spec->tied ? spawn_tied : spawn_free)(spec, pipes, environment, ret_pid);
    if (errno == 0)
        return 0;
    fail_errno("start '%s'", spec->shell ? spec->shell : spec->argv[0]);
    Error failure = *error_last();
    failure.class = ERR_HOOK;
    error_restore(&failure);
    return -1;
}

/* A signal to the whole group, two seconds of patience, SIGKILL. */
static void
end_group(const ProcSpec *spec, pid_t pid)
{
    kill(-pid, signal_to_end(spec));
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

/* Looks at the pipes once, for so long at most; true if there was something. */
static bool
drain_both(ProcSpec *spec, Pipe pipes[2], int pid_fd, int wait_ms)
{
    struct pollfd polls[3] = {{.fd = pipes[0].fd, .events = POLLIN},
                              {.fd = pipes[1].fd, .events = POLLIN},
                              {.fd = pid_fd, .events = POLLIN}};
    int ready = poll(polls, 3, wait_ms);
    for (int i = 0; i < 2 && ready > 0; i++)
        if (polls[i].revents)
            drain(spec, &pipes[i]);
    return ready > 0 && (polls[0].revents || polls[1].revents);
}

/* What the pipes held when it ended, and no more: others may go on writing. */
static void
drain_rest(ProcSpec *spec, Pipe pipes[2])
{
    for (int i = 0; i < DRAINS_AFTER_END && drain_both(spec, pipes, -1, 0); i++)
        continue;
}

/* Follows the program until it has ended. Its end counts, not the end of its output: a hook may
 * leave a daemon behind that keeps the pipes, and goes on writing. What they held at its end is
 * still taken. */
static int
follow(ProcSpec *spec, pid_t pid, Pipe pipes[2], int *ret_wait_status)
{
    int64_t deadline = 0, moved = -1;
    /* Tells of its end at once; without one (-1, which poll passes over) we look every 20 ms. */
    AUTO(close) int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    while (waitpid(pid, ret_wait_status, WNOHANG) != pid) {
        int64_t now_moved = spec->moved ? *spec->moved : 0;
        if (moved != now_moved)
            deadline = spec->timeout_ms ? clock_ms() + spec->timeout_ms : INT64_MAX;
        moved = now_moved;
        bool late = clock_ms() >= deadline;
        if (pipes[0].refused) {
            end_group(spec, pid);
            return -1;
        }
        bool stopped = spec->stop && spec->stop();
        if (stop_signal() || stopped || late) {
            end_group(spec, pid);
            drain_rest(spec, pipes);
            if (stopped)
                return fail(ERR_STOPPED, "told to stop");
            return !late ? stop_check()
                         : fail(ERR_TIMEOUT, "'%s' was ended after %lld ms",
                                spec->shell ? spec->shell : spec->argv[0],
                                (long long)spec->timeout_ms);
        }
        drain_both(spec, pipes, pid_fd, pid_fd < 0 ? 20 : 100);
    }
    drain_rest(spec, pipes);
    return pipes[0].refused ? -1 : 0;
}

int
proc_run(ProcSpec *spec, int *ret_status)
{
    int ends[2][2] = {{-1, -1}, {-1, -1}};
    spec->stderr_tail[0] = '\0';
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
