/* SPDX-License-Identifier: PostgreSQL
 * Looks where Barman looks, in its order: archive, incoming/, streaming/, partial files if they are
 * wanted, and the archive again, since the archiver may have moved the file meanwhile.
 *
 * An answer that is wrong ends a recovery too early and nobody notices. So "not there" is said only
 * when the archive could be read and its catalog does not know the file either; everything else is
 * an error, after it was tried again until the deadline. */
#include "flow/retrieve.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"
#include "flow/content.h"
#include "flow/growing.h"
#include "flow/handout.h"
#include "flow/place.h"
#include "flow/xlogdb/xlogdb.h"
#include "wal/name.h"

#include <errno.h>
#include <fcntl.h>

typedef struct Search {
    const Retrieval *what;
    Store *store;
    CustomCodec custom;
    bool arriving; /* the file is there, but not whole */
    bool *written; /* bytes have gone out */
} Search;

/* Tries one place. 0: handed out; RETRIEVE_MISSING: not here. */
static int
try_path(Search *search, const char *directory, const char *name)
{
    AUTO(free) char *path = mem_printf("%s/%s", directory, name);
    CustomCodec custom = search->custom;
    custom.presumed = false; /* not archived yet */
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return RETRIEVE_MISSING;
    if (fd < 0)
        return fail_errno("open '%s'", path);
    int result = handout(search->what, &custom, fd, path, search->written);
    if (result != HANDOUT_ARRIVING)
        return result;
    search->arriving = true;
    return RETRIEVE_MISSING;
}

static XlogDb *
catalog_of(const Retrieval *what)
{
    XlogDbPlace place = xlogdb_place(what->config, what->server);
    place.lock_wait_ms = what->deadline_ms > 0 ? what->deadline_ms : 1;
    return xlogdb_new(&place);
}

typedef struct Wanted {
    const char *name;
    WalFile row;
} Wanted;

static int
take_row(void *context, const WalFile *row)
{
    Wanted *wanted = context;
    if (strcmp(row->name, wanted->name) == 0)
        wanted->row = *row;
    return 0;
}

/* A file of which nothing says what it is may be one that the site has encrypted in a way of its
 * own, or one of ours whose first bytes are damaged: then the catalog knows better. */
static int
check_recorded(const Search *search, const char *name, int fd, const char *path)
{
    Content content = CONTENT_NONE;
    Wanted wanted = {.name = name};
    size_t damaged = 0;
    TRY(wrap(content_open_stored(fd, name, &search->custom, &content), "'%s'", path));
    if (!content_is_opaque(&content))
        return 0;
    AUTO(xlogdb) XlogDb *db = catalog_of(search->what);
    if (xlogdb_read(db, take_row, &wanted, &damaged) < 0) {
        log_warning("%s; handing out '%s', whose contents are not known", error_last()->text, path);
        return 0;
    }
    const WalFile *row = &wanted.row;
    bool compressed = row->compression && strcmp(row->compression, "custom") != 0;
    if (!row->encryption && !compressed)
        return 0;
    return hint(
        fail(ERR_DATA,
             "archived file '%s' does not begin as a file of %s, which the catalog says it is",
             path, row->encryption ? row->encryption : row->compression),
        "the archive is damaged there: look for another copy of this file");
}

static int
try_archive(Search *search, const char *name)
{
    AUTO(close) int fd = -1;
    int found = store_read(search->store, name, &fd);
    if (found == STORE_MISSING)
        return RETRIEVE_MISSING;
    TRY(found);
    AUTO(free) char *path = store_path(search->store, name, NULL);
    if (!search->what->keep_compression)
        TRY(check_recorded(search, name, fd, path));
    int result = handout(search->what, &search->custom, fd, path, search->written);
    if (result == HANDOUT_ARRIVING)
        return hint(fail(ERR_DATA, "archived file '%s' is shorter than its header says", path),
                    "the archive is damaged there: look for another copy of this file");
    return result;
}

/* The segment that was growing when the host was lost that received it */
static int
try_pieces(const Search *search)
{
    const Retrieval *what = search->what;
    AUTO(close) int fd = -1;
    if (!what->partial || !store_is_remote(search->store) || wal_kind(what->name) != WAL_SEGMENT)
        return RETRIEVE_MISSING;
    int found = growing_assemble(search->store, search->custom.keyring, what->name, &fd);
    if (found == GROWING_NONE)
        return RETRIEVE_MISSING;
    TRY(found);
    AUTO(free) char *path = mem_printf("%s/%s.partial", what->server->wals_directory, what->name);
    return handout(what, &(CustomCodec){0}, fd, path, search->written);
}

static int
try_everywhere(Search *search)
{
    const Retrieval *what = search->what;
    const ServerConfig *server = what->server;
    AUTO(free) char *partial = mem_printf("%s.partial", what->name);
    bool partials = what->partial && wal_kind(what->name) == WAL_SEGMENT;
    const struct {
        const char *directory; /* NULL: the archive */
        const char *name;
        bool wanted;
    } places[] = {
        {NULL, what->name, true},
        {server->incoming_wals_directory, what->name, true},
        {server->streaming_wals_directory, what->name, true},
        {server->streaming_wals_directory, partial, partials},
        {server->streaming_wals_directory, what->name, partials},
        {NULL, partial, partials},
        {server->incoming_wals_directory, partial, partials},
        {NULL, what->name, true},
    };
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        if (!places[i].wanted)
            continue;
        int result = places[i].directory ? try_path(search, places[i].directory, places[i].name)
                                         : try_archive(search, places[i].name);
        if (result != RETRIEVE_MISSING)
            return result;
    }
    return try_pieces(search);
}

