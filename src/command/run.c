/* SPDX-License-Identifier: PostgreSQL
 * walden run: the supervisor. Keeps for each server the processes of task.c, which are this program
 * again, starts again what ends, and passes on reloads and stops. It touches no WAL itself: what it
 * does may go wrong, or it may be killed, and nothing is lost. All signals come through one
 * descriptor, so that nothing happens between two steps of the loop. */
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/service.h"
#include "command/command.h"
#include "command/task.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

enum {
    LOCK_WAIT_MS = 200,
    PAUSE_MIN_MS = 1000,  /* before what has ended is started again; doubled each time */
    PAUSE_MAX_MS = 15000, /* a server may wait for its synchronous receiver */
    STEADY_MS = 60000,    /* what ran so long begins with the short pause again */
    STOP_MS = 4000,       /* patience with what was told to end */
    LEAVE_MS = 500,       /* and with what was killed */
};

/* Not for one server but for all of them */
static const Task metrics_task = {.command = "metrics", .stay = "--listen"};

typedef struct Child {
    char *subject; /* name of the server; of metrics, where it listens */
    const Task *task;
    char *settings; /* of the server, as they are now: a change ends the process */
    bool wanted;
    pid_t pid; /* 0: does not run */
    int64_t started;
    int64_t due;     /* when to start it, while it does not run */
    int64_t kill_at; /* when to kill it, once it was told to end; else 0 */
    int64_t pause_ms;
} Child;

typedef struct Supervisor {
    const Config *config;
    char *program;
    int signals;         /* signalfd */
    int64_t watchdog_ms; /* how often the service manager wants to hear of us; 0: never */
    Child *children;
    size_t count;
} Supervisor;

/* Everything that can be configured, as text that is only compared. */
static char *
settings_of(const Config *config, const ServerConfig *server)
{
    size_t count = 0;
    const OptionInfo *options = option_all(&count);
    AUTO(arena) Arena *arena = arena_new();
    AUTO(str) Str text = {0};
    for (size_t i = 0; i < count; i++) {
        const char *value = option_value(&options[i], config, server, arena);
        str_appendf(&text, "%s=%s\n", options[i].name, value ? value : "");
    }
    return mem_dup(str_text(&text));
}

static void
dismiss(Child *child)
{
    if (child->pid == 0 || child->kill_at)
        return;
    kill(child->pid, SIGTERM);
    child->kill_at = clock_ms() + STOP_MS;
}

static Child *
find_child(Supervisor *supervisor, const char *subject, const Task *task)
{
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->children[i].task == task &&
            strcmp(supervisor->children[i].subject, subject) == 0)
            return &supervisor->children[i];
    supervisor->children = mem_resize(supervisor->children, supervisor->count + 1, sizeof(Child));
    Child *child = &supervisor->children[supervisor->count++];
    *child = (Child){.subject = mem_dup(subject), .task = task};
    return child;
}

/* It should run, with these settings: one that runs with others is ended first. */
static void
want(Supervisor *supervisor, const char *subject, const Task *task, const char *settings)
{
    Child *child = find_child(supervisor, subject, task);
    if (!child->settings || strcmp(child->settings, settings) != 0) {
        dismiss(child);
        child->due = 0;
        child->pause_ms = PAUSE_MIN_MS;
    }
    free(child->settings);
    child->settings = mem_dup(settings);
    child->wanted = true;
}

/* A fault in its options, which may be of a moment, is no reason to stop receiving its WAL. */
static void
leave_alone(Supervisor *supervisor, const ServerConfig *server)
{
    log_error("server '%s': %s; what runs for it goes on as before", server->name,
              server->messages.items[0]);
    for (size_t i = 0; i < supervisor->count; i++) {
        Child *child = &supervisor->children[i];
        if (child->task != &metrics_task && strcmp(child->subject, server->name) == 0)
            child->wanted = child->pid != 0 && child->kill_at == 0;
    }
}

