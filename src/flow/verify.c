/* SPDX-License-Identifier: PostgreSQL
 * The verification of one archive: takes stock, holds the catalog against it, accounts for what is
 * missing, has the contents checked, and writes down what was found sound. It changes nothing else,
 * stops nobody, and calls nothing sound that it could not look into. */
#include "flow/verify.h"

#include "base/clock.h"
#include "base/log.h"
#include "flow/custom.h"
#include "flow/place.h"
#include "flow/verified.h"
#include "flow/verify_run.h"
#include "wal/identity.h"

enum { SIZE_TRIES = 8 };

static const char rebuild[] = "run rebuild-xlogdb";
static const char look_for_files[] =
    "look for the files in the server's pg_wal, in incoming/ and errors/, and wherever else WAL "
    "may be kept; if there are none, take a base backup and acknowledge the loss";

/* Taking stock */

static int
open_archive(const ServerConfig *server, XlogDb *catalog, Store **ret_store)
{
    AUTO(store) Store *store = NULL;
    TRY(archive_need(server, 0, &store));
    int empty = xlogdb_exists(catalog) ? 0 : store_is_empty(store);
    if (empty != 0)
        return empty < 0 ? empty : archive_fail_empty(server);
    *ret_store = take(store);
    return 0;
}

/* The newest segment that can be looked into says it; without one, an uncompressed one's size. */
static void
find_segment_size(VerifyRun *run)
{
    const Inventory *inventory = &run->inventory;
    WalFacts facts;
    int tries = 0;
    run->segment_size = WAL_SEGMENT_DEFAULT;
    for (size_t i = inventory->count; i-- > 0 && tries < SIZE_TRIES;) {
        const InventoryFile *file = &inventory->files[i];
        if (file->kind != WAL_SEGMENT || file->stored < 0)
            continue;
        if (inspect_facts(&run->inspector, file->name, &facts)) {
            run->segment_size = facts.segment_size;
            run->result->segment_size_known = true;
            return;
        }
        tries++;
    }
}

static void
count_file(VerifyResult *result, const InventoryFile *file)
{
    size_t *const counts[] = {
        [WAL_SEGMENT] = &result->segments,
        [WAL_PARTIAL] = &result->partials,
        [WAL_LABEL] = &result->labels,
        [WAL_HISTORY] = &result->histories,
    };
    if (file->stored < 0)
        return;
    ++*counts[file->kind];
    result->files++;
    result->stored += file->stored;
}

/* The catalog against the archive */

static void
check_row(VerifyRun *run, const InventoryFile *file)
{
    int loss = verify_loss(run, file->name);
    struct stat st;
    if (file->stored < 0 && store_stat(run->store, file->name, &st) == 0)
        verify_problem(run, VERIFY_DAMAGED, file->name, loss, verify_look_for_copy,
                       "is not a regular file");
    else if (file->stored < 0)
        verify_problem(run, VERIFY_MISSING, file->name, loss, look_for_files,
                       "is in the catalog but not in the archive");
    else if (file->recorded < 0)
        verify_problem(run, VERIFY_UNLISTED, file->name, -1, rebuild,
                       "is in the archive but not in the catalog");
    else if (file->lines > 1)
        verify_problem(run, VERIFY_CATALOG, file->name, -1, rebuild, "has %u lines in the catalog",
                       file->lines);
    else if (file->recorded != file->stored)
        verify_problem(run, VERIFY_CATALOG, file->name, loss,
                       "if its contents are found sound, run rebuild-xlogdb; if not, look for "
                       "another copy",
                       "has %lld bytes, and the catalog says %lld", (long long)file->stored,
                       (long long)file->recorded);
}

static void
check_catalog(VerifyRun *run)
{
    const Inventory *inventory = &run->inventory;
    run->result->strangers = inventory->strangers;
    if (!inventory->has_catalog)
        verify_problem(run, VERIFY_CATALOG, NULL, -1, rebuild, "there is no catalog");
    if (inventory->damaged)
        verify_problem(run, VERIFY_CATALOG, NULL, -1, rebuild, "the catalog has %zu damaged lines",
                       inventory->damaged);
    for (size_t i = 0; i < inventory->count; i++) {
        count_file(run->result, &inventory->files[i]);
        if (inventory->has_catalog || inventory->files[i].recorded >= 0)
            check_row(run, &inventory->files[i]);
    }
}

/* Timelines and what is missing */

static void
read_history(VerifyRun *run, size_t index, Coverage *coverage)
{
    const InventoryFile *file = &run->inventory.files[index];
    AUTO(arena) Arena *arena = arena_new();
    Inspection found;
    History history;
    WalName name;
    wal_name_parse(file->name, &name);
    inspect_history(&run->inspector, file->name, arena, &found, &history);
    if (found.state == INSPECT_SOUND && !coverage_add_history(coverage, name.timeline, &history)) {
        found.state = INSPECT_DAMAGED;
        snprintf(found.reason, sizeof(found.reason),
                 "is damaged: its last timeline is %u, which is not older than %u",
                 history.entries[history.count - 1].parent, name.timeline);
    }
    run->verdicts[index] = found.state == INSPECT_SOUND ? VERDICT_SOUND : VERDICT_BAD;
    run->result->read += file->stored;
    run->result->decoded += found.plain;
    if (found.state != INSPECT_SOUND)
        verify_finding(run, file->name, &found);
}

