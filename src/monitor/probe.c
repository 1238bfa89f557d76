/* SPDX-License-Identifier: PostgreSQL
 * Each probe is a forked process that writes into memory shared with us, and sets its outcome last.
 * A process that hangs in the kernel is killed but not waited for. */
#include "monitor/probe.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/proc.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STUCK_MAX = 128, DEATH_MS = 200 };

/* Killed, but the kernel has not let them end yet. There is a limit, for who asks every 15 s. */
static pid_t stuck[STUCK_MAX];
static size_t stuck_count;

typedef struct Watched {
    pid_t pid;
    struct pollfd poll; /* of its pidfd; -1 when it has ended */
} Watched;

void *
probe_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        mem_exhausted(size);
    return memory;
}

/* Who asked may listen for others. A probe that hangs would keep his address from whoever listens
 * there next. */
static void
close_sockets(void)
{
    AUTO(closedir) DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct stat st;
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (fd > STDERR_FILENO && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
            close(fd);
    }
}

static _Noreturn void
look(Probe *probe, pid_t parent)
{
    /* Whoever asked may be killed; nobody else wants the answer. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    close_sockets();
    int result = probe->look(probe->context);
    if (result < 0)
        probe->error = *error_last();
    __atomic_store_n(&probe->outcome, result < 0 ? PROBE_FAILED : PROBE_DONE, __ATOMIC_RELEASE);
    _exit(0);
}

static int
start(Probe *probe, Watched *watched)
{
    pid_t parent = getpid();
    fflush(NULL); /* or both would print what is still in the buffers */
    probe->outcome = PROBE_LATE;
    watched->pid = fork();
    if (watched->pid < 0)
        return fail_errno("start a process to look at %s", probe->what);
    if (watched->pid == 0)
        look(probe, parent);
    watched->poll = (struct pollfd){
        .fd = (int)syscall(SYS_pidfd_open, watched->pid, 0),
        .events = POLLIN,
    };
    if (watched->poll.fd >= 0)
        return 0;
    fail_errno("watch the process that looks at %s", probe->what);
    kill(watched->pid, SIGKILL);
    return -1;
}

/* Until all have ended or the time is over */
static int
await(Watched *watched, size_t count, int64_t deadline)
{
    struct pollfd polls[PROBES_MAX];
    for (;;) {
        size_t open = 0;
        for (size_t i = 0; i < count; i++)
            if (watched[i].poll.fd >= 0)
                polls[open++] = watched[i].poll;
        int64_t left = deadline - clock_ms();
        if (open == 0 || left <= 0)
            return 0;
        TRY(stop_check());
        stop_poll(polls, open, left);
        for (size_t i = 0; i < count; i++)
            if (watched[i].poll.fd >= 0 && waitpid(watched[i].pid, NULL, WNOHANG) != 0) {
                close(watched[i].poll.fd);
                watched[i].poll.fd = -1;
            }
    }
}

static void
end(const Watched *watched)
{
    struct pollfd polled = watched->poll;
    kill(watched->pid, SIGKILL);
    poll(&polled, 1, DEATH_MS);
    if (waitpid(watched->pid, NULL, WNOHANG) == 0)
        stuck[stuck_count++] = watched->pid;
    close(watched->poll.fd);
}

static int
bury(size_t room)
{
    size_t kept = 0;
    for (size_t i = 0; i < stuck_count; i++)
        if (waitpid(stuck[i], NULL, WNOHANG) == 0)
            stuck[kept++] = stuck[i];
    stuck_count = kept;
    if (kept + room <= STUCK_MAX)
        return 0;
    return hint(fail(ERR_BUSY, "%zu processes that looked before still hang", kept),
                "a disk or file server does not answer");
}

/* Ends what still runs and says of each probe what became of it. */
static void
conclude(Probe *probes, Watched *watched, size_t count, int64_t timeout_ms)
{
    for (size_t i = 0; i < count; i++) {
        bool ended = watched[i].poll.fd < 0;
        if (!ended)
            end(&watched[i]);
        if (__atomic_load_n(&probes[i].outcome, __ATOMIC_ACQUIRE) != PROBE_LATE)
            continue;
        if (ended)
            fail(ERR_IO, "the process that looked at %s died", probes[i].what);
        else
            fail(ERR_TIMEOUT, "no answer from %s within %lld s", probes[i].what,
                 (long long)(timeout_ms + 999) / 1000);
        probes[i].error = *error_last();
        probes[i].outcome = ended ? PROBE_FAILED : PROBE_LATE;
    }
}

int
probe_all(Probe *probes, size_t count, int64_t timeout_ms)
{
    assert(count <= PROBES_MAX);
    Watched watched[PROBES_MAX];
    size_t started = 0;
    int result = 0;
    int64_t deadline = timeout_ms > 0 ? clock_ms() + timeout_ms : INT64_MAX;
    TRY(bury(count));
    while (started < count && result == 0) {
        result = start(&probes[started], &watched[started]);
        started += result == 0;
    }
    if (result == 0)
        result = await(watched, started, deadline);
    Error error = *error_last();
    conclude(probes, watched, started, timeout_ms);
    error_restore(&error);
    return result;
}
