/* SPDX-License-Identifier: PostgreSQL
 * The catalog file under its lock. Last stage of the way of a segment: a file counts as archived
 * when its line here is durable. Appending never reads the file (but for its last line), so its
 * cost does not depend on how long the catalog is. */
#include "flow/xlogdb/xlogdb.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "wal/name.h"

#include <errno.h>
#include <fcntl.h>

/* Barman may hold the lock while it deletes or rebuilds; after this it counts as stuck. */
enum { LOCK_WAIT_MS = 60 * 1000 };

struct XlogDb {
    char *current_dir, *current; /* the current form */
    char *old_dir, *old;         /* the form before 3.13 */
    char *lock_path;
    int lock_wait_ms;
    const char *directory, *path; /* of the form in use */
    bool told_both;
    int columns;
};

XlogDbPlace
xlogdb_place(const Config *config, const ServerConfig *server)
{
    return (XlogDbPlace){.server = server->name,
                         .directory = server->xlogdb_directory,
                         .wals_directory = server->wals_directory,
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

static int
take_lock(XlogDb *db, LockKind kind, Lock *ret_lock)
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

static int read_file(const XlogDb *db, XlogDbVisit *visit, void *context, size_t *ret_damaged);

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
    int listed = read_file(db, has_name, (void *)tail->name, &damaged);
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
            return hint(fail(ERR_UNSUPPORTED,
                             "catalog '%s' is of a Barman before 3.13 and cannot say "
                             "that '%s' is encrypted",
                             db->path, rows[i].name),
                        "run rebuild-xlogdb with a newer Barman, or turn encryption off");
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
    TRY(take_lock(db, LOCK_EXCLUSIVE, &lock));
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

/* What is left of the line into a buffer of XLOGDB_LINE_ROOM bytes: with the line feed, unless the
 * line is longer or the file ends. Its length; 0 at the end of the file. */
static size_t
next_piece(FILE *file, char *buffer)
{
    size_t length = 0;
    int c = 0;
    while (length < XLOGDB_LINE_ROOM - 1 && c != '\n' && (c = getc_unlocked(file)) != EOF)
        buffer[length++] = (char)c;
    buffer[length] = '\0';
    return length;
}

/* The next line; of one that is too long, and so damaged, the beginning. */
static size_t
next_line(FILE *file, char *buffer)
{
    size_t length = next_piece(file, buffer);
    if (length == XLOGDB_LINE_ROOM - 1 && buffer[length - 1] != '\n')
        for (int c = 0; c != '\n' && c != EOF;)
            c = getc_unlocked(file);
    return length;
}

static int
read_rows(const XlogDb *db, FILE *file, XlogDbVisit *visit, void *context, size_t *damaged)
{
    char line[XLOGDB_LINE_ROOM];
    for (size_t length; (length = next_line(file, line)) > 0;) {
        WalFile row;
        bool torn = line[length - 1] != '\n' && !xlogdb_line_is_whole(line, db->columns);
        if (torn || !xlogdb_line_parse(line, length, &row)) {
            (*damaged)++;
            continue;
        }
        int result = visit(context, &row);
        if (result != 0)
            return result;
    }
    return ferror(file) ? fail_errno("read catalog '%s'", db->path) : 0;
}

static int
read_file(const XlogDb *db, XlogDbVisit *visit, void *context, size_t *ret_damaged)
{
    size_t damaged = 0;
    FILE *file = fopen(db->path, "re");
    if (!file && errno != ENOENT)
        return fail_errno("open catalog '%s'", db->path);
    int result = file ? read_rows(db, file, visit, context, &damaged) : 0;
    if (file)
        fclose(file);
    *ret_damaged = damaged;
    return result;
}

int
xlogdb_read(XlogDb *db, XlogDbVisit *visit, void *context, size_t *ret_damaged)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    TRY(take_lock(db, LOCK_SHARED, &lock));
    return read_file(db, visit, context, ret_damaged);
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

struct XlogDbEdit {
    const XlogDb *db;
    int fd;
    Str lines; /* written out when there are enough */
};

static int
flush_lines(XlogDbEdit *edit)
{
    TRY(file_write(edit->fd, str_text(&edit->lines), edit->lines.length, edit->db->path));
    str_clear(&edit->lines);
    return 0;
}

int
xlogdb_edit_emit(XlogDbEdit *edit, const WalFile *row)
{
    char line[XLOGDB_LINE_ROOM];
    str_append_part(&edit->lines, line, xlogdb_line_format(row, edit->db->columns, line));
    return edit->lines.length < KIB(64) ? 0 : flush_lines(edit);
}

int
xlogdb_edit_read(XlogDbEdit *edit, XlogDbVisit *visit, void *context, size_t *ret_damaged)
{
    return read_file(edit->db, visit, context, ret_damaged);
}

int
xlogdb_replace(XlogDb *db, XlogDbProduce *produce, void *context)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    TRY(take_lock(db, LOCK_EXCLUSIVE, &lock));
    TRY(dir_make(db->directory));
    /* Where the path is a symbolic link, its target is replaced. */
    AUTO(free) char *target = realpath(db->path, NULL);
    AUTO(free) char *directory = mem_dup(target ? target : db->path);
    char *slash = strrchr(directory, '/');
    *slash = '\0';
    TRY(atomic_open(slash == directory ? "/" : directory, slash + 1, 0666, &file));
    struct stat st;
    if (stat(db->path, &st) == 0 && fchmod(file.fd, st.st_mode & 07777) < 0)
        return fail_errno("set the mode of the new '%s'", db->path);

    XlogDbEdit edit = {.db = db, .fd = file.fd};
    int result = produce(context, &edit);
    if (result == 0)
        result = flush_lines(&edit);
    str_done(&edit.lines);
    if (result == XLOGDB_UNCHANGED)
        return 0;
    TRY(result);
    return atomic_replace(&file);
}

typedef struct Removal {
    const char *const *names;
    size_t count;
} Removal;

static int
compare_name(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

/* Is this the beginning of a row of one of the names? A name that is cut off is none. */
static bool
is_removed(const Removal *removal, const char *line)
{
    char name[WAL_NAME_ROOM];
    line += strspn(line, " \t");
    size_t length = strcspn(line, " \t\r\n\v\f");
    if (line[length] == '\0' || length >= sizeof(name))
        return false;
    memcpy(name, line, length);
    name[length] = '\0';
    return bsearch(name, removal->names, removal->count, sizeof(*removal->names), compare_name);
}

static int
copy_others(const Removal *removal, XlogDbEdit *edit, FILE *file, bool *ret_any)
{
    char piece[XLOGDB_LINE_ROOM];
    bool begins = true, removed = false;
    for (size_t length; (length = next_piece(file, piece)) > 0;) {
        if (begins)
            removed = is_removed(removal, piece);
        *ret_any |= removed;
        if (!removed)
            str_append_part(&edit->lines, piece, length);
        if (edit->lines.length >= KIB(64))
            TRY(flush_lines(edit));
        begins = piece[length - 1] == '\n';
    }
    return ferror(file) ? fail_errno("read catalog '%s'", edit->db->path) : 0;
}

static int
produce_others(void *context, XlogDbEdit *edit)
{
    bool any = false;
    FILE *file = fopen(edit->db->path, "re");
    if (!file && errno == ENOENT)
        return XLOGDB_UNCHANGED;
    if (!file)
        return fail_errno("open catalog '%s'", edit->db->path);
    int result = copy_others(context, edit, file, &any);
    fclose(file);
    return result == 0 && !any ? XLOGDB_UNCHANGED : result;
}

int
xlogdb_remove(XlogDb *db, const char *const *names, size_t count)
{
    Removal removal = {names, count};
    return count ? xlogdb_replace(db, produce_others, &removal) : 0;
}
