/* SPDX-License-Identifier: PostgreSQL
 * One helper for each call: what it needs (ssh, TLS, credentials) stays out of the server, and its
 * end cannot be ours. */
#include "pgmodule/relay.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

/* A helper that is not done with one file after this hangs, although it has deadlines of its own.
 */
enum { TIMEOUT_MS = 3600 * 1000, COMPARE_MS = 60 * 1000, ARGUMENTS_MAX = 12 };

static bool
given(const char *text)
{
    return text && *text;
}

const char *
relay_lacks(const Relay *relay)
{
    if (!given(relay->server))
        return "walden.server";
    return relay->road == RELAY_PUT_WAL && !given(relay->host) ? "walden.host" : NULL;
}

typedef struct Words {
    const char *argv[ARGUMENTS_MAX + 1];
    size_t count;
} Words;

static void
add(Words *words, const char *word)
{
    assert(words->count < ARGUMENTS_MAX);
    words->argv[words->count++] = word;
}

static void
add_program(const Relay *relay, const char *usual, Words *words)
{
    add(words, given(relay->program) ? relay->program : usual);
    if (given(relay->config_file)) {
        add(words, "--config");
        add(words, relay->config_file);
    }
}

/* user: [USER@]HOST, which is cut in two here. */
static void
list_put_wal(const Relay *relay, char *user, Words *words)
{
    char *at = strchr(user, '@');
    add_program(relay, "barman-wal-archive", words);
    if (at) {
        *at = '\0';
        add(words, "--user");
        add(words, user);
    }
    add(words, at ? at + 1 : user);
}

static void
list_object_store(const Relay *relay, Words *words)
{
    add_program(relay, "walden", words);
    add(words, "cloud-wal-archive");
    add(words, "--parallel");
    add(words, "4");
}

/* Done when the program said so. It ends with the archiver, which may be killed: the next one
 * starts another for the same file. */
static int
run(const Relay *relay, ProcSpec *spec)
{
    char text[PROC_STATUS_ROOM];
    int status = 0;
    spec->stdin_fd = spec->stdout_fd = -1;
    spec->stop = relay->stop;
    spec->tied = true;
    TRY(proc_run(spec, &status));
    if (status == 0)
        return 0;
    proc_status_format(status, text);
    return fail(ERR_HOOK, "'%s' ended with %s%s%s", spec->argv[0], text,
                *spec->stderr_tail ? ": " : "", spec->stderr_tail);
}

int
relay_file(const Relay *relay, const char *path)
{
    Words words = {.count = 0};
    AUTO(free) char *user = mem_dup(relay->host ? relay->host : "");
    if (relay->road == RELAY_PUT_WAL)
        list_put_wal(relay, user, &words);
    else
        list_object_store(relay, &words);
    add(&words, relay->server);
    add(&words, path);
    ProcSpec spec = {.argv = words.argv, .timeout_ms = TIMEOUT_MS};
    return run(relay, &spec);
}

typedef struct Comparison {
    const char *path;
    int fd;
    bool different;
} Comparison;

static int
compare_piece(void *context, const void *data, size_t size)
{
    Comparison *comparison = context;
    char ours[4096];
    for (size_t done = 0, got = 0; done < size && !comparison->different; done += got) {
        size_t part = size - done < sizeof(ours) ? size - done : sizeof(ours);
        TRY(file_read(comparison->fd, ours, part, comparison->path, &got));
        comparison->different = got < part || memcmp(ours, (const char *)data + done, got) != 0;
    }
    return comparison->different ? fail(ERR_DATA, "other contents") : 0;
}

int
relay_compare(const Relay *relay, const char *name, const char *path)
{
    Words words = {.count = 0};
    char more;
    size_t got = 0;
    AUTO(close) int fd = -1;
    if (!given(relay->server))
        return fail(ERR_CONFIG, "walden.server is not set");
    TRY(file_open(path, &fd));
    add_program(relay, "walden", &words);
    add(&words, "get-wal");
    add(&words, "--prefetch"); /* this is no recovery */
    add(&words, "0");
    add(&words, relay->server);
    add(&words, name);
    Comparison comparison = {.path = path, .fd = fd};
    ProcSpec spec = {.argv = words.argv,
                     .on_data = compare_piece,
                     .context = &comparison,
                     .timeout_ms = COMPARE_MS};
    int result = run(relay, &spec);
    if (comparison.different)
        return RELAY_DIFFERENT;
    TRY(result);
    TRY(file_read(fd, &more, 1, path, &got));
    return got ? RELAY_DIFFERENT : 0;
}
