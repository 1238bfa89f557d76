/* SPDX-License-Identifier: PostgreSQL
 * Everything that the archive holds, beside what the catalog says that it holds. */
#ifndef WALDEN_FLOW_INVENTORY_H
#define WALDEN_FLOW_INVENTORY_H

#include "config/config.h"
#include "flow/store/store.h"
#include "flow/xlogdb/xlogdb.h"

typedef struct InventoryFile {
    char name[WAL_NAME_ROOM];
    WalKind kind;
    uint32_t lines;          /* of the catalog that name it */
    int64_t stored;          /* bytes in the archive; -1: it is not there */
    int64_t recorded;        /* bytes by its last line; -1: it has none */
    time_t mtime;            /* of the file in the archive */
    const char *compression; /* by its last line; static storage, NULL: none */
    const char *encryption;  /* likewise */
    bool listed;             /* scratch: has a line still */
} InventoryFile;

/* About 100 bytes of memory for each file. */
typedef struct Inventory {
    InventoryFile *files; /* history files first, then in order of their names */
    size_t count;
    size_t room;
    size_t damaged;   /* lines of the catalog that cannot be read */
    size_t strangers; /* objects in the archive that are no WAL files */
    bool has_catalog;
} Inventory;

/* Takes stock without stopping anybody: what is archived or deleted meanwhile is looked at twice,
 * so that it does not look as if catalog and archive disagreed. lock_path: the archive-wal lock. */
int inventory_take(const Store *store, XlogDb *catalog, const char *lock_path,
                   Inventory *ret_inventory);

void inventory_done(Inventory *inventory);

/* By its name, or NULL. */
InventoryFile *inventory_find(const Inventory *inventory, const char *name);

static inline void
auto_inventory(Inventory *inventory)
{
    inventory_done(inventory);
}

#endif
