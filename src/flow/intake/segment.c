/* SPDX-License-Identifier: PostgreSQL
 * Files of the receiver, in the manner of PostgreSQL's pg_receivewal, so that either can go on
 * where the other stopped: NAME.partial has the full size from the beginning (sparse, which costs
 * nothing), mode 0600, and the final name appears only on a segment that is whole and durable. */
#include "flow/intake/segment.h"

#include "base/file.h"
#include "base/log.h"
#include "wal/page.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

enum {
    WRITE_BACK = 4 << 20, /* bytes after which the disk may begin; 1 MiB cost twice the time */
    PREPARE = 1 << 20,    /* bytes */
};

static char *
partial_path(const Segment *segment)
{
    return mem_printf("%s/%s.partial", segment->directory, segment->name);
}

/* pg_receivewal takes only files of size 0 or of the full size. */
static int
fill_up(Segment *segment, const char *path)
{
    int fd = segment->fd;
    uint32_t size = segment->size;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return fail_errno("stat '%s'", path);
    if (!S_ISREG(st.st_mode))
        return fail(ERR_DATA, "'%s' is no regular file", path);
    if (st.st_size > (off_t)size)
        return hint(fail(ERR_DATA, "'%s' is %lld bytes long, and a segment has only %u", path,
                         (long long)st.st_size, size),
                    "move it out of the way");
    /* Bytes that it holds already are not to be touched. */
    segment->prepared = st.st_size == 0 ? 0 : size;
    segment->held = (uint32_t)st.st_size;
    if (st.st_size == (off_t)size)
        return 0;
    if (st.st_size > 0)
        log_info("'%s' is only %lld bytes long: filled up with zeros to %u", path,
                 (long long)st.st_size, size);
    return ftruncate(fd, (off_t)size) < 0 ? fail_errno("extend '%s'", path) : 0;
}

int
segment_is_blank(const char *directory, const char *name)
{
    char page[8192];
    size_t got = 0;
    AUTO(free) char *path = mem_printf("%s/%s.partial", directory, name);
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return SEGMENT_BLANK;
    if (fd < 0)
        return fail_errno("open '%s'", path);
    TRY(file_read(fd, page, sizeof(page), path, &got));
    return got <= WAL_LONG_HEADER_SIZE ||
                   wal_is_zero(page + WAL_LONG_HEADER_SIZE, got - WAL_LONG_HEADER_SIZE)
               ? SEGMENT_BLANK
               : 0;
}

/* The name has to do then. */
static bool
has_no_locks(int error)
{
    return error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
}

/* An archiver leaves a locked file alone, whatever else its name would tell it. One that was at
 * this file may have taken its name away since it was opened. */
static int
claim(const Segment *segment, const char *path)
{
    int locked = flock(segment->fd, LOCK_EX | LOCK_NB);
    if (locked < 0 && errno == EWOULDBLOCK)
        return fail(ERR_IO, "'%s' is being archived, or written by another receiver", path);
    if (locked < 0 && !has_no_locks(errno))
        return fail_errno("lock '%s'", path);
    return file_has_name(segment->fd, path) ? 0 : fail(ERR_IO, "'%s' was archived just now", path);
}

static int
open_nameless(Segment *segment, uint32_t named_at)
{
    AUTO(free) char *name = mem_printf("%s.partial", segment->name);
    TRY(atomic_open(segment->directory, name, 0600, &segment->nameless));
    segment->fd = segment->nameless.fd;
    segment->named_at = named_at;
    return 0;
}

static int
open_named(Segment *segment, const char *path)
{
    segment->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return segment->fd < 0 ? fail_errno("open '%s'", path) : claim(segment, path);
}

/* Synced before, so that a crash of the machine does not leave the name without the bytes. */
static int
give_name(Segment *segment)
{
    AUTO(free) char *path = partial_path(segment);
    TRY(file_sync(segment->fd, path));
    int result =
        segment->replaces ? atomic_replace(&segment->nameless) : atomic_publish(&segment->nameless);
    segment->fd = segment->nameless.fd; /* which may be a copy */
    if (result == ATOMIC_EXISTS)
        return fail(ERR_DATA, "'%s' came into being while it was received", path);
    TRY(result);
    segment->nameless.fd = -1;
    atomic_close(&segment->nameless);
    segment->named_at = 0;
    return claim(segment, path);
}

int
segment_open(const char *directory, Timeline timeline, Lsn lsn, uint32_t size, Lsn begins,
             bool unproven, Segment *ret_segment)
{
    Segment segment = {
        .fd = -1, .directory = directory, .size = size, .fresh = true, .unproven = unproven};
    wal_segment_name(timeline, lsn, size, segment.name);
    AUTO(free) char *path = partial_path(&segment);
    bool inside = begins > lsn && begins - lsn < size;
    bool is_new = access(path, F_OK) < 0 && errno == ENOENT;
    segment.replaces = unproven && !is_new;
    int result = unproven || (inside && is_new)
                     ? open_nameless(&segment, inside ? (uint32_t)(begins - lsn) : 1)
                     : open_named(&segment, path);
    if (result == 0)
        result = fill_up(&segment, path);
    if (result < 0)
        segment_close(&segment);
    else
        *ret_segment = segment;
    return result;
}

