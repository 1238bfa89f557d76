/* SPDX-License-Identifier: PostgreSQL
 * The account of an archive by its catalog, which costs one reading of it: of the archive itself
 * only a few headers and the history files are opened. What cannot be found out on the way
 * (encrypted segments, a damaged history file) makes a warning, never an account that looks right.
 */
#include "flow/holdings.h"

#include "flow/custom.h"
#include "flow/inspect.h"
#include "flow/place.h"
#include "flow/xlogdb/xlogdb.h"
#include "wal/name.h"

enum { SIZE_TRIES = 8 };

static const char *const source_names[] = {
    [SIZE_FROM_HEADER] = "header",
    [SIZE_FROM_CATALOG] = "catalog",
    [SIZE_FROM_NAMES] = "names",
    [SIZE_ASSUMED] = "assumed",
};

const char *
size_source_name(SizeSource source)
{
    return source_names[source];
}

typedef struct Taking {
    Holdings *holdings;
    Inspector inspector;
    XlogDb *db;
    HoldingsVisit *visit;
    void *context;
    StrList histories;
    char last[WAL_NAME_ROOM]; /* segment of the catalog */
    size_t other_sizes;       /* uncompressed segments of another size */
    /* While the segment size is looked for */
    int tries;
    char recent[SIZE_TRIES][WAL_NAME_ROOM]; /* a ring of the last segments */
    size_t segments;
    uint32_t highest;  /* third group of a name */
    uint32_t log_from; /* second groups */
    uint32_t log_to;
    int64_t plain; /* size of the newest segment that is not compressed */
} Taking;

/* The segment size */

static bool
ask_header(const Taking *taking, const char *name)
{
    WalFacts facts;
    if (!taking->inspector.store || !inspect_facts(&taking->inspector, name, &facts))
        return false;
    taking->holdings->segment_size = facts.segment_size;
    taking->holdings->size_source = SIZE_FROM_HEADER;
    return true;
}

static int
ask_first(void *context, const WalFile *row)
{
    Taking *taking = context;
    if (row->kind != WAL_SEGMENT)
        return 0;
    return ask_header(taking, row->name) || ++taking->tries == SIZE_TRIES;
}

static bool
is_plain(const WalFile *row)
{
    return row->kind == WAL_SEGMENT && !row->compression && !row->encryption && row->size > 0 &&
           wal_segment_size_valid((uint64_t)row->size);
}

static int
look_at_name(void *context, const WalFile *row)
{
    Taking *taking = context;
    WalName name;
    if (row->kind != WAL_SEGMENT || !wal_name_parse(row->name, &name))
        return 0;
    memcpy(taking->recent[taking->segments++ % SIZE_TRIES], row->name, sizeof(row->name));
    if (name.seg > taking->highest)
        taking->highest = name.seg;
    if (taking->segments == 1 || name.log < taking->log_from)
        taking->log_from = name.log;
    if (name.log > taking->log_to)
        taking->log_to = name.log;
    if (is_plain(row))
        taking->plain = row->size;
    return 0;
}

/* With segments of 16 MiB the third group goes from 0 to FF, with smaller ones higher. One that
 * goes to 3F, over several logs, is of 64 MiB. */
static void
guess_by_names(const Taking *taking)
{
    Holdings *holdings = taking->holdings;
    uint64_t usual = (UINT64_C(1) << 32) / WAL_SEGMENT_DEFAULT, count = 4;
    while (count <= taking->highest)
        count *= 2;
    bool full = taking->log_to > taking->log_from && count == (uint64_t)taking->highest + 1;
    uint64_t size = (UINT64_C(1) << 32) / count;
    if ((count > usual || (full && count < usual)) && wal_segment_size_valid(size)) {
        holdings->segment_size = (uint32_t)size;
        holdings->size_source = SIZE_FROM_NAMES;
    }
}

static int
find_size(Taking *taking)
{
    Holdings *holdings = taking->holdings;
    size_t damaged = 0;
    holdings->segment_size = WAL_SEGMENT_DEFAULT;
    holdings->size_source = SIZE_ASSUMED;
    int result = xlogdb_read(taking->db, ask_first, taking, &damaged);
    if (result < 0 || holdings->size_source == SIZE_FROM_HEADER || taking->tries == 0)
        return result < 0 ? result : 0;
    TRY(xlogdb_read(taking->db, look_at_name, taking, &damaged));
    size_t recent = taking->segments < SIZE_TRIES ? taking->segments : SIZE_TRIES;
    for (size_t i = 0; i < recent; i++)
        if (ask_header(taking, taking->recent[i]))
            return 0;
    if (taking->plain) {
        holdings->segment_size = (uint32_t)taking->plain;
        holdings->size_source = SIZE_FROM_CATALOG;
    } else {
        guess_by_names(taking);
    }
    return 0;
}

/* The account */

static int
count_row(void *context, const WalFile *row)
{
    Taking *taking = context;
    taking->holdings->rows++;
    if (row->kind == WAL_HISTORY)
        strlist_add(&taking->histories, row->name);
    if (row->kind == WAL_SEGMENT)
        memcpy(taking->last, row->name, sizeof(taking->last));
    taking->other_sizes += is_plain(row) && row->size != taking->holdings->segment_size;
    coverage_add(taking->holdings->owner, row);
    if (taking->visit)
        taking->visit(taking->context, row);
    return 0;
}

