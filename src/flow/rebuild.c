/* SPDX-License-Identifier: PostgreSQL
 * What the old catalog knows is more than the files tell (which program compressed them, the order
 * in which they came), so it is kept where it is still true. */
#include "flow/rebuild.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "flow/custom.h"
#include "flow/item.h"
#include "flow/store/store.h"
#include "flow/xlogdb/xlogdb.h"

#include <search.h>

typedef struct Rebuild {
    Store *store;
    CustomCodec custom;
    XlogDbEdit *edit;
    void *kept; /* names that have their row already, a tree of tsearch() */
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

static int
by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int
keep_row(void *context, const WalFile *row)
{
    Rebuild *rebuild = context;
    WalFile now = *row;
    struct stat st;
    int result = store_stat(rebuild->store, row->name, &st);
    bool regular = result == 0 && S_ISREG(st.st_mode);
    if (regular && st.st_size != row->size)
        result = archived_row(rebuild->store, &rebuild->custom, row->name, &now);
    if (result < 0)
        return result;
    if (!regular || result == STORE_MISSING || tfind(row->name, &rebuild->kept, by_name)) {
        rebuild->summary.dropped++;
        return 0;
    }
    if (!tsearch(mem_dup(row->name), &rebuild->kept, by_name))
        mem_exhausted(0);
    return emit(rebuild, &now);
}

static int
add_missing(void *context, const char *name)
{
    Rebuild *rebuild = context;
    WalFile row;
    if (tfind(name, &rebuild->kept, by_name))
        return 0;
    int result = archived_row(rebuild->store, &rebuild->custom, name, &row);
    if (result == STORE_MISSING) /* somebody has removed it since it was listed */
        return 0;
    TRY(result);
    rebuild->summary.added++;
    return emit(rebuild, &row);
}

static int
produce(void *context, XlogDbEdit *edit)
{
    Rebuild *rebuild = context;
    rebuild->edit = edit;
    TRY(xlogdb_edit_read(edit, keep_row, rebuild, &rebuild->summary.damaged));
    return store_list(rebuild->store, add_missing, rebuild, &rebuild->summary.strangers);
}

int
rebuild_catalog(const Config *config, const ServerConfig *server, const RebuildObserver *observer,
                RebuildSummary *ret_summary)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(store) Store *store = NULL;
    XlogDbPlace place = xlogdb_place(config, server);
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    TRY(store_open(server->wals_directory, &store));
    Rebuild rebuild = {.store = store, .observer = observer};
    custom_codec_init(server, arena, &rebuild.custom);
    int result = xlogdb_replace(db, produce, &rebuild);
    tdestroy(rebuild.kept, free);
    *ret_summary = rebuild.summary;
    return result;
}
