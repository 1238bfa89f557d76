/* SPDX-License-Identifier: PostgreSQL
 * The catalog is read before the archive is listed: a file gets its name first and its line after,
 * so that whatever has a line was there to be listed. What has no line yet, or no file any more, is
 * looked at again when nobody archives, or after some patience. */
#include "flow/inventory.h"

#include "base/lock.h"
#include "base/proc.h"
#include "wal/name.h"

enum { LOOKS = 10, PAUSE_MS = 500 };

void
inventory_done(Inventory *inventory)
{
    free(inventory->files);
    *inventory = (Inventory){0};
}

static int
file_order(const void *a, const void *b)
{
    const InventoryFile *x = a, *y = b;
    int x_history = x->kind == WAL_HISTORY, y_history = y->kind == WAL_HISTORY;
    return x_history != y_history ? y_history - x_history : strcmp(x->name, y->name);
}

InventoryFile *
inventory_find(const Inventory *inventory, const char *name)
{
    InventoryFile key = {.kind = wal_kind(name)};
    snprintf(key.name, sizeof(key.name), "%s", name);
    if (inventory->count == 0)
        return NULL;
    return bsearch(&key, inventory->files, inventory->count, sizeof(key), file_order);
}

static InventoryFile *
add(Inventory *inventory, const char *name, WalKind kind)
{
    if (inventory->count == inventory->room) {
        inventory->room = inventory->room ? 2 * inventory->room : 256;
        inventory->files = mem_resize(inventory->files, inventory->room, sizeof(*inventory->files));
    }
    InventoryFile *file = &inventory->files[inventory->count++];
    *file = (InventoryFile){.kind = kind, .stored = -1, .recorded = -1};
    snprintf(file->name, sizeof(file->name), "%s", name);
    return file;
}

static void
set_row(InventoryFile *file, const WalFile *row)
{
    file->lines++;
    file->recorded = row->size;
    file->compression = row->compression;
    file->encryption = row->encryption;
}

static int
add_row(void *context, const WalFile *row)
{
    set_row(add(context, row->name, row->kind), row);
    return 0;
}

static void
note_stat(InventoryFile *file, const struct stat *st)
{
    file->stored = st->st_size;
    file->mtime = st->st_mtim.tv_sec;
}

static int
stat_file(const Store *store, InventoryFile *file)
{
    struct stat st;
    int result = store_stat(store, file->name, &st);
    if (result == 0 && S_ISREG(st.st_mode))
        note_stat(file, &st);
    return result < 0 ? result : 0;
}

static int
add_file(void *context, const char *name, const struct stat *st)
{
    note_stat(add(context, name, wal_kind(name)), st);
    return 0;
}

/* Lines and file of one name become one entry. The sort may bring them together in any order, and
 * of several lines the last one counts only if they are equal; else any of them is wrong anyway. */
static void
put_together(Inventory *inventory)
{
    InventoryFile *files = inventory->files;
    size_t kept = 0;
    if (inventory->count > 1)
        qsort(files, inventory->count, sizeof(*files), file_order);
    for (size_t i = 0; i < inventory->count; i++) {
        InventoryFile *last = kept ? &files[kept - 1] : NULL;
        if (!last || file_order(last, &files[i]) != 0) {
            files[kept++] = files[i];
            continue;
        }
        if (files[i].stored >= 0) {
            last->stored = files[i].stored;
            last->mtime = files[i].mtime;
        }
        if (files[i].lines) {
            last->recorded = files[i].recorded;
            last->compression = files[i].compression;
            last->encryption = files[i].encryption;
        }
        last->lines += files[i].lines;
    }
    inventory->count = kept;
}

static bool
is_unlisted(const InventoryFile *file)
{
    return file->stored >= 0 && file->recorded < 0;
}

static bool
is_missing(const InventoryFile *file)
{
    return file->recorded >= 0 && file->stored < 0;
}

static int
look_again(void *context, const WalFile *row)
{
    InventoryFile *file = inventory_find(context, row->name);
    if (file && is_unlisted(file))
        set_row(file, row);
    if (file)
        file->listed = true;
    return 0;
}

/* True when no archiver is at work: then what it has published is recorded, too. */
static bool
is_quiet(const char *lock_path)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    return lock_take(lock_path, LOCK_SHARED, 0, &lock, &holder) == 0;
}

static size_t
count_unlisted(const Inventory *inventory)
{
    size_t count = 0;
    for (size_t i = 0; i < inventory->count; i++)
        count += is_unlisted(&inventory->files[i]);
    return count;
}

/* What is still missing or not listed after that is so; what was deleted meanwhile is dropped. */
static int
drop_gone(const Store *store, Inventory *inventory)
{
    size_t kept = 0;
    for (size_t i = 0; i < inventory->count; i++) {
        InventoryFile *file = &inventory->files[i];
        if (is_missing(file) || is_unlisted(file)) {
            file->stored = -1;
            TRY(stat_file(store, file));
        }
        if (file->stored >= 0 || file->listed)
            inventory->files[kept++] = *file;
    }
    inventory->count = kept;
    return 0;
}

/* Looks at the catalog again where it and the archive seem to disagree. */
static int
settle(const Store *store, XlogDb *catalog, const char *lock_path, Inventory *inventory)
{
    size_t damaged = 0, suspects = count_unlisted(inventory);
    for (size_t i = 0; i < inventory->count; i++)
        suspects += inventory->files[i].stored < 0;
    if (suspects == 0)
        return 0;
    for (int look = 1; look <= LOOKS; look++) {
        bool quiet = is_quiet(lock_path);
        TRY(xlogdb_read(catalog, look_again, inventory, &damaged));
        if (quiet || count_unlisted(inventory) == 0)
            break;
        stop_poll(NULL, 0, PAUSE_MS);
        TRY(stop_check());
    }
    return drop_gone(store, inventory);
}

int
inventory_take(const Store *store, XlogDb *catalog, const char *lock_path, Inventory *ret_inventory)
{
    AUTO(inventory) Inventory inventory = {.has_catalog = xlogdb_exists(catalog)};
    TRY(xlogdb_read(catalog, add_row, &inventory, &inventory.damaged));
    TRY(store_list(store, add_file, &inventory, &inventory.strangers));
    put_together(&inventory);
    TRY(settle(store, catalog, lock_path, &inventory));
    *ret_inventory = inventory;
    inventory = (Inventory){0};
    return 0;
}
