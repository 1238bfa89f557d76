/* SPDX-License-Identifier: PostgreSQL
 * What PostgreSQL asks of an archive_command, for a file that comes by a stream: success only when
 * the content is durable under its name; the same content again is success; other content never
 * takes its place and is a failure, which the server repeats and counts where its DBA looks.
 *
 * The name may be taken in incoming/ or in the archive, and an archiver may carry the file from the
 * one to the other at any moment. Therefore the archive is asked before the file is published, to
 * spare that, and again behind it, to be sure. */
#include "flow/put.h"

#include "base/file.h"
#include "base/log.h"
#include "flow/archived.h"
#include "flow/custom.h"
#include "flow/intake/parcel.h"
#include "flow/place.h"
#include "flow/xlogdb/xlogdb.h"

#include <errno.h>
#include <fcntl.h>

enum { NOT_THERE = 0, ATTEMPTS = 5, REMOTE_MS = 10 * 1000 };

typedef struct Put {
    const ServerConfig *server;
    XlogDb *catalog;
    const char *incoming;
    Recipe recipe;
    Parcel parcel;
    Item item; /* the parcel's file */
} Put;

static int
fail_different(const Put *put, const char *where)
{
    return hint(fail(ERR_DATA, "there is a '%s' with other content in %s already",
                     put->item.wal.name, where),
                "does another server send its WAL to this archive? Each needs one of its own; see "
                "check-wal-archive");
}

/* NOT_THERE when somebody has removed it meanwhile */
static int
sync_archived(const Put *put)
{
    int result = store_sync_file(put->recipe.store, put->item.wal.name);
    return result == STORE_MISSING ? NOT_THERE : result < 0 ? result : ITEM_SAME;
}

static int
compare_remote(const Put *put)
{
    AUTO(store) Store *store = NULL;
    TRY(archive_need(put->server, REMOTE_MS, &store));
    Recipe recipe = put->recipe;
    recipe.store = store;
    if (put->server->encryption)
        recipe.cipher = cipher_find(put->server->encryption);
    return item_compare(&recipe, &put->item);
}

/* An object store may be slow or away, and the server that sends WAL shall notice nothing of that:
 * without an answer the file waits, and the archiver compares it. */
static int
ask_remote(const Put *put)
{
    const char *name = put->item.wal.name;
    bool listed = false;
    if (xlogdb_exists(put->catalog))
        TRY(xlogdb_contains(put->catalog, &name, 1, &listed));
    if (!listed)
        return NOT_THERE;
    int result = compare_remote(put);
    if (result >= 0 || error_last()->class == ERR_STOPPED)
        return result;
    log_warning("'%s' is archived already, and cannot be compared now: %s", name,
                error_last()->text);
    return NOT_THERE;
}

/* NOT_THERE, ITEM_SAME (and durable), ITEM_DIFFERENT */
static int
ask_archive(const Put *put)
{
    const char *name = put->item.wal.name;
    AUTO(close) int fd = -1;
    if (server_is_remote(put->server))
        return ask_remote(put);
    int found = put->recipe.store ? store_read(put->recipe.store, name, &fd) : STORE_MISSING;
    if (found == STORE_MISSING)
        return NOT_THERE;
    TRY(found);
    int result = item_compare(&put->recipe, &put->item);
    if (result == ITEM_SAME)
        result = sync_archived(put);
    return wrap(result, "'%s'", name);
}

/* The same for incoming/ */
static int
ask_incoming(const Put *put)
{
    AUTO(free) char *path = mem_printf("%s/%s", put->incoming, put->item.wal.name);
    Recipe recipe = put->recipe;
    recipe.custom.presumed = false; /* it waits, and is not archived yet */
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return NOT_THERE;
    if (fd < 0)
        return fail_errno("open '%s'", path);
    int result = item_compare_with(&recipe, &put->item, fd);
    if (result == ITEM_SAME) {
        TRY(file_sync(fd, path));
        TRY(dir_sync(put->incoming));
    }
    return wrap(result, "'%s'", path);
}

