/* SPDX-License-Identifier: PostgreSQL
 * backup.info lies in base/<id>/ with a Barman before 3.13.2, and is meta/<id>-backup.info since;
 * the annotation by which a backup is kept for ever moved likewise. A home may have both. Whatever
 * is there and cannot be read is an error: a backup that is overlooked would lose its WAL. */
#include "flow/backups.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"

#include <errno.h>

enum { INFO_MAX = 16 << 20 };

/* The value of the key's line; NULL when there is none, or it says None. */
static const char *
find_value(const char *text, const char *key, char *buffer, size_t size)
{
    size_t length = strlen(key);
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, key, length) != 0 || line[length] != '=')
            continue;
        const char *value = line + length + 1;
        size_t used = strcspn(value, "\r\n");
        if (used >= size)
            return NULL;
        memcpy(buffer, value, used);
        buffer[used] = '\0';
        return strcmp(buffer, "None") == 0 || !*buffer ? NULL : buffer;
    }
    return NULL;
}

static bool
find_segment(const char *text, const char *key, WalName *ret_name)
{
    char buffer[64];
    const char *value = find_value(text, key, buffer, sizeof(buffer));
    return value && wal_name_parse(value, ret_name) && ret_name->kind == WAL_SEGMENT;
}

/* EMPTY and STARTED: at work, or given up by a Barman that was killed. */
static bool
is_beginning(const char *status)
{
    return strcmp(status, "EMPTY") == 0 || strcmp(status, "STARTED") == 0;
}

int
backup_info_parse(const char *id, const char *text, Backup *ret_backup, uint32_t *ret_segment_size,
                  bool *ret_needs)
{
    char buffer[64];
    WalName begin, end;
    int64_t size = 0, offset = 0;
    const char *found = find_value(text, "status", buffer, sizeof(buffer));
    AUTO(free) char *status = mem_dup(found ? found : "");
    *ret_needs = strcmp(status, "FAILED") != 0;
    *ret_segment_size = 0;
    if (!*ret_needs)
        return 0;
    if (!find_segment(text, "begin_wal", &begin)) {
        if (is_beginning(status))
            return hint(fail(ERR_BUSY, "Barman's backup '%s' is beginning and needs WAL", id),
                        "try again when it has ended");
        return hint(fail(ERR_DATA, "the backup.info of Barman's backup '%s' has no begin_wal", id),
                    "nobody can say which WAL this backup needs; look at it with 'barman "
                    "show-backup', and delete it if it is not wanted");
    }
    Backup backup = {.timeline = begin.timeline, .start = wal_position(&begin)};
    snprintf(backup.name, sizeof(backup.name), "%s", id);
    found = find_value(text, "begin_offset", buffer, sizeof(buffer));
    bool known = found && int_parse(found, 0, WAL_SEGMENT_MAX, &offset);
    backup.offset = known ? (uint32_t)offset : OFFSET_UNKNOWN;
    backup.end = find_segment(text, "end_wal", &end) ? wal_position(&end) : POSITION_NONE;
    found = find_value(text, "xlog_segment_size", buffer, sizeof(buffer));
    if (found && int_parse(found, 0, WAL_SEGMENT_MAX, &size) &&
        wal_segment_size_valid((uint64_t)size))
        *ret_segment_size = (uint32_t)size;
    *ret_backup = backup;
    return 0;
}

typedef struct Search {
    const Config *config;
    const ServerConfig *server;
    Arena *arena;
    BarmanBackups *backups;
    size_t room;
} Search;

/* The whole of a file; a file that is not there has no text, and *ret_found is false. */
static int
read_if_there(const char *path, Str *ret_text, bool *ret_found)
{
    int result = file_read_text(path, INFO_MAX, ret_text);
    *ret_found = result == 0;
    return result < 0 && (error_last()->os_error == ENOENT || error_last()->os_error == ENOTDIR)
               ? 0
               : result;
}

