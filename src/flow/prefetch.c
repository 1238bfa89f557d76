/* SPDX-License-Identifier: PostgreSQL
 * Each recovery has a directory of its own below backup_directory/prefetch/: named by the boot of
 * the machine, since nothing in it is ever synced, and by who asks. NAME.part is being fetched by
 * whoever has a lock on it; NAME is whole and was checked. What was taken is removed at once, and
 * what lies outside of the window that follows it, too; so there are never more than `ahead`
 * segments. */
#include "flow/prefetch.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/pipeline.h"
#include "base/proc.h"
#include "flow/place.h"
#include "wal/history.h"
#include "wal/name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

enum { THREADS = 8, POLL_MS = 2, HISTORY_MAX = 1 << 20, IDLE_S = 3600 };

static const char history_name[] = "history"; /* copy of the one that was handed out last */

static char *
root_of(const ServerConfig *server)
{
    return mem_printf("%s/prefetch", server->backup_directory);
}

static int
boot_id(char ret_id[40])
{
    AUTO(str) Str text = {0};
    TRY(file_read_text("/proc/sys/kernel/random/boot_id", 40, &text));
    snprintf(ret_id, 40, "%.*s", (int)strcspn(str_text(&text), "\n"), str_text(&text));
    return 0;
}

/* Who asks: a client by its address, else the data directory, where PostgreSQL runs
 * restore_command. */
static int
directory_of(const ServerConfig *server, char **ret_path)
{
    const char *ssh = getenv("SSH_CONNECTION");
    char id[40];
    struct stat st;
    TRY(boot_id(id));
    AUTO(free) char *root = root_of(server);
    if (ssh) {
        *ret_path = mem_printf("%s/%s.%.*s", root, id, (int)strcspn(ssh, " /"), ssh);
        return 0;
    }
    if (stat(".", &st) < 0)
        return fail_errno("look at the current directory");
    *ret_path = mem_printf("%s/%s.%llx-%llx", root, id, (unsigned long long)st.st_dev,
                           (unsigned long long)st.st_ino);
    return 0;
}

static int
make_directory(const char *path)
{
    AUTO(free) char *root = mem_dup(path);
    *strrchr(root, '/') = '\0';
    if ((mkdir(root, 0700) < 0 && errno != EEXIST) || (mkdir(path, 0700) < 0 && errno != EEXIST))
        return fail_errno("create directory '%s'", path);
    return 0;
}

/* Fetching one segment */

/* NAME.part, locked, if nobody else has it: then -1. */
static int
claim(const char *path, const char *part)
{
    AUTO(close) int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -1;
    /* Meanwhile its holder may have finished. */
    if (!file_has_name(fd, part))
        return -1;
    if (access(path, F_OK) == 0 || ftruncate(fd, 0) < 0) {
        (void)unlink(part);
        return -1;
    }
    return take_fd(&fd);
}

/* Whatever goes wrong, the recovery asks the archive itself. */
static void
fetch(const Retrieval *what, const char *directory, const char *name)
{
    AUTO(free) char *path = mem_printf("%s/%s", directory, name);
    AUTO(free) char *part = mem_printf("%s.part", path);
    AUTO(close) int fd = claim(path, part);
    if (fd < 0)
        return;
    Retrieval ahead = *what;
    ahead.name = name;
    ahead.directory = NULL;
    ahead.partial = false;
    ahead.ret_segment_size = NULL;
    ahead.fd = fd;
    ahead.deadline_ms = 0;
    int result = retrieve(&ahead);
    if (result < 0)
        log_debug("fetch '%s' ahead: %s", name, error_last()->text);
    if (result != 0 || rename(part, path) < 0)
        (void)unlink(part);
}

typedef struct Fill {
    const Retrieval *what;
    const char *directory;
    const StrList *names;
} Fill;

