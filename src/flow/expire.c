/* SPDX-License-Identifier: PostgreSQL
 * Deleting, a group of files at a time:
 *
 *   0. it is decided what may go (horizon.c), from the catalog, the history files in the archive
 *      and Barman's backups
 *   (pre hooks)
 *   1. the lines are taken out of the catalog: a new one takes the place of the old one, under the
 *      catalog's lock
 *   2. the files are removed, and hash directories that are empty then
 *   (post hooks)
 *
 * The lines go first because of what a crash in between leaves: a file that is there and not in the
 * catalog does no harm, can still be fetched, and the next run finds it in the directories before
 * the horizon. A line without a file would be a lie: get-wal had to say that the archive has lost
 * WAL, Barman would plan a restore with it, and its next deletion would fail.
 *
 * No lock of the catalog is held while hooks run or files are removed, so an archiver may find a
 * file in the archive that is about to go, because it was sent again, and record it: that line goes
 * with the next run. Only names that were decided upon are removed, never a directory with them in
 * it. */
#include "flow/expire.h"

#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"
#include "flow/archived.h"
#include "flow/backups.h"
#include "flow/custom.h"
#include "flow/hook.h"
#include "flow/place.h"
#include "flow/recode/reader.h"
#include "flow/survey.h"
#include "flow/xlogdb/xlogdb.h"

#include <errno.h>

/* Files of one group: as many as share one rewriting of the catalog; with hooks fewer, since none
 * is deleted before all its pre hooks have run. */
enum { GROUP_MAX = 100000, GROUP_WITH_HOOKS = 256 };

typedef struct Run {
    const Expiry *expiry;
    Survey survey;
    XlogDb *db;
    WalFile *rows; /* of the group */
    size_t count, room, max;
    size_t listed; /* the first of them are in the catalog; the rest is only in the archive */
    bool complete; /* no more rows are to go than these */
    /* Labels before the horizon that the catalog does not know, and the segments they name */
    StrList lost_labels, lost_segments;
    ExpirySummary *summary;
} Run;

static void
add_row(Run *run, const WalFile *row)
{
    if (run->count == run->room) {
        run->room = run->room ? run->room * 2 : 256;
        run->rows = mem_resize(run->rows, run->room, sizeof(WalFile));
    }
    run->rows[run->count++] = *row;
}

static int
collect_row(void *context, const WalFile *row)
{
    Run *run = context;
    if (!horizon_deletes(&run->survey.horizon, row->name))
        return 0;
    run->complete = run->count < run->max;
    if (!run->complete)
        return 1; /* no need to read on */
    add_row(run, row);
    return 0;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const WalFile *)a)->name, ((const WalFile *)b)->name);
}

/* Of a file that is being archived the source is there until its line is. What it cannot find out
 * counts as waiting. */
static bool
source_waits(const ServerConfig *server, const char *name)
{
    const char *const directories[] = {server->incoming_wals_directory,
                                       server->streaming_wals_directory};
    for (size_t i = 0; i < COUNT_OF(directories); i++) {
        AUTO(free) char *path = mem_printf("%s/%s", directories[i], name);
        if (access(path, F_OK) == 0 || errno != ENOENT)
            return true;
    }
    return false;
}

static bool
concerns(void *context, const char *hash_dir)
{
    const Run *run = context;
    return horizon_concerns(&run->survey.horizon, hash_dir);
}

/* A file before the horizon that the catalog does not know: a crash left it there, ours after step
 * 1, or an archiver's before it could record it. */
static int
collect_unlisted(void *context, const char *name, const struct stat *st)
{
    Run *run = context;
    WalFile row = {0};
    (void)st;
    snprintf(row.name, sizeof(row.name), "%s", name);
    if (run->count >= run->max || !horizon_deletes(&run->survey.horizon, name) ||
        (run->listed && bsearch(&row, run->rows, run->listed, sizeof(row), by_name)) ||
        source_waits(run->expiry->server, name))
        return 0;
    int found = archived_row(run->survey.store, &run->survey.custom, name, &row);
    if (found == 0)
        add_row(run, &row);
    return found < 0 ? found : 0;
}

static int
add_lost_label(void *context, const char *name, const struct stat *st)
{
    Run *run = context;
    (void)st;
    const Horizon *horizon = &run->survey.horizon;
    if (wal_kind(name) == WAL_LABEL && horizon_deletes(horizon, name) &&
        !horizon_label(horizon, name)) {
        strlist_add(&run->lost_labels, name);
        strlist_addf(&run->lost_segments, "%.24s", name);
    }
    return 0;
}