void
segment_prove(Segment *segment)
{
    segment->unproven = false;
}

int
segment_mark(const char *directory, const char *name)
{
    AUTO(free) char *path = mem_printf("%s/%s.partial", directory, name);
    AUTO(close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno("create '%s'", path);
    TRY(file_sync(fd, path));
    return dir_sync(directory);
}

static int
write_at(const Segment *segment, const char *data, size_t size, uint32_t at)
{
    while (size > 0) {
        ssize_t n = pwrite(segment->fd, data, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("write '%s/%s.partial'", segment->directory, segment->name);
        data += n;
        size -= (size_t)n;
        at += (uint32_t)n;
    }
    return 0;
}

int
segment_prepare(Segment *segment, size_t size)
{
    static const char zeros[64 << 10];
    if (segment->filled + size <= segment->prepared)
        return 0;
    uint32_t at = segment->prepared > segment->filled ? segment->prepared : segment->filled;
    uint32_t end = segment->size - at < PREPARE ? segment->size : at + PREPARE;
    for (; at < end; at += sizeof(zeros))
        TRY(write_at(segment, zeros, end - at < sizeof(zeros) ? end - at : sizeof(zeros), at));
    segment->prepared = end;
    return 0;
}

static int
fail_other(const Segment *segment, uint32_t at)
{
    return hint(fail(ERR_DATA,
                     "the server sends other WAL than '%s/%s.partial' holds, from byte %u on",
                     segment->directory, segment->name, at),
                "is it another server, promoted to a timeline of the same number, or one that was "
                "set back? Keep the file, which may be all that there is of the last commits, "
                "elsewhere, and take a base backup of this server");
}

/* What was received once is never replaced: it may be acknowledged, and the server another one,
 * promoted to a timeline of the same number. Zeros are where nothing was received. */
static int
check_held(const Segment *segment, const char *data, size_t size)
{
    char held[16 << 10];
    uint32_t at = segment->filled;
    while (size > 0 && at < segment->held) {
        ssize_t got = pread(segment->fd, held, size < sizeof(held) ? size : sizeof(held), at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno("read '%s/%s.partial'", segment->directory, segment->name);
        size_t length = (size_t)got;
        if (length == 0)
            return 0;
        if (memcmp(held, data, length) != 0 && !wal_is_zero(held, length))
            for (size_t i = 0; i < length; i++)
                if (held[i] && held[i] != data[i])
                    return fail_other(segment, at + (uint32_t)i);
        at += (uint32_t)length;
        data += length;
        size -= length;
    }
    return 0;
}

int
segment_write(Segment *segment, const void *data, size_t size)
{
    assert(size <= segment->size - segment->filled);
    TRY(check_held(segment, data, size));
    TRY(write_at(segment, data, size, segment->filled));
    segment->filled += (uint32_t)size;
    if (segment->filled - segment->started >= WRITE_BACK) {
        /* So that fsync finds little to do; a hint, whose failure does not matter. */
        (void)sync_file_range(segment->fd, (off_t)segment->started,
                              (off_t)(segment->filled - segment->started), SYNC_FILE_RANGE_WRITE);
        segment->started = segment->filled;
    }
    bool wants_name = segment->named_at && !segment->unproven;
    return wants_name && segment->filled >= segment->named_at ? give_name(segment) : 0;
}

int
segment_sync(Segment *segment)
{
    AUTO(free) char *path = partial_path(segment);
    assert(!segment->named_at);
    if (!file_has_name(segment->fd, path))
        return fail(ERR_IO, "'%s' was moved or removed while it was received", path);
    /* Once the size stands, fdatasync covers all that reading the bytes needs. */
    if ((segment->fresh ? fsync(segment->fd) : fdatasync(segment->fd)) < 0)
        return fail_errno("fsync '%s'", path);
    if (segment->fresh)
        TRY(dir_sync(segment->directory)); /* or a crash takes the name, and the bytes with it */
    segment->fresh = false;
    return 0;
}

/* File systems that cannot refuse to replace have to be asked first. */
static int
rename_free(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if ((errno == EINVAL || errno == ENOSYS) && access(to, F_OK) < 0 && errno == ENOENT &&
        rename(from, to) == 0)
        return 0;
    int result = fail_errno("rename '%s' to '%s'", from, to);
    return errno == EEXIST ? hint(result, "compare the two, and move the wrong one away") : result;
}

int
segment_finish(Segment *segment)
{
    AUTO(free) char *from = partial_path(segment);
    AUTO(free) char *to = mem_printf("%s/%s", segment->directory, segment->name);
    assert(segment->filled == segment->size);
    TRY(file_sync(segment->fd, from));
    TRY(rename_free(from, to));
    /* Only now may the server forget the segment: a crash must not take the name away. */
    TRY(dir_sync(segment->directory));
    segment_close(segment);
    return 0;
}

void
segment_forget(const char *directory, const char *name)
{
    AUTO(free) char *path = mem_printf("%s/%s", directory, name);
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

void
segment_close(Segment *segment)
{
    if (segment->named_at)
        atomic_close(&segment->nameless);
    else if (segment->fd >= 0)
        close(segment->fd);
    segment->named_at = 0;
    segment->fd = -1;
}
