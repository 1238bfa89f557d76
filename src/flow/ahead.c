/* SPDX-License-Identifier: PostgreSQL
 * What was archived ahead of time is remembered in backup_directory/archived-ahead, which begins
 * with the store's place and has a line for each file: its name and what tells it from every other
 * file (device, inode, size, times of last change). PostgreSQL recycles files under new names, and
 * restored clusters use names again: only the very same file, unchanged, is taken for archived. A
 * record that is lost or cannot be read costs a comparison with the store, nothing more.
 *
 * PostgreSQL calls for one file at a time; whoever comes meanwhile finds the record locked and
 * archives its own file only. */
#include "flow/ahead.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/pipeline.h"
#include "flow/custom.h"
#include "flow/place.h"
#include "wal/name.h"

#include <errno.h>
#include <inttypes.h>

enum { IDENTITY_ROOM = 200, RECORD_MAX = 1 << 20 };

static const char record_name[] = "archived-ahead";

typedef struct AheadFile {
    char name[WAL_NAME_ROOM];
    char line[IDENTITY_ROOM]; /* of the record; "": not known */
    int result;               /* as deposit() */
    Error error;
} AheadFile;

typedef struct Ahead {
    const ServerConfig *server;
    const char *directory; /* pg_wal */
    Recipe recipe;
    char *place;                /* which store is meant: the record's first line */
    Lock lock;                  /* of the record */
    StrList record;             /* its lines, without the first */
    AheadFile files[AHEAD_MAX]; /* the first is the one that we were called for */
    size_t count;
    Coder *compressors[AHEAD_MAX]; /* of each thread */
} Ahead;

/* The record */

static void
note_identity(AheadFile *file, const struct stat *st)
{
    char line[IDENTITY_ROOM];
    snprintf(line, sizeof(line), "%s %llu %llu %lld %lld.%09ld %lld.%09ld", file->name,
             (unsigned long long)st->st_dev, (unsigned long long)st->st_ino, (long long)st->st_size,
             (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
             st->st_ctim.tv_nsec);
    memcpy(file->line, line, sizeof(line));
}

/* The store may be another one although the configuration is the same: the environment and the
 * files of credentials have a say, too. */
static int
find_place(Ahead *self)
{
    const ServerConfig *server = self->server;
    AUTO(free) char *bucket = NULL;
    TRY(archive_bucket(server, &bucket));
    self->place = mem_printf("%s %s %s", server->name, server->wals_directory, bucket);
    return 0;
}

static void
read_record(Ahead *self)
{
    AUTO(str) Str text = {0};
    AUTO(free) char *path = mem_printf("%s/%s", self->server->backup_directory, record_name);
    if (access(path, F_OK) < 0 || file_read_text(path, RECORD_MAX, &text) < 0)
        return;
    bool first = true;
    for (char *line = text.data; line && *line; first = false) {
        char *end = strchr(line, '\n');
        if (!end)
            return;
        *end = '\0';
        if (first && strcmp(line, self->place) != 0)
            return; /* another store was meant */
        if (!first)
            strlist_add(&self->record, line);
        line = end + 1;
    }
}

static bool
is_recorded(const Ahead *self, const char *line)
{
    for (size_t i = 0; i < self->record.count; i++)
        if (strcmp(self->record.items[i], line) == 0)
            return true;
    return false;
}

static bool
is_ready(const Ahead *self, const char *line)
{
    AUTO(free)
    char *path =
        mem_printf("%s/archive_status/%.*s.ready", self->directory, (int)strcspn(line, " "), line);
    return access(path, F_OK) == 0;
}

/* What is still to be asked for, and what is new. */
static int
write_record(const Ahead *self)
{
    AUTO(str) Str text = {0};
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    const char *directory = self->server->backup_directory;
    str_appendf(&text, "%s\n", self->place);
    for (size_t i = 0; i < self->record.count; i++)
        if (is_ready(self, self->record.items[i]))
            str_appendf(&text, "%s\n", self->record.items[i]);
    for (size_t i = 1; i < self->count; i++)
        if (self->files[i].result == 0)
            str_appendf(&text, "%s\n", self->files[i].line);
    TRY(atomic_open(directory, record_name, 0600, &file));
    TRY(file_write(file.fd, text.data, text.length, record_name));
    return atomic_replace(&file);
}

/* Which files? */

static void
add_file(Ahead *self, const char *name)
{
    struct stat st;
    AUTO(free) char *path = mem_printf("%s/%s", self->directory, name);
    AheadFile *file = &self->files[self->count];
    *file = (AheadFile){.result = -1};
    snprintf(file->name, sizeof(file->name), "%s", name);
    if (stat(path, &st) == 0)
        note_identity(file, &st);
    if (self->count > 0 && (!*file->line || is_recorded(self, file->line)))
        return;
    self->count++;
}

static int
by_order(const void *a, const void *b)
{
    return wal_archive_order(*(char *const *)a, *(char *const *)b);
}

static void
list_ready(const Ahead *self, StrList *ret_names)
{
    AUTO(free) char *path = mem_printf("%s/archive_status", self->directory);
    AUTO(closedir) DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name);
        if (!str_ends(entry->d_name, ".ready") || length >= WAL_NAME_ROOM + strlen(".ready"))
            continue;
        entry->d_name[length - strlen(".ready")] = '\0';
        if (wal_kind(entry->d_name) != WAL_NONE && strcmp(entry->d_name, self->files[0].name) != 0)
            strlist_add(ret_names, entry->d_name);
    }
    if (ret_names->count)
        qsort(ret_names->items, ret_names->count, sizeof(char *), by_order);
}