/* A label has lost its line, and the segment of its backup's start has not: no run of ours has left
 * that, and nobody has given that backup up. */
static int
find_lost_label(const Run *run)
{
    size_t count = run->lost_labels.count;
    AUTO(free) bool *listed = mem_alloc(count + 1);
    if (count > 0)
        TRY(xlogdb_contains(run->db, (const char *const *)run->lost_segments.items, count, listed));
    for (size_t i = 0; i < count; i++)
        if (listed[i])
            return hint(fail(ERR_DATA,
                             "the backup label '%s' is in the archive but not in its catalog",
                             run->lost_labels.items[i]),
                        "walden rebuild-xlogdb %s records it; then its backup counts",
                        run->expiry->server->name);
    return 0;
}

static int
check_labels(Run *run)
{
    const Before *before = run->expiry->before;
    size_t strangers = 0;
    if (before && (run->expiry->force || before->kind == BEFORE_LABEL))
        return 0; /* such backups are given up */
    TRY(store_list_some(run->survey.store, concerns, add_lost_label, run, &strangers));
    return find_lost_label(run);
}

static void
sort_rows(Run *run)
{
    if (run->count)
        qsort(run->rows, run->count, sizeof(WalFile), by_name);
}

/* The next group, in the order of names; none when nothing is left to be deleted. */
static int
collect(Run *run)
{
    size_t damaged = 0, strangers = 0;
    run->count = 0;
    run->complete = true;
    int result = xlogdb_read(run->db, collect_row, run, &damaged);
    if (result < 0)
        return result;
    sort_rows(run);
    run->listed = run->count;
    if (run->complete)
        TRY(store_list_some(run->survey.store, concerns, collect_unlisted, run, &strangers));
    sort_rows(run);
    run->summary->unlisted += run->count - run->listed;
    if (run->count > run->listed)
        log_info("%zu files before the horizon are in the archive of server '%s' but not in its "
                 "catalog",
                 run->count - run->listed, run->expiry->server->name);
    return 0;
}

static HookEvent
event_of(const Run *run, const WalFile *row, const char *path, const char *error)
{
    return (HookEvent){.config = run->expiry->config,
                       .server = run->expiry->server,
                       .wal = row,
                       .path = path,
                       .error = error};
}

/* Where the file is, for hooks. What is encrypted shows no compression. */
static char *
path_of(const Run *run, const WalFile *row)
{
    return store_path(run->survey.store, row->name, row->encryption ? NULL : row->compression);
}

/* A hook that refuses ends everything there: what comes later is newer, and no gap shall be behind
 * a file that stays. What was before it in the group is still deleted. */
static int
run_pre_hooks(Run *run, char **ret_refused)
{
    for (size_t i = 0; i < run->count; i++) {
        AUTO(free) char *path = path_of(run, &run->rows[i]);
        HookEvent event = event_of(run, &run->rows[i], path, NULL);
        int result = hooks_before_delete(&event, ret_refused);
        if (result < 0)
            return result;
        if (result == HOOK_ABORTED)
            run->count = i;
    }
    return 0;
}

static int
run_post_hooks(const Run *run, const StoreRemoval *batch)
{
    for (size_t i = 0; i < run->count; i++) {
        AUTO(free) char *path = path_of(run, &run->rows[i]);
        AUTO(free)
        char *error = batch[i].error
                          ? mem_printf("Ignoring deletion of WAL file %s for server %s: "
                                       "%s",
                                       batch[i].name, run->expiry->server->name, batch[i].error)
                          : NULL;
        HookEvent event = event_of(run, &run->rows[i], path, error);
        TRY(hooks_after_delete(&event));
    }
    return 0;
}

/* Steps 1 and 2. A disk that has no room for a second catalog gets some by step 2: then the files
 * go first, rather than that nothing can ever be deleted. */
static int
remove_group(const Run *run, StoreRemoval *batch)
{
    AUTO(free) const char **names = mem_alloc((run->count + 1) * sizeof(*names));
    for (size_t i = 0; i < run->count; i++)
        names[i] = batch[i].name;
    int result = xlogdb_remove(run->db, names, run->count);
    if (result == 0)
        return store_remove(run->survey.store, batch, run->count);
    if (error_last()->os_error != ENOSPC && error_last()->os_error != EDQUOT)
        return result;
    log_warning("%s; deleting the files first", error_last()->text);
    TRY(store_remove(run->survey.store, batch, run->count));
    return xlogdb_remove(run->db, names, run->count);
}