/* Compares what should run with what does. */
static void
plan(Supervisor *supervisor)
{
    const Config *config = supervisor->config;
    for (size_t i = 0; i < supervisor->count; i++)
        supervisor->children[i].wanted = false;
    AUTO(str) Str all = {0};
    for (size_t i = 0; i < config->server_count; i++) {
        const ServerConfig *server = &config->servers[i];
        AUTO(free) char *settings = settings_of(config, server);
        str_append(&all, settings);
        if (server->active && server->disabled)
            leave_alone(supervisor, server);
        for (size_t t = 0; t < task_count(); t++)
            if (task_wanted(task_at(t), server))
                want(supervisor, server->name, task_at(t), settings);
    }
    if (config->metrics_listen)
        want(supervisor, config->metrics_listen, &metrics_task, str_text(&all));
    for (size_t i = 0; i < supervisor->count; i++)
        if (!supervisor->children[i].wanted)
            dismiss(&supervisor->children[i]);
}

static void
postpone(Child *child)
{
    child->due = clock_ms() + child->pause_ms;
    child->pause_ms *= 2;
    if (child->pause_ms > PAUSE_MAX_MS)
        child->pause_ms = PAUSE_MAX_MS;
}

static void
start(const Supervisor *supervisor, Child *child)
{
    const Task *task = child->task;
    const char *const argv[] = {supervisor->program,
                                "-c",
                                supervisor->config->path,
                                "-q",
                                task->command,
                                task->stay ? task->stay : child->subject,
                                task->stay ? child->subject : NULL,
                                NULL};
    child->started = clock_ms();
    child->kill_at = 0;
    if (proc_start(argv, &child->pid) == 0) {
        log_info("%s for '%s' runs as process %d", task->command, child->subject, (int)child->pid);
        return;
    }
    child->pid = 0;
    log_error("%s for '%s': %s", task->command, child->subject, error_last()->text);
    postpone(child);
}

static void
note_end(Child *child, int wait_status)
{
    char status[PROC_STATUS_ROOM];
    bool told = child->kill_at != 0;
    proc_status_format(
        WIFSIGNALED(wait_status) ? 256 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status), status);
    child->pid = 0;
    child->kill_at = 0;
    if (told) {
        log_info("%s for '%s' has ended", child->task->command, child->subject);
        return;
    }
    if (child->task->period_s) {
        child->due = clock_ms() + child->task->period_s * 1000;
        if (wait_status != 0)
            log_warning("%s for '%s' ended with %s, starting it again in %lld s",
                        child->task->command, child->subject, status,
                        (long long)child->task->period_s);
        return;
    }
    if (clock_ms() - child->started >= STEADY_MS)
        child->pause_ms = PAUSE_MIN_MS;
    log_warning("%s for '%s' ended with %s, starting it again in %lld s", child->task->command,
                child->subject, status, (long long)child->pause_ms / 1000);
    postpone(child);
}

static void
reap(Supervisor *supervisor)
{
    int status = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < supervisor->count; i++)
            if (supervisor->children[i].pid == pid)
                note_end(&supervisor->children[i], status);
}

static void
sooner(int64_t *next, int64_t time)
{
    if (time < *next)
        *next = time;
}

/* Does what is due; when the next thing will be, INT64_MAX for never. */
static int64_t
attend(const Supervisor *supervisor, bool stopping)
{
    int64_t now = clock_ms(), next = INT64_MAX;
    for (size_t i = 0; i < supervisor->count; i++) {
        Child *child = &supervisor->children[i];
        if (child->pid == 0 && child->wanted && !stopping && child->due <= now)
            start(supervisor, child);
        if (child->kill_at && child->kill_at <= now) {
            log_warning("%s for '%s' did not end in time and is killed", child->task->command,
                        child->subject);
            kill(-child->pid, SIGKILL); /* and what it has started */
            child->kill_at = INT64_MAX;
        }
        if (child->pid == 0 && child->wanted && !stopping)
            sooner(&next, child->due);
        if (child->kill_at)
            sooner(&next, child->kill_at);
    }
    return next;
}