/* Archiving them */

static int
archive_file(Ahead *self, AheadFile *file, Coder **compressor)
{
    AUTO(close) int fd = -1;
    AUTO(free) char *path = mem_printf("%s/%s", self->directory, file->name);
    struct stat st;
    WalFile wal;
    TRY(file_open(path, &fd));
    if (fstat(fd, &st) < 0)
        return fail_errno("stat '%s'", path);
    note_identity(file, &st);
    int result = deposit(&self->recipe, compressor, file->name, fd, &wal);
    return result == DEPOSIT_SAME ? 0 : result;
}

static void
archive_item(void *context, size_t item, int worker)
{
    Ahead *self = context;
    AheadFile *file = &self->files[item];
    file->result = archive_file(self, file, &self->compressors[worker]);
    if (file->result < 0)
        file->error = *error_last();
}

static int
archive_ahead(Ahead *self, size_t parallel)
{
    AUTO(strlist) StrList ready = {0};
    if (parallel > 1)
        list_ready(self, &ready);
    for (size_t i = 0; i < ready.count && self->count < parallel; i++)
        add_file(self, ready.items[i]);
    TRY(pipeline_run(self->count, (int)self->count, archive_item, self));
    for (size_t i = 1; i < self->count; i++)
        if (self->files[i].result != 0)
            log_warning("'%s' could not be archived ahead of time: %s", self->files[i].name,
                        self->files[i].result < 0 ? self->files[i].error.text
                                                  : "the archive has other content for it");
    if (self->count > 1 && write_record(self) < 0)
        log_warning("what was archived ahead of time is not remembered: %s", error_last()->text);
    return 0;
}

static int
init_recipe(Ahead *self, Arena *arena, Store **ret_store)
{
    Recipe *recipe = &self->recipe;
    TRY(codec_configured(self->server, &recipe->codec, &recipe->level));
    TRY(cipher_configured(self->server, &recipe->cipher));
    custom_codec_init(self->server, arena, &recipe->custom);
    gate_init(self->server, &recipe->gate);
    recipe->gate.grace = 0; /* PostgreSQL has finished what it calls us for */
    TRY(archive_open(self->server, ret_store));
    recipe->store = *ret_store;
    return 0;
}

static int
archive(Ahead *self, size_t parallel)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(store) Store *store = NULL;
    AUTO(free)
    char *lock = mem_printf("%s/.%s.lock", self->server->backup_directory, record_name);
    pid_t holder = 0;
    TRY(find_place(self));
    TRY(dir_make(self->server->backup_directory));
    int locked = lock_take(lock, LOCK_EXCLUSIVE, 0, &self->lock, &holder);
    TRY(locked < 0 ? locked : 0);
    if (locked == 0)
        read_record(self);
    if (is_recorded(self, self->files[0].line)) {
        log_debug("'%s' was archived ahead of time", self->files[0].name);
        return 0;
    }
    TRY(init_recipe(self, arena, &store));
    TRY(archive_ahead(self, locked == 0 ? parallel : 1));
    if (self->files[0].result < 0)
        error_restore(&self->files[0].error);
    return self->files[0].result;
}

int
ahead_archive(const ServerConfig *server, const char *path, size_t parallel)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    AUTO(free)
    char *directory =
        slash ? mem_printf("%.*s", slash == path ? 1 : (int)(slash - path), path) : mem_dup(".");
    if (wal_kind(name) == WAL_NONE)
        return fail(ERR_USAGE, "'%s' is not a valid wal file name", name);
    if (!server_is_remote(server))
        return hint(fail(ERR_CONFIG, "the archive '%s' is no object store", server->wals_directory),
                    "a directory is archived to by archive-wal, from incoming/");
    Ahead *self = mem_alloc(sizeof(*self));
    self->server = server;
    self->directory = directory;
    self->lock = LOCK_NONE;
    add_file(self, name);
    int result = archive(self, parallel < AHEAD_MAX ? parallel : AHEAD_MAX);
    Error error = *error_last();
    for (size_t i = 0; i < AHEAD_MAX; i++)
        if (self->compressors[i])
            coder_free(self->compressors[i]);
    lock_release(&self->lock);
    strlist_done(&self->record);
    free(self->place);
    free(self);
    if (result < 0)
        error_restore(&error);
    return result;
}