static void
account(VerifyRun *run)
{
    VerifyResult *result = run->result;
    Coverage *coverage = result->owner = coverage_new(run->segment_size);
    for (size_t i = 0; i < run->inventory.count; i++) {
        const InventoryFile *file = &run->inventory.files[i];
        WalFile row = {.kind = file->kind, .size = file->stored, .mtime = {.tv_sec = file->mtime}};
        if (file->stored < 0)
            continue;
        memcpy(row.name, file->name, sizeof(row.name));
        coverage_add(coverage, &row);
        if (file->kind == WAL_HISTORY)
            read_history(run, i, coverage);
    }
    for (size_t i = 0; i < result->losses.count; i++) {
        const Loss *loss = &result->losses.items[i];
        coverage_add_loss(coverage, loss->timeline, loss->begin, loss->end);
    }
    result->coverage = coverage_finish(coverage);
}

static void
check_timeline(VerifyRun *run, const CoverageTimeline *timeline, bool has_older)
{
    char name[WAL_NAME_ROOM];
    snprintf(name, sizeof(name), "%08X.history", timeline->timeline);
    const InventoryFile *file = inventory_find(&run->inventory, name);
    bool stored = file && file->stored >= 0;
    if (timeline->contradicted)
        verify_problem(run, VERIFY_TIMELINE, name, -1, "look for the right history files",
                       "is contradicted by other history files about where its timeline begins");
    if (!timeline->has_history && !stored && timeline->range_count &&
        (timeline->parent || has_older))
        verify_problem(run, VERIFY_TIMELINE, name, -1,
                       "look for the file in the pg_wal of a server of this timeline",
                       "is not in the archive: without it nobody can tell how timeline %u goes on "
                       "from the older ones",
                       timeline->timeline);
}

static void
check_gap(VerifyRun *run, const CoverageGap *gap)
{
    const CoverageReport *coverage = run->result->coverage;
    char first[WAL_NAME_ROOM], last[WAL_NAME_ROOM];
    wal_segment_name(gap->timeline, gap->begin, coverage->segment_size, first);
    wal_segment_name(gap->timeline, gap->end - 1, coverage->segment_size, last);
    verify_problem(run, VERIFY_GAP, first, gap->loss, look_for_files,
                   "is missing: there is WAL before it and behind it");
    /* The rest of it, in one step */
    memcpy(run->pending.last, last, sizeof(last));
    run->pending.count += coverage_segments(coverage, gap->begin, gap->end) - 1;
}

static void
check_coverage(VerifyRun *run)
{
    const CoverageReport *coverage = run->result->coverage;
    bool has_older = false;
    if (coverage->misfits)
        verify_problem(run, VERIFY_DAMAGED, NULL, -1,
                       "WAL of another segment size needs an archive of its own",
                       "%zu segments have numbers that there are not with segments of %u bytes",
                       coverage->misfits, coverage->segment_size);
    for (size_t t = 0; t < coverage->timeline_count; t++) {
        const CoverageTimeline *timeline = &coverage->timelines[t];
        check_timeline(run, timeline, has_older);
        for (size_t g = 0; g < timeline->gap_count; g++)
            check_gap(run, &timeline->gaps[g]);
        has_older |= timeline->range_count > 0;
    }
}

/* Contents */

static bool
position_of(const VerifyRun *run, const char *text, WalName *ret_name, Lsn *ret_lsn)
{
    return wal_name_parse(text, ret_name) && ret_name->kind == WAL_SEGMENT &&
           wal_segment_start(ret_name, run->segment_size, ret_lsn);
}

static void
want(VerifyRun *run, Timeline timeline, Lsn lsn)
{
    char name[WAL_NAME_ROOM];
    wal_segment_name(timeline, lsn, run->segment_size, name);
    const InventoryFile *file = inventory_find(&run->inventory, name);
    if (file && file->stored >= 0)
        run->verdicts[file - run->inventory.files] = VERDICT_WANTED;
}

/* What is at the border of two segments is checked only when both are. */
static void
want_neighbours(VerifyRun *run, const char *text)
{
    const CoverageReport *coverage = run->result->coverage;
    WalName name;
    Lsn lsn;
    if (!position_of(run, text, &name, &lsn))
        return;
    const CoverageTimeline *timeline = coverage_timeline(coverage, name.timeline);
    bool begins = timeline && timeline->parent &&
                  lsn == timeline->switch_lsn - timeline->switch_lsn % run->segment_size;
    if (lsn >= run->segment_size)
        want(run, begins ? timeline->parent : name.timeline, lsn - run->segment_size);
    if (lsn <= UINT64_MAX - 2 * (uint64_t)run->segment_size)
        want(run, name.timeline, lsn + run->segment_size);
}

