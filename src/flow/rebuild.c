/* SPDX-License-Identifier: PostgreSQL
 * What the old catalog knows is more than the files tell (which program compressed them, the order
 * in which they came), so it is kept where it is still true. */
#include "flow/rebuild.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "flow/archived.h"
#include "flow/custom.h"
#include "flow/place.h"
#include "flow/xlogdb/xlogdb.h"
#include "wal/name.h"

typedef struct Archived {
    char name[WAL_NAME_ROOM];
    off_t size;
    bool kept; /* has its row already */
} Archived;

typedef struct Rebuild {
    Store *store;
    CustomCodec custom;
    XlogDbEdit *edit;
    Archived *files; /* all of them, listed once: the rows may be as many */
    size_t count, room;
    RebuildSummary summary;
    const RebuildObserver *observer;
    int64_t due; /* when to tell of the progress again */
} Rebuild;

enum { PROGRESS_MS = 200 };

static void
tell_progress(Rebuild *rebuild)
{
    if (!rebuild->observer->progress || clock_ms() < rebuild->due)
        return;
    rebuild->observer->progress(rebuild->observer->context, &rebuild->summary);
    rebuild->due = clock_ms() + PROGRESS_MS;
}

static int
emit(Rebuild *rebuild, const WalFile *row)
{
    TRY(stop_check());
    tell_progress(rebuild);
    if (row->kind == WAL_HISTORY)
        rebuild->summary.history++;
    else if (row->kind == WAL_LABEL)
        rebuild->summary.labels++;
    else
        rebuild->summary.segments++;
    return xlogdb_edit_emit(rebuild->edit, row);
}

/* As the archive is listed */
static int
by_name(const void *left, const void *right)
{
    const Archived *a = left, *b = right;
    bool a_first = wal_kind(a->name) == WAL_HISTORY, b_first = wal_kind(b->name) == WAL_HISTORY;
    return a_first != b_first ? b_first - a_first : strcmp(a->name, b->name);
}

static int
note_file(void *context, const char *name, const struct stat *st)
{
    Rebuild *rebuild = context;
    if (rebuild->count == rebuild->room) {
        rebuild->room = rebuild->room ? 2 * rebuild->room : 256;
        rebuild->files = mem_resize(rebuild->files, rebuild->room, sizeof(Archived));
    }
    Archived *file = &rebuild->files[rebuild->count++];
    *file = (Archived){.size = st->st_size};
    snprintf(file->name, sizeof(file->name), "%s", name);
    return stop_check();
}

static int
keep_row(void *context, const WalFile *row)
{
    Rebuild *rebuild = context;
    WalFile now = *row;
    Archived wanted, *file = NULL;
    snprintf(wanted.name, sizeof(wanted.name), "%s", row->name);
    if (rebuild->count)
        file = bsearch(&wanted, rebuild->files, rebuild->count, sizeof(Archived), by_name);
    struct stat st;
    int result = 0;
    if (!file) /* asked for by its name: nothing may be in the way */
        result = store_stat(rebuild->store, row->name, &st);
    else if (file->size != row->size)
        result = archived_row(rebuild->store, &rebuild->custom, row->name, &now);
    if (result < 0)
        return result;
    if (!file || file->kept || result == STORE_MISSING) {
        rebuild->summary.dropped++;
        return 0;
    }
    file->kept = true;
    return emit(rebuild, &now);
}

static int
add_missing(Rebuild *rebuild, const char *name)
{
    WalFile row;
    int result = archived_row(rebuild->store, &rebuild->custom, name, &row);
    if (result == STORE_MISSING) /* somebody has removed it since it was listed */
        return 0;
    TRY(result);
    rebuild->summary.added++;
    return emit(rebuild, &row);
}

/* The catalog's lock is held: no row comes while this goes on. */
static int
produce(void *context, XlogDbEdit *edit)
{
    Rebuild *rebuild = context;
    rebuild->edit = edit;
    TRY(store_list(rebuild->store, note_file, rebuild, &rebuild->summary.strangers));
    if (rebuild->count)
        qsort(rebuild->files, rebuild->count, sizeof(Archived), by_name);
    TRY(xlogdb_edit_read(edit, keep_row, rebuild, &rebuild->summary.damaged));
    for (size_t i = 0; i < rebuild->count; i++)
        if (!rebuild->files[i].kept)
            TRY(add_missing(rebuild, rebuild->files[i].name));
    return 0;
}

int
rebuild_catalog(const Config *config, const ServerConfig *server, const RebuildObserver *observer,
                RebuildSummary *ret_summary)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(store) Store *store = NULL;
    XlogDbPlace place = xlogdb_place(config, server);
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    TRY(archive_open(server, &store));
    Rebuild rebuild = {.store = store, .observer = observer};
    custom_codec_init(server, arena, &rebuild.custom);
    int result = xlogdb_replace(db, produce, &rebuild);
    free(rebuild.files);
    *ret_summary = rebuild.summary;
    return result;
}
