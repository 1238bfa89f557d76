/* SPDX-License-Identifier: PostgreSQL
 * What the archive module does with a file, in the order of archive.c's first two steps: whole and
 * synced without a name, then named without replacing anything, then the directory synced.
 *
 * Syncs are what durable archiving costs, so a backlog is taken in groups: all files of a group are
 * written, then all synced (one commit of the file system's journal serves them all), then named in
 * WAL order, then the directory is synced once.
 *
 * Never touches pg_wal/ or archive_status/, never calls into PostgreSQL, never starts a thread. */
#include "pgmodule/push.h"

#include "base/clock.h"
#include "base/file.h"
#include "wal/name.h"
#include "wal/page.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

typedef struct Copy {
    char name[PUSH_NAME_ROOM];
    struct stat source;
    AtomicFile file; /* closed when the directory has such a file already */
    bool uncompared; /* with what is archived under the name */
} Copy;

typedef struct Group {
    Copy copies[PUSH_FILES];
    size_t count;
    int64_t bytes;
} Group;

static void
group_cut(Group *group, size_t count)
{
    while (group->count > count)
        atomic_close(&group->copies[--group->count].file);
}

static void
auto_group(Group *group)
{
    group_cut(group, 0);
}

int
push_to(Push *push, const char *directory)
{
    /* Relative to the data directory, which is no place for it. */
    if (*directory != '/')
        return fail(ERR_CONFIG, "'%s' is not an absolute path", directory);
    if (strlen(directory) >= sizeof(push->directory) - PUSH_NAME_ROOM)
        return fail(ERR_CONFIG, "too long a name of a directory: '%s'", directory);
    if (strcmp(push->directory, directory) != 0) {
        push->ahead_count = 0;
        beside_of(directory, &push->beside);
    }
    snprintf(push->directory, sizeof(push->directory), "%s", directory);
    return 0;
}