/* What became of the group; the first file that is still there is the failure. */
static int
conclude(Run *run, StoreRemoval *batch)
{
    const StoreRemoval *failed = NULL;
    size_t failures = 0;
    for (size_t i = 0; i < run->count; i++) {
        if (batch[i].error) {
            failed = failed ? failed : &batch[i];
            failures++;
        } else if (batch[i].missing) {
            run->summary->missing++;
        } else {
            run->summary->deleted++;
            run->summary->bytes += run->rows[i].size;
            run->expiry->deleted(run->expiry->context, batch[i].name);
        }
    }
    return failed ? hint(fail(ERR_IO, "%zu files could not be removed, the first: %s", failures,
                              failed->error),
                         "the next run of delete-wals tries again")
                  : 0;
}

static int
delete_group(Run *run)
{
    AUTO(free) char *refused = NULL;
    bool hooks = delete_hooks_configured(run->expiry->server);
    TRY(stop_check());
    if (hooks)
        TRY(run_pre_hooks(run, &refused));
    AUTO(free) StoreRemoval *batch = mem_alloc((run->count + 1) * sizeof(*batch));
    for (size_t i = 0; i < run->count; i++)
        batch[i].name = run->rows[i].name;
    int result = remove_group(run, batch);
    if (result == 0) {
        int told = hooks ? run_post_hooks(run, batch) : 0; /* <0: we are to stop */
        int concluded = conclude(run, batch);
        result = concluded < 0 ? concluded : told;
    }
    for (size_t i = 0; i < run->count; i++)
        free(batch[i].error);
    TRY(result);
    return refused ? fail(ERR_HOOK, "%s; nothing more is deleted", refused) : 0;
}

static void
tell_group(Run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        run->summary->deleted++;
        run->summary->bytes += run->rows[i].size;
        run->expiry->deleted(run->expiry->context, run->rows[i].name);
    }
}

static int
delete_all(Run *run)
{
    if (run->expiry->dry_run) {
        run->max = SIZE_MAX;
        TRY(collect(run));
        tell_group(run);
        return 0;
    }
    run->max = delete_hooks_configured(run->expiry->server) ? GROUP_WITH_HOOKS : GROUP_MAX;
    do {
        TRY(collect(run));
        if (run->count)
            TRY(delete_group(run));
    } while (run->count == run->max);
    return 0;
}

/* A crash may have left a catalog that had not yet taken the place of the old one. */
static int
sweep(const ServerConfig *server)
{
    if (!server_is_remote(server))
        TRY(dir_sweep(server->wals_directory));
    return dir_sweep(server->xlogdb_directory);
}

int
expire_wals(const Expiry *expiry, ExpirySummary *ret_summary)
{
    const ServerConfig *server = expiry->server;
    AUTO(arena) Arena *arena = arena_new();
    AUTO(store) Store *store = NULL;
    XlogDbPlace place = xlogdb_place(expiry->config, server);
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    *ret_summary = (ExpirySummary){0};
    if (!expiry->before && !server->wal_retention)
        return hint(fail(ERR_USAGE, "server '%s' has no wal_retention", server->name),
                    "set it, or say with --before what is to be deleted");
    TRY(archive_need(server, 0, &store));
    int empty = xlogdb_exists(db) ? 0 : store_is_empty(store);
    if (empty != 0)
        return empty < 0 ? empty : 0;
    if (!xlogdb_exists(db))
        return hint(fail(ERR_DATA, "the archive '%s' has no catalog", server->wals_directory),
                    "walden rebuild-xlogdb %s makes it anew", server->name);
    Run run = {.expiry = expiry,
               .survey = {.config = expiry->config, .server = server, .store = store, .db = db},
               .db = db,
               .summary = ret_summary};
    run.survey.horizon.arena = arena;
    int result = expiry->dry_run ? 0 : sweep(server);
    if (result == 0)
        result = survey_make(&run.survey, expiry->before, expiry->force);
    if (result == 0)
        result = check_labels(&run);
    if (result == 0)
        result = delete_all(&run);
    free(run.rows);
    strlist_done(&run.lost_labels);
    strlist_done(&run.lost_segments);
    return result;
}
