/* SPDX-License-Identifier: PostgreSQL
 * A secret has pages of its own, straight from the kernel: what the allocator hands out next may
 * end in a core file or in a message. A program's answer comes through a pipe into these pages and
 * nowhere else. */
#include "base/secret.h"

#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"

#include <fcntl.h>
#include <sys/mman.h>

int
secret_new(Secret *ret_secret)
{
    void *pages =
        mmap(NULL, SECRET_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return fail_errno("get memory for a secret");
    madvise(pages, SECRET_ROOM, MADV_DONTDUMP);
    (void)mlock(pages, SECRET_ROOM); /* an account may lock little or nothing: then without */
    *ret_secret = (Secret){.data = pages};
    return 0;
}

void
secret_done(Secret *secret)
{
    if (!secret->data)
        return;
    explicit_bzero(secret->data, SECRET_ROOM);
    munmap(secret->data, SECRET_ROOM);
    *secret = (Secret){0};
}

static int
read_into(const char *path, const char *what, Secret *secret)
{
    struct stat st;
    AUTO(close) int fd = -1;
    TRY(wrap(file_open(path, &fd), "%s", what));
    if (fstat(fd, &st) == 0 && (st.st_mode & S_IROTH))
        log_warning("%s '%s' may be read by every account of this host", what, path);
    TRY(file_read(fd, secret->data, SECRET_ROOM, path, &secret->length));
    return secret->length < SECRET_ROOM
               ? 0
               : fail(ERR_CONFIG, "%s '%s' is larger than a secret can be", what, path);
}

int
secret_read(const char *path, const char *what, Secret *ret_secret)
{
    Secret secret = {0};
    TRY(secret_new(&secret));
    int result = read_into(path, what, &secret);
    if (result < 0)
        secret_done(&secret);
    else
        *ret_secret = secret;
    return result;
}

/* The program's output waits in a pipe, which holds as much, until the program has ended. */
static int
ask_into(ProcSpec *spec, const char *what, Secret *secret)
{
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail_errno("make a pipe");
    AUTO(close) int from = ends[0];
    spec->stdout_fd = ends[1];
    int result = proc_run(spec, &status);
    close(ends[1]);
    if (result < 0 && error_last()->class == ERR_TIMEOUT)
        return fail(ERR_TIMEOUT, "%s: it was ended after %lld ms", what,
                    (long long)spec->timeout_ms);
    if (result < 0 && error_last()->class == ERR_HOOK)
        return fail(ERR_HOOK, "%s: /bin/sh cannot be started", what);
    TRY(result);
    if (status != 0) {
        char text[PROC_STATUS_ROOM];
        proc_status_format(status, text);
        return fail(ERR_HOOK, "%s: %s", what, text);
    }
    /* A child that it has left behind may hold the pipe for ever. */
    if (fcntl(from, F_SETFL, O_NONBLOCK) < 0)
        return fail_errno("read from a pipe");
    ssize_t got;
    while (secret->length < SECRET_ROOM &&
           (got = read(from, secret->data + secret->length, SECRET_ROOM - secret->length)) > 0)
        secret->length += (size_t)got;
    if (secret->length == SECRET_ROOM)
        return fail(ERR_HOOK, "%s: it has printed more than %d bytes", what, SECRET_ROOM - 1);
    return secret->length ? 0 : fail(ERR_HOOK, "%s: it has printed nothing", what);
}

int
secret_ask(const char *line, const char *what, const char *path_prefix, int64_t timeout_ms,
           Secret *ret_secret)
{
    Secret secret = {0};
    ProcSpec spec = {
        .shell = line, .path_prefix = path_prefix, .stdin_fd = -1, .timeout_ms = timeout_ms};
    TRY(secret_new(&secret));
    int result = ask_into(&spec, what, &secret);
    if (result < 0)
        secret_done(&secret);
    else
        *ret_secret = secret;
    return result;
}