/* The next signal, or 0 when the time has come. */
static int
await_signal(const Supervisor *supervisor, int64_t until)
{
    struct signalfd_siginfo info;
    struct pollfd polled = {.fd = supervisor->signals, .events = POLLIN};
    if (supervisor->watchdog_ms) {
        service_notify("WATCHDOG=1");
        sooner(&until, clock_ms() + supervisor->watchdog_ms);
    }
    int64_t left = until - clock_ms();
    if (until != INT64_MAX && left > PAUSE_MAX_MS)
        left = PAUSE_MAX_MS;
    if (poll(&polled, 1, until == INT64_MAX ? -1 : left > 0 ? (int)left : 0) <= 0)
        return 0;
    return read(supervisor->signals, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

/* A configuration that cannot be read changes nothing. */
static void
reload(Supervisor *supervisor, const Invocation *invocation, Config **owned)
{
    Config *config = NULL;
    AUTO(free)
    char *state = mem_printf("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_ms() * 1000);
    service_notify(state);
    int result = config_load(supervisor->config->path, &config);
    service_notify("READY=1");
    if (result < 0) {
        log_error("the configuration was not read again: %s", error_last()->text);
        return;
    }
    command_open_log(invocation, config);
    supervisor->config = config;
    log_info("the configuration was read again");
    plan(supervisor);
    if (*owned)
        config_free(*owned);
    *owned = config;
}

static bool
any_runs(const Supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->children[i].pid)
            return true;
    return false;
}

static void
end_all(Supervisor *supervisor)
{
    int64_t leave = clock_ms() + STOP_MS + LEAVE_MS;
    for (size_t i = 0; i < supervisor->count; i++)
        dismiss(&supervisor->children[i]);
    while (any_runs(supervisor) && clock_ms() < leave) {
        int64_t next = attend(supervisor, true);
        await_signal(supervisor, next < leave ? next : leave);
        reap(supervisor);
    }
}

static void
supervise(Supervisor *supervisor, const Invocation *invocation)
{
    Config *owned = NULL;
    int signal_number = 0;
    plan(supervisor);
    service_notify("READY=1");
    while (signal_number != SIGTERM && signal_number != SIGINT) {
        signal_number = await_signal(supervisor, attend(supervisor, false));
        if (signal_number == SIGHUP)
            reload(supervisor, invocation, &owned);
        reap(supervisor);
    }
    log_info("signal %d: ending all processes", signal_number);
    service_notify("STOPPING=1");
    end_all(supervisor);
    if (owned)
        config_free(owned);
}

static int
open_signals(int *ret_fd)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    *ret_fd = signalfd(-1, &set, SFD_CLOEXEC);
    return *ret_fd < 0 ? fail_errno("listen to signals") : 0;
}

/* Two supervisors would disturb each other only by their log lines: the processes have locks. */
static int
begin(const Invocation *invocation, Supervisor *supervisor, Lock *lock)
{
    pid_t holder = 0;
    AUTO(free)
    char *path = mem_printf("%s/.walden-run.lock", invocation->config->barman_lock_directory);
    TRY(open_signals(&supervisor->signals));
    TRY(proc_own_path(&supervisor->program));
    int locked = lock_take(path, LOCK_EXCLUSIVE, LOCK_WAIT_MS, lock, &holder);
    if (locked == LOCK_BUSY)
        return fail(ERR_BUSY, "walden run is running already, as process %d", (int)holder);
    return locked;
}

static int
run(const Invocation *invocation)
{
    Supervisor supervisor = {
        .config = invocation->config, .signals = -1, .watchdog_ms = service_watchdog_ms()};
    AUTO(lock) Lock lock = LOCK_NONE;
    int result = begin(invocation, &supervisor, &lock);
    if (result == 0)
        supervise(&supervisor, invocation);
    else
        report_failure(invocation->report, error_last());
    for (size_t i = 0; i < supervisor.count; i++) {
        free(supervisor.children[i].subject);
        free(supervisor.children[i].settings);
    }
    free(supervisor.children);
    free(supervisor.program);
    if (supervisor.signals >= 0)
        close(supervisor.signals);
    return result == 0 ? EXIT_DONE : EXIT_FAILED;
}

const Command command_run = {
    .name = "run",
    .arguments = "",
    .summary = "stay, and keep all servers' processes running",
    .help = "Keeps running, for every active server, 'archive-wal --follow' and, with\n"
            "streaming_archiver, 'receive-wal'; with wal_retention, 'delete-wals' is run\n"
            "once an hour. What ends is started again: after a second at first, after up to\n"
            "15 seconds when it keeps ending. SIGHUP reads the configuration again, and\n"
            "starts again what that changes. SIGTERM and SIGINT end everything.",
    .run = run,
};