static void
fetch_item(void *context, size_t item, int worker)
{
    const Fill *fill = context;
    (void)worker;
    fetch(fill->what, fill->directory, fill->names->items[item]);
}

static int
fill(Fill *fill)
{
    AUTO(store) Store *store = NULL; /* one for all, which keeps its connections */
    size_t count = fill->names->count;
    int threads = count < THREADS ? (int)count : THREADS;
    Retrieval what = *fill->what;
    TRY(archive_need(what.server, 0, &store));
    what.store = store;
    fill->what = &what;
    return pipeline_run(count, threads, fetch_item, fill);
}

/* The window: what PostgreSQL will ask for next */

/* The history that was handed out last, and of which timeline it is; 0 when there is none. */
static Timeline
read_history(const char *directory, Arena *arena, History *ret_history)
{
    AUTO(str) Str text = {0};
    AUTO(free) char *path = mem_printf("%s/%s", directory, history_name);
    if (access(path, F_OK) < 0 || file_read_text(path, HISTORY_MAX, &text) < 0)
        return 0;
    char *body = strchr(text.data, '\n'); /* first line: whose history it is */
    int64_t newest = 0;
    if (!body || history_parse(body, arena, ret_history) < 0)
        return 0;
    *body = '\0';
    return int_parse(text.data, 1, UINT32_MAX, &newest) ? (Timeline)newest : 0;
}

/* The timeline of the segment that begins at lsn: the newest of the recovery that has begun there,
 * as in PostgreSQL's XLogFileReadAnyTLI(). */
static Timeline
timeline_at(const History *history, Timeline newest, Lsn lsn, uint32_t segment_size)
{
    for (size_t i = history->count; i > 0; i--) {
        if (history->entries[i - 1].switch_lsn / segment_size * segment_size <= lsn)
            return newest;
        newest = history->entries[i - 1].parent;
    }
    return newest;
}

static void
window_after(const char *directory, const char *name, uint32_t segment_size, size_t ahead,
             StrList *ret_names)
{
    AUTO(arena) Arena *arena = arena_new();
    History history = {0};
    Timeline newest = read_history(directory, arena, &history);
    WalName next;
    Lsn lsn = 0;
    wal_name_parse(name, &next);
    for (size_t i = 0; i < ahead && wal_name_next(&next, segment_size, &next); i++) {
        char text[WAL_NAME_ROOM];
        if (!wal_segment_start(&next, segment_size, &lsn))
            return;
        if (newest)
            next.timeline = timeline_at(&history, newest, lsn, segment_size);
        wal_name_format(&next, text);
        strlist_add(ret_names, text);
    }
}

static bool
is_listed(const StrList *names, const char *name, size_t length)
{
    for (size_t i = 0; i < names->count; i++)
        if (strlen(names->items[i]) == length && strncmp(names->items[i], name, length) == 0)
            return true;
    return false;
}

static void
remove_others(const char *directory, const StrList *names)
{
    AUTO(closedir) DIR *dir = opendir(directory);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        size_t length = strcspn(name, ".");
        if (length > 0 && strcmp(name, history_name) != 0 && !is_listed(names, name, length))
            (void)unlinkat(dirfd(dir), name, 0);
    }
}

