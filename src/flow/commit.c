/* SPDX-License-Identifier: PostgreSQL
 * The one place where files get their names in the archive, their lines in the catalog and lose
 * their sources, in this order and each step durable before the next begins. One thread only. A
 * crash between any two steps leaves a source that the next run finds to be archived already. */
#include "flow/commit.h"

#include "base/file.h"
#include "base/log.h"
#include "flow/archived.h"
#include "flow/queue/queue.h"

#include <errno.h>
#include <fcntl.h>

static void say(const Committer *c, const char *format, ...) PRINTF_LIKE(2, 3);

static void
say(const Committer *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = mem_vprintf(format, args);
    va_end(args);
    c->observer->info(c->observer->context, text);
}

/* For the log, and for who asked for debug messages */
static void tell(const Committer *c, LogLevel level, const char *format, ...) PRINTF_LIKE(3, 4);

static void
tell(const Committer *c, LogLevel level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = mem_vprintf(format, args);
    va_end(args);
    log_line(level, "%s", text);
    c->observer->debug(c->observer->context, text);
}

static Timeline
timeline_of(const Item *item)
{
    WalName name;
    wal_name_parse(item->wal.name, &name);
    return name.timeline;
}

/* History files do not follow anything on their timeline. */
bool
commit_is_blocked(const Committer *c, const Item *item)
{
    for (size_t i = 0; i < c->blocked_count && item->wal.kind != WAL_HISTORY; i++)
        if (c->blocked[i] == timeline_of(item))
            return true;
    return c->blocked_count == COUNT_OF(c->blocked) && item->wal.kind != WAL_HISTORY;
}

/* What comes later on this timeline must not be recorded before this file: no gap may look
 * archived. */
static void
block(Committer *c, const Item *item)
{
    if (item->wal.kind != WAL_HISTORY && !commit_is_blocked(c, item)) {
        c->blocked[c->blocked_count] = timeline_of(item);
        c->blocked_count++; /* last: a worker that sees the count sees the timeline */
    }
}

/* Step 2 for one item. Its state afterwards: READY means published. */
static int
publish(Committer *c, Item *item)
{
    int result = store_put_publish(item->put);
    if (result != STORE_EXISTS)
        return result;
    /* Another archiver was faster, since we looked. */
    result = item_compare(c->recipe, item);
    if (result < 0)
        return result;
    item->state = (ItemState)result;
    return 0;
}

static void
settle(Committer *c, Item *item)
{
    if (commit_is_blocked(c, item)) {
        item->follows = true;
        if (item->state != ITEM_GONE)
            snprintf(item->reason, sizeof(item->reason), "an older file of its timeline waits");
        item->state = item->state == ITEM_GONE ? ITEM_GONE : ITEM_WAITING;
    }
    if (item->state == ITEM_READY && publish(c, item) < 0) {
        item->state = ITEM_FAILED;
        item->error = *error_last();
    }
    /* Behind a name that the archive has there is no gap. */
    if (item->state == ITEM_WAITING || (item->state == ITEM_FAILED && !item->archived))
        block(c, item);
}

/* The rows to be added: what was published now, and what the archive had but the catalog did not (a
 * crash between steps 2 and 3). */
static int
collect_rows(Committer *c, Item *const *items, size_t count, WalFile *rows, size_t *ret_count)
{
    const char *names[GROUP_MAX];
    bool found[GROUP_MAX] = {false};
    size_t same = 0, filled = 0;
    for (size_t i = 0; i < count; i++)
        if (items[i]->state == ITEM_SAME)
            names[same++] = items[i]->wal.name;
    if (same)
        TRY(xlogdb_contains(c->db, names, same, found));
    for (size_t i = 0, s = 0; i < count; i++) {
        if (items[i]->state == ITEM_READY)
            rows[filled++] = items[i]->wal;
        if (items[i]->state != ITEM_SAME || found[s++])
            continue;
        int result =
            archived_row(c->recipe->store, &c->recipe->custom, items[i]->wal.name, &rows[filled]);
        if (result == STORE_MISSING)
            return fail(ERR_IO, "'%s' vanished from the archive", items[i]->wal.name);
        TRY(result);
        log_warning("'%s' was in the archive but not in the catalog, adding its line",
                    items[i]->wal.name);
        filled++;
    }
    *ret_count = filled;
    return 0;
}

/* For a catalog line that a crash has torn */
static int
lookup_row(void *context, const char *name, WalFile *ret_row)
{
    const Committer *c = context;
    int found = archived_row(c->recipe->store, &c->recipe->custom, name, ret_row);
    return found == STORE_MISSING ? XLOGDB_UNKNOWN : found;
}

/* Steps 2 (its second half) and 3 */
static int
make_durable(Committer *c, Item *const *items, size_t count)
{
    const char *names[GROUP_MAX];
    WalFile rows[GROUP_MAX];
    size_t settled = 0, row_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i]->state == ITEM_SAME) {
            /* Its publisher may have died before it was durable. */
            int result = store_sync_file(c->recipe->store, items[i]->wal.name);
            if (result == STORE_MISSING)
                return fail(ERR_IO, "'%s' vanished from the archive", items[i]->wal.name);
            TRY(result);
        }
        if (items[i]->state == ITEM_READY)
            names[settled++] = items[i]->wal.name;
    }
    TRY(store_sync(c->recipe->store, names, settled));
    TRY(collect_rows(c, items, count, rows, &row_count));
    if (row_count == 0)
        return 0;
    return xlogdb_append(c->db, rows, row_count, lookup_row, c);
}

