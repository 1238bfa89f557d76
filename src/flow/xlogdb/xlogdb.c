/* SPDX-License-Identifier: PostgreSQL
 * The catalog file under its lock. Last stage of the way of a segment: a file counts as archived
 * when its line here is durable. Appending never reads the file (but for its last line), so its
 * cost does not depend on how long the catalog is. */
#include "flow/xlogdb/internal.h"

#include "base/file.h"
#include "base/log.h"
#include "wal/name.h"

#include <errno.h>
#include <fcntl.h>

/* Barman may hold the lock while it deletes or rebuilds; after this it counts as stuck. */
enum { LOCK_WAIT_MS = 60 * 1000 };

XlogDbPlace
xlogdb_place(const Config *config, const ServerConfig *server)
{
    /* Beside an archive in an object store there never was a catalog of the old form. */
    bool remote = server_is_remote(server);
    return (XlogDbPlace){.server = server->name,
                         .directory = server->xlogdb_directory,
                         .wals_directory =
                             remote ? server->xlogdb_directory : server->wals_directory,
                         .lock_directory = config->barman_lock_directory};
}

XlogDb *
xlogdb_new(const XlogDbPlace *place)
{
    XlogDb *db = mem_alloc(sizeof(*db));
    db->current_dir = mem_dup(place->directory);
    db->old_dir = mem_dup(place->wals_directory);
    db->current = mem_printf("%s/%s-xlog.db", place->directory, place->server);
    db->old = mem_printf("%s/xlog.db", place->wals_directory);
    db->lock_path = mem_printf("%s/.%s-xlogdb.lock", place->lock_directory, place->server);
    bool shorter = place->lock_wait_ms > 0 && place->lock_wait_ms < LOCK_WAIT_MS;
    db->lock_wait_ms = shorter ? (int)place->lock_wait_ms : LOCK_WAIT_MS;
    return db;
}

void
xlogdb_free(XlogDb *db)
{
    if (!db)
        return;
    free(db->current_dir);
    free(db->current);
    free(db->old_dir);
    free(db->old);
    free(db->lock_path);
    free(db);
}

/* Looked at again under each lock: a Barman that was upgraded meanwhile has moved on to the new
 * form. */
static void
choose_form(XlogDb *db)
{
    bool has_old = access(db->old, F_OK) == 0, has_current = access(db->current, F_OK) == 0;
    bool old = has_old && !has_current;
    db->directory = old ? db->old_dir : db->current_dir;
    db->path = old ? db->old : db->current;
    db->columns = old ? 4 : 5;
    if (has_old && has_current && !db->told_both) {
        db->told_both = true;
        log_warning("there are two catalogs, '%s' and '%s', and only the first is used; a Barman "
                    "before 3.13 uses the other one: if there is one, remove the first and run "
                    "rebuild-xlogdb, else remove the second",
                    db->current, db->old);
    }
}

const char *
xlogdb_path(XlogDb *db)
{
    choose_form(db);
    return db->path;
}

bool
xlogdb_exists(XlogDb *db)
{
    return access(xlogdb_path(db), F_OK) == 0;
}

int
xlogdb_can_say_encrypted(XlogDb *db)
{
    choose_form(db);
    if (db->columns > 4)
        return 0;
    return hint(
        fail(ERR_UNSUPPORTED,
             "catalog '%s' is of a Barman before 3.13 and cannot say that a file is encrypted",
             db->path),
        "run rebuild-xlogdb with a newer Barman, or remove the catalog and run "
        "rebuild-xlogdb, if there is no Barman any more; or turn encryption off");
}

int
catalog_lock(XlogDb *db, LockKind kind, Lock *ret_lock)
{
    pid_t holder = 0;
    int result = lock_take(db->lock_path, kind, db->lock_wait_ms, ret_lock, &holder);
    if (result == LOCK_BUSY)
        return hint(fail(ERR_BUSY, "the catalog's lock '%s' has been held by process %d for %d ms",
                         db->lock_path, (int)holder, db->lock_wait_ms),
                    "see what that process is doing (a delete hook that hangs?) and end it");
    TRY(result);
    choose_form(db);
    return 0;
}