/* Without those that are there, or on their way: its lock is held. */
static void
leave_missing(const char *directory, StrList *names)
{
    size_t kept = 0;
    for (size_t i = 0; i < names->count; i++) {
        AUTO(free) char *path = mem_printf("%s/%s", directory, names->items[i]);
        AUTO(free) char *part = mem_printf("%s.part", path);
        AUTO(close) int fd = open(part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        bool coming = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
        if (!coming && access(path, F_OK) < 0)
            names->items[kept++] = names->items[i];
        else
            free(names->items[i]);
    }
    names->count = kept;
}

static void
go_ahead(const Retrieval *what, const char *directory, uint32_t segment_size, size_t ahead)
{
    AUTO(strlist) StrList names = {0};
    window_after(directory, what->name, segment_size, ahead, &names);
    remove_others(directory, &names);
    leave_missing(directory, &names);
    /* Several at a time: who fetches has first to load what speaks with a distant archive. */
    if (names.count == 0 || names.count < ahead / 2 || proc_fork_detached() != PROC_CHILD)
        return;
    Fill work = {.what = what, .directory = directory, .names = &names};
    _exit(fill(&work) < 0);
}

/* Taking */

/* While somebody fetches it. False when there is nothing to wait for any more, or for too long. */
static bool
await(const char *path, int64_t deadline)
{
    AUTO(free) char *part = mem_printf("%s.part", path);
    while (access(path, F_OK) < 0) {
        AUTO(close) int fd = open(part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            return access(path, F_OK) == 0; /* finished this moment, or never begun */
        if (flock(fd, LOCK_SH | LOCK_NB) == 0 || clock_ms() >= deadline || stop_signal())
            return access(path, F_OK) == 0;
        clock_pause_ms(POLL_MS);
    }
    return true;
}

static int
take_file(const Retrieval *what, const char *directory)
{
    AUTO(free) char *path = mem_printf("%s/%s", directory, what->name);
    if (!await(path, clock_ms() + what->deadline_ms))
        return RETRIEVE_MISSING;
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return RETRIEVE_MISSING;
    (void)unlink(path); /* one try: what cannot be handed out is asked of the archive next time */
    return retrieve_from(what, fd, path);
}

/* Of the timeline that the recovery follows: PostgreSQL asks for it before it asks for segments. */
static void
keep_history(const Retrieval *what, const char *directory)
{
    WalName name;
    AUTO(free) char *part = mem_printf("%s/%s.part", directory, history_name);
    AUTO(free) char *path = mem_printf("%s/%s", directory, history_name);
    AUTO(close) int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    wal_name_parse(what->name, &name);
    Retrieval copy = *what;
    copy.directory = NULL;
    copy.fd = fd;
    copy.deadline_ms = 0;
    if (fd < 0 || dprintf(fd, "%u\n", name.timeline) < 0 || retrieve(&copy) != 0 ||
        rename(part, path) < 0)
        (void)unlink(part);
}

int
prefetch_retrieve(const Retrieval *what, size_t ahead)
{
    AUTO(free) char *directory = NULL;
    WalKind kind = wal_kind(what->name);
    uint32_t segment_size = 0;
    Retrieval plain = *what;
    plain.ret_segment_size = &segment_size;
    if (directory_of(what->server, &directory) < 0 || make_directory(directory) < 0) {
        log_warning("nothing is fetched ahead: %s", error_last()->text);
        return retrieve(what);
    }
    int result = kind == WAL_SEGMENT ? take_file(&plain, directory) : RETRIEVE_MISSING;
    if (result == RETRIEVE_MISSING)
        result = retrieve(&plain);
    if (result == 0 && kind == WAL_HISTORY)
        keep_history(what, directory);
    if (result == 0 && kind == WAL_SEGMENT && wal_segment_size_valid(segment_size))
        go_ahead(what, directory, segment_size, ahead);
    return result;
}

int
prefetch_sweep(const ServerConfig *server)
{
    char id[40];
    AUTO(free) char *root = root_of(server);
    AUTO(closedir) DIR *dir = opendir(root);
    StrList nothing = {0};
    if (!dir)
        return errno == ENOENT ? 0 : fail_errno("open directory '%s'", root);
    TRY(boot_id(id));
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;
        AUTO(free) char *path = mem_printf("%s/%s", root, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        if (str_starts(entry->d_name, id) && time(NULL) - st.st_mtime < IDLE_S)
            continue;
        remove_others(path, &nothing);
        AUTO(free) char *history = mem_printf("%s/%s", path, history_name);
        (void)unlink(history);
        (void)rmdir(path);
    }
    return 0;
}