/* Does the name in incoming/ still lead to what was examined? Else it is for the next run. */
static int
check_source(const Committer *c, const Item *item, bool *ret_same)
{
    AUTO(free) char *path = mem_printf("%s/%s", c->recipe->directory, item->wal.name);
    struct stat st;
    *ret_same = false;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : fail_errno("stat '%s'", path);
    *ret_same = file_unchanged(&item->source, &st);
    if (!*ret_same)
        log_warning(
            "'%s' was replaced or changed while it was archived, leaving it for the next run",
            path);
    return 0;
}

/* Step 4 for one item */
static int
remove_source(const Committer *c, int directory_fd, const Item *item)
{
    bool same = false;
    TRY(check_source(c, item, &same));
    if (same && unlinkat(directory_fd, item->wal.name, 0) < 0 && errno != ENOENT)
        return fail_errno("remove '%s/%s'", c->recipe->directory, item->wal.name);
    return 0;
}

static int
remove_sources(const Committer *c, Item *const *items, size_t count)
{
    size_t removed = 0;
    AUTO(close) int fd = open(c->recipe->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno("open directory '%s'", c->recipe->directory);
    for (size_t i = 0; i < count; i++)
        if (items[i]->state == ITEM_READY || items[i]->state == ITEM_SAME ||
            items[i]->state == ITEM_BLANK) {
            TRY(remove_source(c, fd, items[i]));
            removed++;
        }
    /* Without this a crash brings the sources back: harmless, but each costs a comparison. */
    return removed ? dir_sync(c->recipe->directory) : 0;
}

static void reject(Committer *c, const Item *item, const char *suffix, const char *format, ...)
    PRINTF_LIKE(4, 5);

static void
reject(Committer *c, const Item *item, const char *suffix, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = mem_vprintf(format, args);
    va_end(args);
    bool same = false;
    int moved = check_source(c, item, &same);
    if (moved == 0 && same)
        moved = quarantine(c->errors_directory, c->recipe->directory, item->wal.name, suffix);
    if (moved < 0) { /* errors/ may be full: no reason to stop archiving */
        wrap(moved, "reject '%s' of server '%s'", item->wal.name, c->server);
        c->summary->failed++;
        c->observer->problem(c->observer->context, error_last());
        return;
    }
    if (moved == QUARANTINE_GONE || !same)
        return;
    say(c, "\tError: %s %s. File moved to errors directory.", item->wal.name, text);
    c->summary->rejected++;
}

/* What the DBA reads of one item; those that do not belong here go to errors/ now. */
static int
conclude(Committer *c, const Item *item)
{
    if (item->state != ITEM_WAITING && item->state != ITEM_GONE && item->state != ITEM_BLANK)
        say(c, "\t%s", item->wal.name);
    if (item->opaque && item->state == ITEM_READY && !c->told_opaque) {
        c->told_opaque = true;
        log_warning("'%s' is neither WAL of a version that this program knows nor of a known "
                    "compression; archiving it unchecked",
                    item->wal.name);
    }
    switch (item->state) {
    case ITEM_READY:
        c->summary->archived++;
        c->summary->bytes_in += item->source.st_size;
        c->summary->bytes_out += item->wal.size;
        return 0;
    case ITEM_SAME:
        c->summary->duplicates++;
        tell(c, LOG_INFO, "'%s' is in the archive already, with the same content", item->wal.name);
        return 0;
    case ITEM_DIFFERENT:
        reject(c, item, "duplicate", "is already present in server %s", c->server);
        return 0;
    case ITEM_INVALID:
        reject(c, item, "invalid", "does not belong into the archive of server %s: %s", c->server,
               item->reason);
        return 0;
    case ITEM_WAITING:
        c->summary->waiting++;
        /* One line for the file that holds the others up; there may be a million of them. */
        tell(c, item->follows || c->observer->terse ? LOG_DEBUG : LOG_INFO,
             "'%s' is left for the next run: %s", item->wal.name, item->reason);
        return 0;
    case ITEM_GONE:
        log_warning("'%s/%s' is gone", c->recipe->directory, item->wal.name);
        return 0;
    case ITEM_BLANK:
        tell(c, LOG_INFO, "'%s' holds no WAL: there is nothing to archive", item->wal.name);
        return 0;
    case ITEM_FAILED:
        c->summary->failed++;
        error_restore(&item->error);
        wrap(-1, "archive '%s' of server '%s'", item->wal.name, c->server);
        if (item->error.class == ERR_STOPPED)
            return -1;
        c->observer->problem(c->observer->context, error_last());
        return 0;
    }
    return 0;
}

int
commit_group(Committer *c, Item *const *items, size_t count)
{
    assert(count <= GROUP_MAX);
    for (size_t i = 0; i < count; i++)
        settle(c, items[i]);
    TRY(make_durable(c, items, count));
    TRY(remove_sources(c, items, count));
    for (size_t i = 0; i < count; i++)
        TRY(conclude(c, items[i]));
    return 0;
}