static int
open_source(const char *path, int *ret_fd, struct stat *ret_stat)
{
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_errno("open '%s'", path);
    if (fstat(fd, ret_stat) < 0)
        return fail_errno("stat '%s'", path);
    if (!S_ISREG(ret_stat->st_mode))
        return fail(ERR_DATA, "'%s' is not a regular file", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

static int
may_go_on(const Push *push)
{
    return push->stop && push->stop() ? fail(ERR_STOPPED, "the server is shutting down") : 0;
}

static char *
piece(Push *push, int which)
{
    size_t odd = (uintptr_t)push->room % PUSH_ALIGNMENT;
    return push->room + (odd ? PUSH_ALIGNMENT - odd : 0) + (size_t)which * PUSH_PIECE;
}

/* The file in incoming/, or in the archive, against the one in pg_wal/. Its bytes may be in memory
 * only, be it ours of before a crash: it is synced before it counts. ENTRY_GONE: it has been taken
 * from there. */
enum { ENTRY_GONE = 1, ENTRY_OTHER = 2 };

static int
compare(Push *push, const char *path, const char *there)
{
    AUTO(close) int fd = -1, there_fd = -1;
    struct stat st, there_st;
    size_t got = 0, there_got = 0;
    TRY(open_source(path, &fd, &st));
    if (open_source(there, &there_fd, &there_st) < 0)
        return error_last()->os_error == ENOENT ? ENTRY_GONE : -1;
    do {
        TRY(may_go_on(push));
        TRY(file_read(fd, piece(push, 0), PUSH_PIECE, path, &got));
        TRY(file_read(there_fd, piece(push, 1), PUSH_PIECE, there, &there_got));
        if (got != there_got || memcmp(piece(push, 0), piece(push, 1), got) != 0)
            return ENTRY_OTHER;
    } while (got > 0);
    return file_sync(there_fd, there);
}

/* The same, as a failure when the contents are others. */
static int
compare_waiting(Push *push, const char *path, const char *there)
{
    int result = compare(push, path, there);
    if (result != ENTRY_OTHER)
        return result;
    return hint(fail(ERR_DATA, "'%s' is there already, with other contents", there),
                "two servers must not archive into one directory; a copy that was cut "
                "short is moved out of the way by walden");
}

/* Named outcomes: nothing is archived under the name; something is that could not be compared. */
enum { NOT_ARCHIVED = 3, NOT_KNOWN = 4 };

/* For what we cannot read here: compressed, encrypted, or of an account that does not let us. */
static int
ask_program(Push *push, const char *name, const char *path, const char *there)
{
    bool readable = access(there, R_OK) == 0;
    int result = relay_compare(&push->program, name, path);
    if (result == 0)
        return 0;
    if (result == RELAY_DIFFERENT)
        return ENTRY_OTHER;
    if (error_last()->class == ERR_STOPPED)
        return result;
    snprintf(push->beside.notice, sizeof(push->beside.notice),
             "'%s' is archived already, %s, and whether with the same contents could not be asked: "
             "%s; the archiver will compare it",
             name, readable ? "compressed or encrypted" : "and cannot be read from here",
             error_last()->text);
    return NOT_KNOWN;
}

static int
compare_archived(Push *push, const char *name, const char *path, const char *there)
{
    int result = compare(push, path, there);
    bool clear = result == 0 || result == ENTRY_GONE ||
                 (result == ENTRY_OTHER && beside_is_plain(there, name)) ||
                 (result < 0 && error_last()->class == ERR_STOPPED);
    return clear ? result : ask_program(push, name, path, there);
}

/* 0: the archive has these contents under the name. NOT_ARCHIVED, NOT_KNOWN: it may be brought. */
static int
ask_archive(Push *push, const char *name, const char *path)
{
    char there[PATH_MAX];
    if (!beside_has(&push->beside, name, there))
        return NOT_ARCHIVED;
    int result = compare_archived(push, name, path, there);
    if (result == ENTRY_OTHER)
        return hint(fail(ERR_DATA, "'%s' is archived already, with other contents", there),
                    "does another server, or a copy of this one, archive here? Each needs an "
                    "archive of its own; see check-wal-archive");
    return result == ENTRY_GONE ? NOT_ARCHIVED : result;
}

/* Past the page cache or through it. */
static bool
set_direct(int fd, bool direct)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/* There each write past the page cache would wait for an answer, and the next one for it. */
static bool
is_distant(int fd)
{
    struct statfs where;
    if (fstatfs(fd, &where) < 0)
        return true;
    switch ((uint32_t)where.f_type) {
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case CEPH_SUPER_MAGIC:
    case FUSE_SUPER_MAGIC:
        return true;
    default:
        return false;
    }
}

/* What the server will not read again shall not take the page cache from its tables; and taking
 * pages for it costs more than writing it. Not every file system can do without, nor write an odd
 * end so. */
static int
write_piece(Push *push, const char *data, size_t size, int64_t at, int to_fd, bool *direct)
{
    if (*direct && size % PUSH_ALIGNMENT)
        *direct = !set_direct(to_fd, false);
    if (lseek(to_fd, at, SEEK_SET) < 0)
        return fail_errno("write into '%s'", push->directory);
    int result = file_write(to_fd, data, size, push->directory);
    if (result == 0 || !*direct || error_last()->os_error != EINVAL)
        return result;
    *direct = false;
    set_direct(to_fd, false);
    return write_piece(push, data, size, at, to_fd, direct);
}

/* Without the zeros at its end: where archive_timeout has cut off a segment, a hole will do. */
static size_t
used_part(const char *data, size_t size)
{
    while (size > 0) {
        size_t last = (size - 1) % PUSH_HOLE + 1;
        if (!wal_is_zero(data + size - last, last))
            break;
        size -= last;
    }
    return size;
}

static int
write_copy(Push *push, const char *path, int from_fd, const struct stat *before, int to_fd)
{
    struct stat now;
    size_t got = 0;
    int64_t total = 0, written = 0;
    bool direct = !is_distant(to_fd) && set_direct(to_fd, true);
    do {
        TRY(may_go_on(push));
        TRY(file_read(from_fd, piece(push, 0), PUSH_PIECE, path, &got));
        size_t used = used_part(piece(push, 0), got);
        written = used ? total + (int64_t)used : written;
        TRY(wrap(write_piece(push, piece(push, 0), used, total, to_fd, &direct), "copy '%s'",
                 path));
        total += (int64_t)got;
    } while (got > 0);
    set_direct(to_fd, false); /* it may be read by this descriptor, see atomic_publish */
    if (written < total && ftruncate(to_fd, total) < 0)
        return fail_errno("write into '%s'", push->directory);
    if (fstat(from_fd, &now) < 0)
        return fail_errno("stat '%s'", path);
    if (total != before->st_size || !file_unchanged(before, &now))
        return fail(ERR_IO, "'%s' was changed while it was copied", path);
    /* The disk may begin; fsync is what we rely on. */
    sync_file_range(to_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return 0;
}

/* Adds the file to the group: written, or found in place. */
static int
add(Push *push, Group *group, const char *name, const char *path)
{
    char there[PATH_MAX];
    Copy copy = {.file = ATOMIC_NONE};
    snprintf(copy.name, sizeof(copy.name), "%s", name);
    snprintf(there, sizeof(there), "%s/%s", push->directory, name);
    AUTO(close) int fd = -1;
    TRY(open_source(path, &fd, &copy.source));

    int found = access(there, F_OK) == 0 ? compare_waiting(push, path, there) : ENTRY_GONE;
    if (found < 0)
        return found;
    if (found == ENTRY_GONE) {
        AUTO(atomic) AtomicFile file = ATOMIC_NONE;
        TRY(atomic_open(push->directory, name, 0640, &file));
        TRY(write_copy(push, path, fd, &copy.source, file.fd));
        copy.file = file;
        file = ATOMIC_NONE;
    }
    group->bytes += copy.source.st_size;
    group->copies[group->count++] = copy;
    return 0;
}

/* "pg_wal/archive_status/NAME.ready" and "pg_wal/NAME" of a file beside `path`. */
static bool
is_ready(const char *path, const char *name, char *ret_path)
{
    char mark[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash + 1 - path) : 0;
    snprintf(ret_path, PATH_MAX, "%.*s%s", length, path, name);
    snprintf(mark, sizeof(mark), "%.*sarchive_status/%s.ready", length, path, name);
    return access(mark, F_OK) == 0;
}

static void
look_ahead(Push *push, Group *group, const char *name, const char *path)
{
    int64_t until = clock_ms() + PUSH_MS;
    WalName next;
    if (wal_kind(name) != WAL_SEGMENT || !wal_name_parse(name, &next))
        return;
    while (group->count < PUSH_FILES && group->bytes < PUSH_BYTES && clock_ms() < until &&
           wal_name_next(&next, push->segment_size, &next)) {
        char next_name[WAL_NAME_ROOM], next_path[PATH_MAX], archived[PATH_MAX];
        wal_name_format(&next, next_name);
        if (!is_ready(path, next_name, next_path) ||
            beside_admits(&push->beside, next_name, next_path) < 0 ||
            beside_has(&push->beside, next_name, archived) ||
            add(push, group, next_name, next_path) < 0)
            return;
    }
}

/* Another server's file of the name may have come, and gone on into the archive, since we looked.
 */
static int
confirm(Push *push, const Copy *copy, const char *path)
{
    if (copy->uncompared)
        return 0;
    int result = ask_archive(push, copy->name, path);
    if (result >= 0)
        return 0;
    if (error_last()->class == ERR_DATA)
        atomic_withdraw(&copy->file);
    return result;
}

/* Under its name, whoever else tries. */
static int
publish(Push *push, Copy *copy, const char *path)
{
    char there[PATH_MAX];
    snprintf(there, sizeof(there), "%s/%s", push->directory, copy->name);
    for (int tries = 0; tries < 3; tries++) {
        int result = atomic_publish(&copy->file);
        if (result != ATOMIC_EXISTS)
            return result == 0 ? confirm(push, copy, path) : result;
        result = compare_waiting(push, path, there);
        if (result != ENTRY_GONE)
            return result;
    }
    return fail(ERR_BUSY, "'%s' comes and goes", there);
}

/* Cuts the group where a file cannot be synced or named; fails if that is the first. */
static int
finish(Push *push, Group *group, const char *path)
{
    for (size_t i = 0; i < group->count; i++) {
        Copy *copy = &group->copies[i];
        if (copy->file.fd >= 0 && file_sync(copy->file.fd, copy->name) < 0)
            group_cut(group, i);
    }
    for (size_t i = 0; i < group->count; i++) {
        Copy *copy = &group->copies[i];
        char beside[PATH_MAX];
        is_ready(path, copy->name, beside);
        if (copy->file.fd >= 0 && publish(push, copy, beside) < 0)
            group_cut(group, i);
    }
    if (group->count == 0)
        return -1;
    /* Without this the names may be gone after a crash, and pg_wal/ has let the files go. */
    return dir_sync(push->directory);
}

static bool
was_ahead(const Push *push, const char *name, const char *path)
{
    struct stat now;
    for (size_t i = 0; i < push->ahead_count; i++) {
        const struct stat *then = &push->ahead[i].source;
        if (strcmp(push->ahead[i].name, name) == 0)
            return stat(path, &now) == 0 && file_unchanged(then, &now) &&
                   now.st_ctim.tv_sec == then->st_ctim.tv_sec &&
                   now.st_ctim.tv_nsec == then->st_ctim.tv_nsec;
    }
    return false;
}

int
push_file(Push *push, const char *name, const char *path)
{
    if (strlen(name) >= PUSH_NAME_ROOM || strlen(path) >= PATH_MAX - PUSH_NAME_ROOM - 32)
        return fail(ERR_DATA, "too long a name: '%s'", path);
    if (was_ahead(push, name, path))
        return 0;
    push->ahead_count = 0;

    TRY(beside_admits(&push->beside, name, path));
    int archived = ask_archive(push, name, path);
    if (archived <= 0)
        return archived;

    AUTO(group) Group group = {.count = 0};
    TRY(add(push, &group, name, path));
    group.copies[0].uncompared = archived == NOT_KNOWN;
    look_ahead(push, &group, name, path);
    TRY(finish(push, &group, path));
    for (size_t i = 1; i < group.count; i++) {
        Ahead *ahead = &push->ahead[push->ahead_count++];
        snprintf(ahead->name, sizeof(ahead->name), "%s", group.copies[i].name);
        ahead->source = group.copies[i].source;
    }
    return 0;
}
