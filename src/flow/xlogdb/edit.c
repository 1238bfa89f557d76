/* SPDX-License-Identifier: PostgreSQL
 * The catalog written anew: beside the old one, and in its place only when it is whole and durable,
 * so that a crash leaves the one or the other. */
#include "base/file.h"
#include "flow/xlogdb/internal.h"

#include <errno.h>
#include <fcntl.h>

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
    return catalog_read(edit->db, visit, context, ret_damaged);
}

int
xlogdb_replace(XlogDb *db, XlogDbProduce *produce, void *context)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    TRY(catalog_lock(db, LOCK_EXCLUSIVE, &lock));
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
copy_others(const Removal *removal, XlogDbEdit *edit, Lines *lines, bool *ret_any)
{
    char piece[XLOGDB_LINE_ROOM];
    bool begins = true, removed = false;
    for (size_t length; (length = lines_piece(lines, piece)) > 0;) {
        if (begins)
            removed = is_removed(removal, piece);
        *ret_any |= removed;
        if (!removed)
            str_append_part(&edit->lines, piece, length);
        if (edit->lines.length >= KIB(64))
            TRY(flush_lines(edit));
        begins = piece[length - 1] == '\n';
    }
    return lines->failed ? -1 : 0;
}

static int
produce_others(void *context, XlogDbEdit *edit)
{
    bool any = false;
    AUTO(free) Lines *lines = mem_alloc(sizeof(*lines));
    int result = lines_open(edit->db->path, lines);
    if (result != 0)
        return result < 0 ? result : XLOGDB_UNCHANGED;
    result = copy_others(context, edit, lines, &any);
    lines_close(lines);
    return result == 0 && !any ? XLOGDB_UNCHANGED : result;
}

int
xlogdb_remove(XlogDb *db, const char *const *names, size_t count)
{
    Removal removal = {names, count};
    return count ? xlogdb_replace(db, produce_others, &removal) : 0;
}