/* What a crash has left behind the last line feed */
typedef struct Tail {
    off_t start;            /* where the last whole line ends; the file's size if nothing follows */
    bool only_feed_missing; /* the line is whole but for its line feed */
    char name[WAL_NAME_ROOM]; /* of a WAL file, as far as it is there; or empty */
} Tail;

static void
read_tail(const char *text, size_t length, int columns, Tail *tail)
{
    char line[XLOGDB_LINE_ROOM] = "";
    size_t kept = strnlen(text, length < sizeof(line) - 1 ? length : sizeof(line) - 1);
    WalFile row;
    memcpy(line, text, kept);
    tail->only_feed_missing = kept == length && xlogdb_line_is_whole(line, columns) &&
                              xlogdb_line_parse(line, kept, &row);
    line[strcspn(line, " \t")] = '\0';
    if (wal_kind(line) != WAL_NONE)
        snprintf(tail->name, sizeof(tail->name), "%s", line);
}

static int
find_tail(const XlogDb *db, int fd, off_t size, Tail *ret_tail)
{
    char buffer[4096];
    size_t got = 0;
    *ret_tail = (Tail){.start = 0};
    for (off_t end = size; end > 0;) {
        off_t start = end > (off_t)sizeof(buffer) ? end - (off_t)sizeof(buffer) : 0;
        if (lseek(fd, start, SEEK_SET) < 0)
            return fail_errno("seek in '%s'", db->path);
        TRY(file_read(fd, buffer, (size_t)(end - start), db->path, &got));
        const char *feed = memrchr(buffer, '\n', got);
        const char *line = feed ? feed + 1 : buffer;
        if (feed || start == 0) {
            ret_tail->start = start + (line - buffer);
            read_tail(line, (size_t)(buffer + got - line), db->columns, ret_tail);
            return 0;
        }
        end = start; /* more than a page without a line feed: all of it is torn */
    }
    return 0;
}

static int
has_name(void *context, const WalFile *row)
{
    return strcmp(context, row->name) == 0;
}

/* The line that takes the place of the torn one. Its file may well be archived, and its source
 * gone; or the name was torn too ("...01" of "...01.partial") and has its row. */
static int
mend_tail(const XlogDb *db, const Tail *tail, XlogDbLookup *lookup, void *context, Str *lines)
{
    char line[XLOGDB_LINE_ROOM];
    size_t damaged = 0;
    WalFile row;
    if (!tail->name[0])
        return 0;
    int listed = catalog_read(db, has_name, (void *)tail->name, &damaged);
    if (listed != 0)
        return listed < 0 ? listed : 0;
    int found = lookup(context, tail->name, &row);
    if (found == 0)
        str_append_part(lines, line, xlogdb_line_format(&row, db->columns, line));
    return found < 0 ? found : 0;
}

static int
format_rows(const XlogDb *db, const WalFile *rows, size_t count, Str *lines)
{
    char line[XLOGDB_LINE_ROOM];
    for (size_t i = 0; i < count; i++) {
        if (rows[i].encryption && db->columns == 4)
            return fail(ERR_UNSUPPORTED,
                        "catalog '%s' is of a Barman before 3.13 and cannot say that '%s' is "
                        "encrypted",
                        db->path, rows[i].name);
        str_append_part(lines, line, xlogdb_line_format(&rows[i], db->columns, line));
    }
    return 0;
}

/* One write over whatever stands behind `start`, then fsync. */
static int
write_lines(int fd, const char *path, off_t start, off_t size, const Str *lines)
{
    off_t end = start + (off_t)lines->length;
    if (lseek(fd, start, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", path);
    int result = file_write(fd, str_text(lines), lines->length, path);
    if (result == 0 && end < size && ftruncate(fd, end) < 0)
        result = fail_errno("take the torn line off '%s'", path);
    if (result == 0)
        result = file_sync(fd, path);
    /* All or none; where a torn line stood before, its successor still names the same file. */
    if (result < 0 && start == size && ftruncate(fd, size) < 0)
        log_debug("'%s' keeps a torn line", path);
    return result;
}

static bool
is_among(const char *name, const WalFile *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].name, name) == 0)
            return true;
    return false;
}