static void
choose_files(VerifyRun *run, const Verified *before)
{
    const VerifyOptions *options = run->options;
    AUTO(free) uint8_t *chosen = mem_alloc(run->inventory.count);
    for (size_t i = 0; i < run->inventory.count; i++) {
        const InventoryFile *file = &run->inventory.files[i];
        WalName name;
        Lsn lsn;
        chosen[i] = file->stored >= 0 && file->kind != WAL_HISTORY &&
                    !(options->since && strcmp(file->name, options->since) < 0) &&
                    !(options->since_last && position_of(run, file->name, &name, &lsn) &&
                      verified_holds(before, name.timeline, lsn));
        if (chosen[i])
            run->verdicts[i] = VERDICT_WANTED;
    }
    for (size_t i = 0; options->since_last && i < run->inventory.count; i++)
        if (chosen[i])
            want_neighbours(run, run->inventory.files[i].name);
}

/* Counts the verdicts, and writes down which segments are sound: by this verification, or by the
 * last one where this one has not come to another answer. */
static int
conclude(VerifyRun *run, const Verified *before)
{
    VerifyResult *result = run->result;
    AUTO(coverage) Coverage *sound = coverage_new(run->segment_size);
    for (size_t i = 0; i < run->inventory.count; i++) {
        const InventoryFile *file = &run->inventory.files[i];
        WalName name;
        Lsn lsn;
        bool is_segment = position_of(run, file->name, &name, &lsn);
        bool looked_at = run->verdicts[i] == VERDICT_SOUND || run->verdicts[i] == VERDICT_BAD;
        bool known = !looked_at && is_segment && verified_holds(before, name.timeline, lsn);
        if (file->stored < 0)
            continue;
        result->sound += run->verdicts[i] == VERDICT_SOUND;
        if (!looked_at)
            *(known ? &result->sound_before : &result->skipped) += 1;
        if (is_segment && (known || run->verdicts[i] == VERDICT_SOUND) &&
            lsn <= UINT64_MAX - run->segment_size)
            coverage_add_range(sound, name.timeline, lsn, lsn + run->segment_size);
    }
    const CoverageReport *report = coverage_finish(sound);
    return report->segments ? verified_save(run->server, report) : 0;
}

static int
check_contents(VerifyRun *run)
{
    AUTO(verified) Verified before = {0};
    TRY(verified_load(run->server, run->segment_size, &before));
    choose_files(run, &before);
    int result = verify_contents(run);
    Error error = *error_last();
    int saved = conclude(run, &before);
    if (result < 0)
        error_restore(&error);
    return result < 0 ? result : wrap(saved, "write down what was verified");
}

/* All of it */

static XlogDb *
catalog_of(const Config *config, const ServerConfig *server)
{
    XlogDbPlace place = xlogdb_place(config, server);
    return xlogdb_new(&place);
}

static int
run_all(const Config *config, VerifyRun *run)
{
    const ServerConfig *server = run->server;
    AUTO(xlogdb) XlogDb *catalog = catalog_of(config, server);
    AUTO(free)
    char *lock = mem_printf("%s/.%s-archive-wal.lock", config->barman_lock_directory, server->name);
    TRY(open_archive(server, catalog, &run->store));
    run->inspector.store = run->store;
    TRY(losses_load(server, run->result->arena, &run->result->losses));
    TRY(identity_read(server->backup_directory, &run->system_id));
    TRY(inventory_take(run->store, catalog, lock, &run->inventory));
    run->verdicts = mem_alloc(run->inventory.count);
    find_segment_size(run);
    TRY(losses_place(&run->result->losses, run->segment_size));
    check_catalog(run);
    account(run);
    check_coverage(run);
    return run->options->quick ? 0 : check_contents(run);
}

int
verify_server(const Config *config, const ServerConfig *server, const VerifyOptions *options,
              const VerifyObserver *observer, VerifyResult *ret_result)
{
    *ret_result = (VerifyResult){.arena = arena_new()};
    VerifyRun run = {.server = server,
                     .options = options,
                     .observer = observer,
                     .result = ret_result,
                     .began_ms = clock_ms(),
                     .segment_size = WAL_SEGMENT_DEFAULT,
                     .pending = {.kind = -1}};
    custom_codec_init(server, ret_result->arena, &run.custom);
    run.inspector.custom = &run.custom;
    int result = run_all(config, &run);
    verify_flush(&run);
    ret_result->elapsed_ms = clock_ms() - run.began_ms;
    inventory_done(&run.inventory);
    free(run.verdicts);
    store_free(run.store);
    return result;
}

/* Where the archive is not mounted, a file of ours would make its place look like an archive. */
int
verify_acknowledge(const Config *config, const ServerConfig *server, const char *first,
                   const char *last, const char *reason)
{
    AUTO(xlogdb) XlogDb *catalog = catalog_of(config, server);
    AUTO(store) Store *store = NULL;
    TRY(open_archive(server, catalog, &store));
    return losses_add(server, first, last, reason);
}

void
verify_result_done(VerifyResult *result)
{
    coverage_free(result->owner);
    arena_free(result->arena);
    *result = (VerifyResult){0};
}