static void
add_histories(Taking *taking)
{
    Holdings *holdings = taking->holdings;
    for (size_t i = 0; i < taking->histories.count && holdings->store; i++) {
        const char *name = taking->histories.items[i];
        AUTO(arena) Arena *arena = arena_new();
        Inspection found;
        History history;
        WalName parsed;
        wal_name_parse(name, &parsed);
        inspect_history(&taking->inspector, name, arena, &found, &history);
        if (found.state == INSPECT_GONE)
            strlist_addf(&holdings->warnings,
                         "history file '%s' is in the catalog but not in the archive", name);
        else if (found.state != INSPECT_SOUND)
            strlist_addf(&holdings->warnings, "history file '%s' %s", name, found.reason);
        else if (!coverage_add_history(holdings->owner, parsed.timeline, &history))
            strlist_addf(&holdings->warnings,
                         "history file '%s' is damaged: its last timeline is not older than itself",
                         name);
    }
}

/* Losses that cannot be read leave their gaps unexplained, which is told. */
static void
add_losses(const ServerConfig *server, Holdings *holdings)
{
    Losses losses;
    if (losses_load(server, holdings->arena, &losses) < 0 ||
        losses_place(&losses, holdings->segment_size) < 0) {
        strlist_addf(&holdings->warnings, "acknowledged losses are left out: %s",
                     error_last()->text);
        return;
    }
    holdings->losses = losses;
    for (size_t i = 0; i < losses.count; i++)
        coverage_add_loss(holdings->owner, losses.items[i].timeline, losses.items[i].begin,
                          losses.items[i].end);
}

static void
warn_of_size(const Taking *taking)
{
    Holdings *holdings = taking->holdings;
    char size[SIZE_ROOM];
    WalFacts facts;
    size_format(holdings->segment_size, size);
    if (holdings->coverage->segments + holdings->coverage->misfits == 0)
        return;
    if (holdings->size_source == SIZE_FROM_NAMES)
        strlist_addf(&holdings->warnings,
                     "no segment can be looked into (encrypted?): by their names, the segment size "
                     "is taken to be %s",
                     size);
    else if (holdings->size_source == SIZE_ASSUMED)
        strlist_addf(&holdings->warnings,
                     "no segment can be looked into (encrypted?): the segment size is taken to be "
                     "the usual %s",
                     size);
    bool differs = taking->inspector.store &&
                   inspect_facts(&taking->inspector, taking->last, &facts) &&
                   facts.segment_size != holdings->segment_size;
    if (differs || taking->other_sizes || holdings->coverage->misfits)
        strlist_addf(&holdings->warnings,
                     "there are segments of another size than %s, whose positions and gaps are "
                     "therefore wrong: WAL of another segment size needs an archive of its own",
                     size);
}

static void
warn(const Taking *taking)
{
    Holdings *holdings = taking->holdings;
    if (!holdings->store)
        strlist_addf(&holdings->warnings,
                     "the archive's directory does not exist: this is what the catalog says");
    if (!holdings->has_catalog && holdings->store && store_is_empty(holdings->store) == STORE_EMPTY)
        strlist_addf(&holdings->warnings, "the archive is empty and has no catalog: nothing has "
                                          "been archived, or its file system is not mounted");
    else if (!holdings->has_catalog)
        strlist_addf(&holdings->warnings, "there is no catalog: run rebuild-xlogdb");
    if (holdings->damaged)
        strlist_addf(&holdings->warnings,
                     "the catalog has %zu damaged lines, which do not count: run rebuild-xlogdb",
                     holdings->damaged);
    if (holdings->coverage->duplicates)
        strlist_addf(&holdings->warnings,
                     "the catalog has %zu lines too many of segments that it lists already, whose "
                     "bytes count twice: run rebuild-xlogdb",
                     holdings->coverage->duplicates);
    warn_of_size(taking);
}

static int
take_all(const Config *config, const ServerConfig *server, Taking *taking)
{
    Holdings *holdings = taking->holdings;
    XlogDbPlace place = xlogdb_place(config, server);
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    CustomCodec custom = {0};
    int opened = archive_find(server, &holdings->store);
    if (opened < 0)
        return opened;
    holdings->catalog_path = mem_dup(xlogdb_path(db));
    holdings->has_catalog = xlogdb_exists(db);
    if (!holdings->store && !holdings->has_catalog)
        return hint(fail(ERR_IO, "the archive '%s' does not exist, nor does its catalog",
                         server->wals_directory),
                    "check that its file system is mounted and that wals_directory is right");
    custom_codec_init(server, holdings->arena, &custom);
    taking->inspector = (Inspector){.store = holdings->store, .custom = &custom};
    taking->db = db;
    TRY(find_size(taking));
    holdings->owner = coverage_new(holdings->segment_size);
    TRY(xlogdb_read(db, count_row, taking, &holdings->damaged));
    add_histories(taking);
    add_losses(server, holdings);
    holdings->coverage = coverage_finish(holdings->owner);
    warn(taking);
    return 0;
}

int
holdings_take(const Config *config, const ServerConfig *server, HoldingsVisit *visit, void *context,
              Holdings *ret_holdings)
{
    *ret_holdings = (Holdings){.arena = arena_new()};
    Taking taking = {.holdings = ret_holdings, .visit = visit, .context = context};
    int result = take_all(config, server, &taking);
    strlist_done(&taking.histories);
    return result;
}

void
holdings_done(Holdings *holdings)
{
    free(holdings->catalog_path);
    store_free(holdings->store);
    strlist_done(&holdings->warnings);
    coverage_free(holdings->owner);
    arena_free(holdings->arena);
    *holdings = (Holdings){0};
}
