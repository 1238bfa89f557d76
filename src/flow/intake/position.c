/* SPDX-License-Identifier: PostgreSQL
 * Finds the receiver's restart point in the names of the files that it left behind; there is no
 * state file that could disagree with them. Reads names and sizes, changes nothing. The archiver
 * always leaves the newest file, so that there is one. */
#include "flow/intake/position.h"

#include "base/file.h"
#include "base/log.h"
#include "flow/intake/intake.h"
#include "wal/name.h"
#include "wal/page.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static Timeline
timeline_at(const History *history, Timeline server_timeline, size_t index)
{
    return index < history->count ? history->entries[index].parent : server_timeline;
}

/* Place of the timeline among the server's, oldest first; -1: it is none of them. */
static ssize_t
timeline_index(const History *history, Timeline server_timeline, Timeline timeline)
{
    for (size_t i = 0; i <= history->count; i++)
        if (timeline_at(history, server_timeline, i) == timeline)
            return (ssize_t)i;
    return -1;
}

Timeline
position_timeline(Lsn lsn, Timeline server_timeline, const History *history)
{
    for (size_t i = 0; i < history->count; i++)
        if (lsn < history->entries[i].switch_lsn)
            return history->entries[i].parent;
    return server_timeline;
}

/* Is it only too short? A crash may leave any size, which then is that of other segments by chance:
 * what its first page says decides, or that it says nothing. */
static bool
is_cut_short(const char *path, const WalName *name, off_t size, uint32_t segment_size)
{
    char head[WAL_LONG_HEADER_SIZE], reason[WAL_REASON_ROOM];
    WalFacts facts = {0};
    size_t got = 0;
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (size >= (off_t)segment_size || fd < 0 || file_read(fd, head, sizeof(head), path, &got) < 0)
        return false;
    return wal_is_zero(head, got) ||
           (wal_header_check(head, got, name, &facts, reason) == WAL_HEADER_FITS &&
            facts.segment_size == segment_size);
}

/* What is no file to go on from. */
enum { NO_POSITION = 1 };

/* Where the file lets us go on, or NO_POSITION. */
static int
position_of(const char *directory, const char *file, uint32_t segment_size,
            WalPosition *ret_position)
{
    WalName name;
    WalPosition position;
    struct stat st;
    if (!wal_name_parse(file, &name) || (name.kind != WAL_SEGMENT && name.kind != WAL_PARTIAL))
        return NO_POSITION;
    AUTO(free) char *path = mem_printf("%s/%s", directory, file);
    if (stat(path, &st) < 0) /* archived meanwhile, or we do not know */
        return errno == ENOENT ? NO_POSITION : fail_errno("stat '%s'", path);
    /* Under another segment size the same name is another position. */
    if (st.st_size != (off_t)segment_size && wal_segment_size_valid((uint64_t)st.st_size) &&
        !is_cut_short(path, &name, st.st_size, segment_size))
        return hint(fail(ERR_DATA,
                         "'%s' is of a server whose wal_segment_size was %lld bytes, and now it is "
                         "%u",
                         path, (long long)st.st_size, segment_size),
                    "if that was changed, take a base backup and move what is there to where "
                    "archive_command puts its files");
    if (!wal_segment_start(&name, segment_size, &position.lsn))
        return NO_POSITION;
    position.timeline = name.timeline;
    if (name.kind == WAL_SEGMENT) {
        if (st.st_size != (off_t)segment_size) {
            log_warning("'%s' is %lld bytes long, not %u: it is not taken for a whole segment",
                        path, (long long)st.st_size, segment_size);
            return NO_POSITION;
        }
        position.lsn += segment_size;
    }
    *ret_position = position;
    return 0;
}

int
position_find(const char *directory, uint32_t segment_size, Timeline server_timeline,
              const History *history, WalPosition *ret_position)
{
    AUTO(strlist) StrList files = {0}, others = {0};
    TRY(incoming_scan(directory, &files, &others));
    WalPosition best = {0};
    ssize_t best_index = -1;
    bool foreign = false;
    for (size_t i = 0; i < files.count; i++) {
        WalPosition position = {0};
        int result = position_of(directory, files.items[i], segment_size, &position);
        if (result == NO_POSITION)
            continue;
        TRY(result);
        ssize_t index = timeline_index(history, server_timeline, position.timeline);
        foreign |= index < 0;
        if (index > best_index || (index >= 0 && index == best_index && position.lsn > best.lsn)) {
            best = position;
            best_index = index;
        }
    }
    if (best_index < 0)
        return foreign ? POSITION_FOREIGN : POSITION_NONE;
    if ((size_t)best_index < history->count) {
        Lsn left = history->entries[best_index].switch_lsn;
        if (best.lsn > left) {
            best.timeline = timeline_at(history, server_timeline, (size_t)best_index + 1);
            best.lsn = left - left % segment_size;
        }
    }
    *ret_position = best;
    return 0;
}