int
xlogdb_append(XlogDb *db, const WalFile *rows, size_t count, XlogDbLookup *lookup, void *context)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    AUTO(str) Str lines = {0};
    TRY(catalog_lock(db, LOCK_EXCLUSIVE, &lock));
    TRY(dir_make(db->directory));
    AUTO(close) int fd = open(db->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size < 0)
        return fail_errno("open catalog '%s'", db->path);
    if (size == 0) /* new, or an earlier creator died before this */
        TRY(dir_sync(db->directory));

    /* A torn last line would be glued to what is appended. */
    Tail tail;
    TRY(find_tail(db, fd, size, &tail));
    if (tail.start < size)
        log_warning("catalog '%s' ends in a torn line of %lld bytes (%s), mending it", db->path,
                    (long long)(size - tail.start),
                    tail.name[0] ? tail.name : "no WAL file name in it");
    if (tail.only_feed_missing) {
        tail.start = size;
        str_append(&lines, "\n");
    } else if (!is_among(tail.name, rows, count)) {
        TRY(mend_tail(db, &tail, lookup, context, &lines));
    }
    TRY(format_rows(db, rows, count, &lines));
    return lines.length > 0 || tail.start < size
               ? write_lines(fd, db->path, tail.start, size, &lines)
               : 0;
}

static int
read_rows(const XlogDb *db, Lines *lines, XlogDbVisitAt *visit, void *context, size_t *damaged)
{
    char line[XLOGDB_LINE_ROOM];
    int64_t offset = 0;
    for (size_t length; (length = lines_next(lines, line)) > 0; offset = lines->taken) {
        WalFile row;
        bool torn = line[length - 1] != '\n' && !xlogdb_line_is_whole(line, db->columns);
        if (torn || !xlogdb_line_parse(line, length, &row)) {
            (*damaged)++;
            continue;
        }
        int result = visit(context, &row, offset);
        if (result != 0)
            return result;
    }
    return lines->failed ? -1 : 0;
}

static int
read_at(const XlogDb *db, XlogDbVisitAt *visit, void *context, size_t *ret_damaged)
{
    size_t damaged = 0;
    AUTO(free) Lines *lines = mem_alloc(sizeof(*lines));
    int result = lines_open(db->path, lines);
    if (result < 0)
        return result;
    result = result == LINES_NONE ? 0 : read_rows(db, lines, visit, context, &damaged);
    lines_close(lines);
    *ret_damaged = damaged;
    return result;
}

typedef struct Visitor {
    XlogDbVisit *visit;
    void *context;
} Visitor;

static int
visit_row(void *context, const WalFile *row, int64_t offset)
{
    const Visitor *visitor = context;
    (void)offset;
    return visitor->visit(visitor->context, row);
}

int
catalog_read(const XlogDb *db, XlogDbVisit *visit, void *context, size_t *ret_damaged)
{
    Visitor visitor = {visit, context};
    return read_at(db, visit_row, &visitor, ret_damaged);
}

int
xlogdb_read(XlogDb *db, XlogDbVisit *visit, void *context, size_t *ret_damaged)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    TRY(catalog_lock(db, LOCK_SHARED, &lock));
    return catalog_read(db, visit, context, ret_damaged);
}

int
xlogdb_read_at(XlogDb *db, XlogDbVisitAt *visit, void *context, size_t *ret_damaged)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    TRY(catalog_lock(db, LOCK_SHARED, &lock));
    return read_at(db, visit, context, ret_damaged);
}

typedef struct Search {
    const char *const *names;
    bool *found;
    size_t count, left;
} Search;

static int
search_row(void *context, const WalFile *row)
{
    Search *search = context;
    for (size_t i = 0; i < search->count; i++)
        if (!search->found[i] && strcmp(search->names[i], row->name) == 0) {
            search->found[i] = true;
            search->left--;
        }
    return search->left == 0; /* 1: all found, no need to read on */
}

int
xlogdb_contains(XlogDb *db, const char *const *names, size_t count, bool *ret_found)
{
    size_t damaged = 0;
    Search search = {.names = names, .found = ret_found, .count = count, .left = count};
    memset(ret_found, 0, count * sizeof(bool));
    int result = xlogdb_read(db, search_row, &search, &damaged);
    if (damaged)
        log_warning("catalog '%s' has %zu damaged lines, ignoring them", db->path, damaged);
    return result < 0 ? result : 0;
}