/* Kept for ever, but for nothing later than its own end? */
static int
is_standalone(const Search *search, const char *id, bool *ret_standalone)
{
    AUTO(free)
    char *new_path = mem_printf("%s/meta/%s-keep", search->server->backup_directory, id);
    AUTO(free)
    char *old_path =
        mem_printf("%s/%s/annotations/keep", search->server->basebackups_directory, id);
    AUTO(str) Str text = {0};
    bool found = false;
    TRY(read_if_there(new_path, &text, &found));
    if (!found)
        TRY(read_if_there(old_path, &text, &found));
    *ret_standalone = found && strncmp(str_text(&text), "standalone", 10) == 0;
    return 0;
}

/* Does somebody hold Barman's lock of a backup? */
static int
backup_runs(const Search *search, bool *ret_runs)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    AUTO(free)
    char *path = mem_printf("%s/.%s-backup.lock", search->config->barman_lock_directory,
                            search->server->name);
    int taken = lock_take(path, LOCK_SHARED, 0, &lock, &holder);
    *ret_runs = taken == LOCK_BUSY;
    return taken < 0 ? taken : 0;
}

/* What was left unfinished by a Barman that does not run any more needs nothing. */
static int
forgive_dead(const Search *search, int result)
{
    Error error = *error_last();
    bool runs = false;
    if (result == 0 || error.class != ERR_BUSY)
        return result;
    TRY(backup_runs(search, &runs));
    if (!runs) {
        log_debug("%s, but none runs, ignoring", error.text);
        return 0;
    }
    error_restore(&error);
    return result;
}

static void
add(Search *search, const Backup *backup)
{
    BarmanBackups *backups = search->backups;
    if (backups->count == search->room) {
        search->room = search->room ? search->room * 2 : 16;
        Backup *larger = arena_alloc(search->arena, search->room * sizeof(Backup));
        if (backups->count)
            memcpy(larger, backups->items, backups->count * sizeof(Backup));
        backups->items = larger;
    }
    backups->items[backups->count++] = *backup;
}

static int
take_info(void *context, const char *id, const char *text)
{
    Search *search = context;
    Backup backup = {0};
    bool needs = false;
    uint32_t segment_size = 0;
    int result = backup_info_parse(id, text, &backup, &segment_size, &needs);
    TRY(forgive_dead(search, result));
    if (result < 0 || !needs)
        return 0;
    TRY(is_standalone(search, id, &backup.standalone));
    backup.standalone = backup.standalone && backup.end != POSITION_NONE;
    if (segment_size)
        search->backups->segment_size = segment_size;
    add(search, &backup);
    return 0;
}

/* Visits the file of each entry of the directory that ends in suffix; its path is that of the entry
 * and `below`. One that is not there was deleted since, or its directory is no backup. */
static int
visit_infos(const char *directory, const char *suffix, const char *below, BackupVisit *visit,
            void *context)
{
    AUTO(closedir) DIR *dir = opendir(directory);
    if (!dir)
        return errno == ENOENT ? 0 : fail_errno("open directory '%s'", directory);
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0) {
        if (entry->d_name[0] == '.' || !str_ends(entry->d_name, suffix))
            continue;
        AUTO(str) Str text = {0};
        bool found = false;
        AUTO(free) char *id = mem_dup(entry->d_name);
        id[strlen(id) - strlen(suffix)] = '\0';
        AUTO(free) char *path = mem_printf("%s/%s%s", directory, entry->d_name, below);
        TRY(read_if_there(path, &text, &found));
        int result = found ? visit(context, id, str_text(&text)) : 0;
        if (result != 0)
            return result;
    }
    return errno ? fail_errno("read directory '%s'", directory) : 0;
}

int
backups_visit(const ServerConfig *server, BackupVisit *visit, void *context)
{
    AUTO(free) char *meta = mem_printf("%s/meta", server->backup_directory);
    int result = visit_infos(meta, "-backup.info", "", visit, context);
    if (result != 0)
        return result;
    return visit_infos(server->basebackups_directory, "", "/backup.info", visit, context);
}

int
backups_read(const Config *config, const ServerConfig *server, Arena *arena,
             BarmanBackups *ret_backups)
{
    BarmanBackups backups = {0};
    Search search = {config, server, arena, &backups, 0};
    TRY(backups_visit(server, take_info, &search));
    *ret_backups = backups;
    return 0;
}