/* Nothing was found: is that certain? An archive that is not mounted looks empty. */
static int
confirm_missing(const Search *search)
{
    const Retrieval *what = search->what;
    AUTO(xlogdb) XlogDb *db = catalog_of(what);
    bool listed = false;
    if (search->arriving)
        return fail(ERR_BUSY, "'%s' is still arriving", what->name);
    if (!xlogdb_exists(db)) {
        int empty = store_is_empty(search->store);
        return empty < 0              ? empty
               : empty == STORE_EMPTY ? archive_fail_empty(what->server)
                                      : RETRIEVE_MISSING;
    }
    TRY(xlogdb_contains(db, &what->name, 1, &listed));
    struct stat st;
    int found = listed ? store_stat(search->store, what->name, &st) : 0;
    if (found < 0)
        return found;
    if (listed && found == 0)
        return fail(ERR_BUSY, "'%s' was being archived at this moment", what->name);
    if (listed)
        return hint(fail(ERR_DATA, "'%s' is in the catalog '%s' but not in the archive", what->name,
                         xlogdb_path(db)),
                    "the archive has lost this file: look for another copy, or run rebuild-xlogdb");
    return RETRIEVE_MISSING;
}

static int
search_once(const Retrieval *what, bool *written)
{
    AUTO(store) Store *opened = NULL;
    AUTO(arena) Arena *arena = arena_new();
    Search search = {.what = what, .store = what->store, .written = written};
    if (!search.store)
        TRY(archive_need(what->server, what->deadline_ms, &opened));
    if (opened)
        search.store = opened;
    custom_codec_init(what->server, arena, &search.custom);
    int result = try_everywhere(&search);
    return result == RETRIEVE_MISSING ? confirm_missing(&search) : result;
}

static bool
worth_another_try(bool written)
{
    const Error *error = error_last();
    if (written)
        return false;
    return error->class == ERR_IO || error->class == ERR_BUSY || error->class == ERR_TIMEOUT;
}

int
retrieve(const Retrieval *what)
{
    int64_t deadline = clock_ms() + what->deadline_ms;
    bool written = false;
    for (int64_t pause_ms = 100;; pause_ms = pause_ms < 2000 ? pause_ms * 2 : 2000) {
        int result = search_once(what, &written);
        if (result >= 0 || !worth_another_try(written) || clock_ms() + pause_ms > deadline)
            return result;
        log_warning("%s; will try again", error_last()->text);
        clock_pause_ms(pause_ms);
    }
}

int
retrieve_from(const Retrieval *what, int fd, const char *path)
{
    bool written = false;
    int result = handout(what, &(CustomCodec){0}, fd, path, &written);
    return (result < 0 && !written) || result == HANDOUT_ARRIVING ? RETRIEVE_MISSING : result;
}

/* For peek: is it there at all, whole or not? */
static int
exists_somewhere(const Retrieval *what, const Store *store, const char *name, bool *ret_exists)
{
    const char *const directories[] = {what->server->incoming_wals_directory,
                                       what->server->streaming_wals_directory};
    struct stat st;
    int found = store_stat(store, name, &st);
    if (found < 0)
        return found;
    *ret_exists = found == 0;
    for (size_t i = 0; i < COUNT_OF(directories) && !*ret_exists; i++) {
        AUTO(free) char *path = mem_printf("%s/%s", directories[i], name);
        *ret_exists = stat(path, &st) == 0;
        if (!*ret_exists && errno != ENOENT)
            return fail_errno("look for '%s'", path);
    }
    return 0;
}

int
retrieve_peek(const Retrieval *what, size_t limit, void (*visit)(void *context, const char *name),
              void *context)
{
    AUTO(store) Store *store = NULL;
    WalName name;
    char text[WAL_NAME_ROOM];
    TRY(archive_need(what->server, what->deadline_ms, &store));
    wal_name_parse(what->name, &name);
    snprintf(text, sizeof(text), "%s", what->name);
    for (size_t found = 0; found < limit;) {
        bool exists = false;
        TRY(exists_somewhere(what, store, text, &exists));
        if (exists) {
            visit(context, text);
            found++;
            if (name.kind != WAL_SEGMENT || !wal_name_next(&name, 0, &name))
                return 0;
        } else {
            /* The segment size is not known. Where the numbers of a log file can end, at as many
             * segments as make 4 GiB, the next segment may be number 0 of the next log file. */
            bool border = name.kind == WAL_SEGMENT && name.seg &&
                          wal_segment_size_valid((UINT64_C(1) << 32) / name.seg);
            if (!border || name.log == UINT32_MAX)
                return 0;
            name.seg = 0;
            name.log++;
        }
        wal_name_format(&name, text);
    }
    return 0;
}