/* Is the content there by now, wherever the archiver may have carried it? */
static int
confirm(const Put *put)
{
    int archived = ask_archive(put);
    if (archived == ITEM_DIFFERENT) {
        atomic_withdraw(&put->parcel.file);
        return fail_different(put, "the archive");
    }
    return archived < 0 ? archived : 0;
}

/* Named outcome: somebody else's file of the name came and went. */
enum { PUT_AGAIN = 1 };

static int
publish(Put *put)
{
    int published = atomic_publish(&put->parcel.file);
    if (published == 0)
        published = dir_sync(put->incoming);
    if (published == ATOMIC_EXISTS) {
        int waiting = ask_incoming(put);
        if (waiting == ITEM_DIFFERENT)
            return fail_different(put, put->incoming);
        if (waiting <= 0)
            return waiting < 0 ? waiting : PUT_AGAIN;
    } else if (published < 0) {
        return published;
    }
    return confirm(put);
}

static int
settle(Put *put)
{
    const char *name = put->item.wal.name;
    int result = PUT_AGAIN;
    for (int attempt = 0; attempt < ATTEMPTS && result == PUT_AGAIN; attempt++) {
        int archived = ask_archive(put);
        if (archived == ITEM_DIFFERENT)
            return fail_different(put, "the archive");
        if (archived != NOT_THERE)
            return archived < 0 ? archived : 0;
        TRY(file_sync(put->parcel.file.fd, name));
        result = publish(put);
    }
    return result == PUT_AGAIN ? fail(ERR_BUSY, "'%s' comes and goes in '%s'", name, put->incoming)
                               : result;
}

/* The archiver would take it to errors/ later; here the server that sends it can still be told. */
static int
examine(Put *put)
{
    if (item_examine_open(&put->recipe, put->parcel.name, put->parcel.file.fd, &put->item))
        return 0;
    if (put->item.state == ITEM_FAILED) {
        error_restore(&put->item.error);
        return -1;
    }
    return fail(ERR_DATA, "'%s' does not belong into this archive: %s", put->item.wal.name,
                put->item.reason);
}

/* At first contact: has another cluster become the owner of this archive meanwhile? */
static int
claim(Put *put)
{
    uint64_t owner = 0;
    if (gate_claim(&put->recipe.gate, &put->item.facts, &owner) != GATE_INVALID)
        return 0;
    atomic_withdraw(&put->parcel.file);
    return fail(ERR_DATA,
                "'%s' does not belong into this archive: it is of the cluster with system "
                "identifier %llu, and this archive of %llu",
                put->item.wal.name, (unsigned long long)put->item.facts.system_id,
                (unsigned long long)owner);
}

int
put_wal(const Config *config, const ServerConfig *server, int fd, char *ret_name)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(store) Store *store = NULL;
    XlogDbPlace place = xlogdb_place(config, server);
    AUTO(xlogdb) XlogDb *catalog = xlogdb_new(&place);
    Put put = {.server = server,
               .catalog = catalog,
               .incoming = server->incoming_wals_directory,
               .parcel = PARCEL_NONE,
               .item = {.fd = -1}};
    TRY(dir_make(put.incoming));
    if (dir_sweep(put.incoming) < 0)
        log_warning("%s", error_last()->text);
    TRY(parcel_receive(fd, put.incoming, &put.parcel));
    custom_codec_init(server, arena, &put.recipe.custom);
    gate_init(server, &put.recipe.gate);
    put.recipe.gate.grace = 0; /* it is as whole as it will ever be */
    int result = server_is_remote(server) ? 0 : archive_find(server, &store);
    put.recipe.store = store;
    result = result < 0 ? result : examine(&put);
    if (result == 0)
        result = settle(&put);
    if (result == 0)
        result = claim(&put);
    if (result == 0)
        snprintf(ret_name, WAL_NAME_ROOM, "%s", put.parcel.name);
    item_done(&put.item);
    parcel_done(&put.parcel);
    return result;
}
