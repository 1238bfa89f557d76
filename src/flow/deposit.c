/* SPDX-License-Identifier: PostgreSQL
 * Step 1 and 2 of archive.c for one file: checked, stored, named. No catalog, no hooks, and the
 * source is not ours to remove. */
#include "flow/deposit.h"

#include "flow/archived.h"

static int
publish(const Recipe *recipe, Item *item)
{
    const char *name = item->wal.name;
    int result = store_put_publish(item->put);
    if (result == STORE_EXISTS) { /* somebody was faster, or our own answer was lost */
        result = item_compare(recipe, item);
        TRY(result < 0 ? result : 0);
        item->state = (ItemState)result;
        return 0;
    }
    TRY(result);
    return store_sync(recipe->store, &name, 1);
}

static int
settle(const Recipe *recipe, Item *item, WalFile *ret_wal)
{
    if (item->state == ITEM_READY)
        TRY(publish(recipe, item));
    switch (item->state) {
    case ITEM_READY:
        *ret_wal = item->wal;
        return 0;
    case ITEM_SAME: /* its publisher may have died before it was durable */
        return store_sync_file(recipe->store, item->wal.name) == 0 ? DEPOSIT_SAME : -1;
    case ITEM_DIFFERENT:
        return DEPOSIT_DIFFERENT;
    case ITEM_FAILED:
        error_restore(&item->error);
        return -1;
    default:
        return fail(ERR_DATA, "'%s' does not belong into this archive: %s", item->wal.name,
                    item->reason);
    }
}

int
deposit(const Recipe *recipe, Coder **compressor, const char *name, int fd, WalFile *ret_wal)
{
    Item item;
    if (item_examine_open(recipe, name, fd, &item))
        item_store(recipe, compressor, &item);
    int result = settle(recipe, &item, ret_wal);
    item_done(&item);
    return result;
}
