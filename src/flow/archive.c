/* SPDX-License-Identifier: PostgreSQL
 * The way of a WAL file on one page. For each file that waits, in order:
 *
 *   (pre hooks)
 *   1. it is checked, and compressed into a file of the archive without a name         (item.c)
 *   2. this file is synced and gets its name, never in the place of another one;       \
 *      the directory is synced                                                          |
 *   3. its line is appended to the catalog, synced                                      > commit.c
 *   4. the source is removed, and its directory synced                                 /
 *   (post hooks)
 *
 * Several threads do step 1 for files ahead; one does 2 to 4 for all that are ready in a row, so
 * that many files share the syncs, and a file is never recorded before an older one of its
 * timeline. With hooks the files go one by one, because scripts expect that. */
#include "flow/archive.h"

#include "base/file.h"
#include "base/log.h"
#include "base/pipeline.h"
#include "base/proc.h"
#include "flow/commit.h"
#include "flow/custom.h"
#include "flow/hook.h"
#include "flow/intake/intake.h"
#include "flow/place.h"
#include "flow/queue/queue.h"

#include <sched.h>
#include <sys/resource.h>

enum { WORKERS_MAX = 64, SPARE_DESCRIPTORS = 24 };

/* One of the ways by which WAL comes to a server's archive. */
typedef struct Archiver {
    const char *title; /* in Barman's words */
    const char *directory;
    bool on;
    int64_t batch_size;
    int (*scan)(const char *directory, StrList *ret_files, StrList *ret_others);
    bool received; /* written by a receiver: never compressed, whole once it has its final name */
} Archiver;

typedef struct Run {
    const Config *config;
    const Archiver *archiver;
    const ServerConfig *server;
    const ArchiveObserver *observer;
    ArchiveKept *kept;
    Recipe recipe;
    Committer committer;
    Queue queue;
    bool headed;                     /* the heading has been told */
    bool claimed;                    /* the archive knows whose it is */
    Coder *compressors[WORKERS_MAX]; /* one for each worker, made at its first need */
    Item ring[GROUP_MAX];            /* items under way: that of file i is ring[i % GROUP_MAX] */
} Run;

static void
say(const Run *run, const char *text)
{
    run->observer->info(run->observer->context, text);
}

/* Told before the first of the files when nothing is to be told of a run without any. */
static void
say_heading(Run *run)
{
    if (run->headed)
        return;
    run->headed = true;
    AUTO(str) Str line = {0};
    str_appendf(&line, "Processing xlog segments from %s for %s", run->archiver->title,
                run->server->name);
    if (run->queue.count < run->queue.waiting)
        str_appendf(&line, " (batch size: %zu)", run->queue.count);
    say(run, str_text(&line));
}

/* What the committer tells goes through here. */
static void
say_below_heading(void *context, const char *line)
{
    Run *run = context;
    say_heading(run);
    say(run, line);
}

static void
tell_debug(void *context, const char *line)
{
    const Run *run = context;
    run->observer->debug(run->observer->context, line);
}

static void
tell_problem(void *context, const Error *error)
{
    const Run *run = context;
    run->observer->problem(run->observer->context, error);
}

static int
processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

static int
worker_count(const Run *run)
{
    /* One for each core: workers never wait for the disk. For an object store they do. */
    int64_t wanted =
        run->server->archiver_workers > 0 ? run->server->archiver_workers : processors();
    wanted = store_workers(run->recipe.store, (int)(wanted < WORKERS_MAX ? wanted : WORKERS_MAX));
    if (wanted > WORKERS_MAX)
        wanted = WORKERS_MAX;
    return (size_t)wanted < run->queue.count ? (int)wanted : (int)run->queue.count;
}

static void
prepare(void *context, size_t index, int worker)
{
    Run *run = context;
    Item *item = &run->ring[index % GROUP_MAX];
    if (!item_examine(&run->recipe, run->queue.files[index], item))
        return;
    /* Compressing what cannot be committed would cost a long queue's worth of work in each run. */
    if (commit_is_blocked(&run->committer, item)) {
        item->state = ITEM_WAITING;
    } else if (store_ready(run->recipe.store) < 0) { /* told once, when the run ends over it */
        item->state = ITEM_WAITING;
        snprintf(item->reason, sizeof(item->reason), "%s", error_last()->text);
    } else {
        item_store(&run->recipe, &run->compressors[worker], item);
    }
}

/* How many files may be under way: each has two descriptors. */
static size_t
window(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= 2 * GROUP_MAX + SPARE_DESCRIPTORS)
        return GROUP_MAX;
    return limit.rlim_cur > SPARE_DESCRIPTORS + 4 ? (limit.rlim_cur - SPARE_DESCRIPTORS) / 2 : 2;
}

/* What is in the archive now may be the first that it holds. Another cluster's in the same run is
 * not taken out again: the next run knows. */
static void
claim(Run *run, Item *const *items, size_t count)
{
    Gate gate = run->recipe.gate; /* that of the workers stays as it is while they work */
    uint64_t owner = 0;
    for (size_t i = 0; i < count && !run->claimed; i++) {
        if ((items[i]->state != ITEM_READY && items[i]->state != ITEM_SAME) ||
            !items[i]->facts.major)
            continue;
        run->claimed = true;
        if (gate_claim(&gate, &items[i]->facts, &owner) == GATE_INVALID)
            log_warning("'%s' is of the cluster with system identifier %llu, and the archive "
                        "of server '%s' of %llu",
                        items[i]->wal.name, (unsigned long long)items[i]->facts.system_id,
                        run->server->name, (unsigned long long)owner);
    }
}

static int
commit(Run *run, Item *const *items, size_t count)
{
    TRY(commit_group(&run->committer, items, count));
    claim(run, items, count);
    return 0;
}

static int
archive_in_parallel(Run *run)
{
    Pipeline *pipeline = NULL;
    size_t next = 0;
    int result = 0;
    TRY(pipeline_start(run->queue.count, worker_count(run), window(), prepare, run, &pipeline));
    for (size_t ready; result == 0 && (ready = pipeline_wait(pipeline)) > 0;) {
        Item *group[GROUP_MAX];
        for (size_t i = 0; i < ready; i++)
            group[i] = &run->ring[(next + i) % GROUP_MAX];
        result = stop_check();
        if (result == 0)
            result = commit(run, group, ready);
        for (size_t i = 0; i < ready; i++)
            item_done(group[i]);
        next += ready;
        pipeline_take(pipeline, ready);
        if (result == 0)
            result = store_ready(run->recipe.store);
    }
    Error error = *error_last();
    for (size_t begun = pipeline_stop(pipeline); next < begun; next++)
        item_done(&run->ring[next % GROUP_MAX]);
    error_restore(&error);
    return result;
}

/* The reason as Barman's hooks know it; NULL when the file was archived. Free it. */
static char *
hook_error(const Item *item, const char *aborted)
{
    if (aborted)
        return mem_dup(aborted);
    const WalFile *wal = &item->wal;
    char time[XLOGDB_TIME_ROOM];
    xlogdb_time_format(wal->mtime, time);
    const char *quote = wal->compression ? "'" : "";
    switch (item->state) {
    case ITEM_READY:
        return NULL;
    case ITEM_SAME:
    case ITEM_DIFFERENT:
        return mem_printf(
            "%s:WalFileInfo(compression=%s%s%s, encryption=None, name='%s', size=%lld, "
            "time=%s)",
            item->state == ITEM_SAME ? "MatchingDuplicateWalFile" : "DuplicateWalFile", quote,
            wal->compression ? wal->compression : "None", quote, wal->name, (long long)wal->size,
            time);
    case ITEM_FAILED:
        return mem_dup(item->error.text);
    default:
        return mem_dup(item->reason);
    }
}

static int
run_post_hooks(const Run *run, const Item *item, const char *aborted)
{
    AUTO(free) char *error = hook_error(item, aborted);
    /* As Barman: of an archive that is beyond the reach of scripts they are told the source. */
    AUTO(free)
    char *path = store_is_remote(run->recipe.store)
                     ? mem_printf("%s/%s", run->recipe.directory, item->wal.name)
                     : store_path(run->recipe.store, item->wal.name, item->wal.compression);
    return hooks_after_archive(&(HookEvent){.config = run->config,
                                            .server = run->server,
                                            .wal = &item->wal,
                                            .path = path,
                                            .error = error});
}

/* *ret_aborted: a hook asked us to end this run. The gate is passed before the first hook is
 * called, so that no hook ever sees a file that is still arriving. */
static int
archive_with_hooks(Run *run, const char *name, bool *ret_aborted)
{
    Item item, *group = &item;
    AUTO(free) char *aborted = NULL;
    AUTO(free) char *source = mem_printf("%s/%s", run->recipe.directory, name);
    if (!item_examine(&run->recipe, name, &item) || commit_is_blocked(&run->committer, &item)) {
        int result = commit(run, &group, 1);
        item_done(&item);
        return result;
    }
    int result = hooks_before_archive(
        &(HookEvent){
            .config = run->config, .server = run->server, .wal = &item.wal, .path = source},
        &aborted);
    if (result == 0) {
        bool good = true;
        if (!item_is_current(&run->recipe, &item)) { /* a hook has replaced or changed the file */
            item_done(&item);
            good = item_examine(&run->recipe, name, &item);
        }
        if (good)
            item_store(&run->recipe, &run->compressors[0], &item);
        result = commit(run, &group, 1);
    } else if (result == HOOK_ABORTED) {
        log_error("%s", aborted);
        log_warning("archiving of server '%s' ends here, '%s' waits for the next run",
                    run->server->name, name);
        *ret_aborted = true;
        result = 0;
    }
    if (result == 0) {
        result = run_post_hooks(run, &item, aborted);
    } else if (error_last()->class != ERR_STOPPED) { /* the hooks are told of every outcome */
        item.state = ITEM_FAILED;
        item.error = *error_last();
        run_post_hooks(run, &item, NULL);
        error_restore(&item.error);
    }
    item_done(&item);
    return result;
}

static int
archive_one_by_one(Run *run, bool *ret_aborted)
{
    for (size_t i = 0; i < run->queue.count && !*ret_aborted; i++) {
        TRY(stop_check());
        TRY(archive_with_hooks(run, run->queue.files[i], ret_aborted));
        TRY(store_ready(run->recipe.store));
    }
    return 0;
}

static int
reject_strangers(Run *run)
{
    bool told = false;
    for (size_t i = 0; i < run->queue.stranger_count; i++) {
        const char *name = run->queue.strangers[i];
        int moved =
            quarantine(run->server->errors_directory, run->recipe.directory, name, "unknown");
        if (moved == QUARANTINE_GONE)
            continue;
        if (moved < 0) {
            run->observer->problem(run->observer->context, error_last());
            run->committer.summary->failed++;
            continue;
        }
        AUTO(free)
        char *heading = mem_printf(
            "Some unknown objects have been found while processing xlog segments for %s. Objects "
            "moved to errors directory:",
            run->server->name);
        AUTO(free) char *line = mem_printf("\t%s", name);
        say_heading(run);
        if (!told)
            say(run, heading);
        told = true;
        say(run, line);
        log_warning("'%s/%s' is not WAL and was moved to '%s'", run->recipe.directory, name,
                    run->server->errors_directory);
        run->committer.summary->rejected++;
    }
    return 0;
}

void
archive_kept_done(ArchiveKept *kept)
{
    store_free(take(kept->store));
}

/* A directory is looked at anew each time: it may have become another one. */
static int
open_store(Run *run, Store **ret_store)
{
    if (!server_is_remote(run->server))
        return archive_open(run->server, ret_store);
    if (!run->kept->store)
        TRY(archive_open(run->server, &run->kept->store));
    return 0;
}

static int
archive_queue(Run *run)
{
    AUTO(store) Store *store = NULL;
    bool aborted = false;
    if (!run->observer->terse)
        say_heading(run);
    if (!run->observer->terse && run->queue.count == 0)
        say(run, "\tno file found");
    if (run->queue.count > 0)
        TRY(open_store(run, &store));
    run->recipe.store = store ? store : run->kept->store;
    if (hooks_configured(run->server))
        TRY(archive_one_by_one(run, &aborted));
    else if (run->queue.count > 0)
        TRY(archive_in_parallel(run));
    return aborted ? 0 : reject_strangers(run);
}

/* A received file is whole when it gets its name, and a partial one that is not the last is whole,
 * too: there is nothing to wait for. */
static void
set_recipe(Run *run, Arena *arena)
{
    run->recipe.directory = run->archiver->directory;
    run->recipe.plain = run->archiver->received;
    custom_codec_init(run->server, arena, &run->recipe.custom);
    gate_init(run->server, &run->recipe.gate);
    if (run->archiver->received)
        run->recipe.gate.grace = 0;
}

static int
archive_waiting(Run *run)
{
    AUTO(strlist) StrList files = {0}, others = {0};
    TRY(codec_configured(run->server, &run->recipe.codec, &run->recipe.level));
    TRY(cipher_configured(run->server, &run->recipe.cipher));
    if (run->recipe.cipher)
        TRY(xlogdb_can_say_encrypted(run->committer.db));
    if (dir_sweep(run->archiver->directory) < 0)
        log_warning("%s", error_last()->text);
    TRY(run->archiver->scan(run->archiver->directory, &files, &others));
    queue_build(&files, &others, (size_t)run->archiver->batch_size, run->archiver->received,
                &run->queue);
    run->committer.summary->beyond += run->queue.waiting - run->queue.count;
    return archive_queue(run);
}

static int
run_archiver(const Archiver *archiver, const Config *config, const ServerConfig *server,
             const ArchiveObserver *observer, ArchiveKept *kept, ArchiveSummary *summary)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(free) Run *run = mem_alloc(sizeof(*run));
    *run = (Run){.config = config,
                 .server = server,
                 .archiver = archiver,
                 .observer = observer,
                 .kept = kept};
    set_recipe(run, arena);
    XlogDbPlace place = xlogdb_place(config, server);
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    ArchiveObserver below_heading = {run, say_below_heading, tell_debug, tell_problem,
                                     observer->terse};
    run->committer = (Committer){.server = server->name,
                                 .errors_directory = server->errors_directory,
                                 .recipe = &run->recipe,
                                 .db = db,
                                 .observer = &below_heading,
                                 .summary = summary};
    int result = archive_waiting(run);
    for (size_t i = 0; i < WORKERS_MAX; i++)
        coder_free(run->compressors[i]);
    return result;
}

int
archive_server(const Config *config, const ServerConfig *server, const ArchiveObserver *observer,
               ArchiveKept *kept, ArchiveSummary *ret_summary)
{
    const Archiver archivers[] = {
        {.title = "streaming",
         .directory = server->streaming_wals_directory,
         .on = server->streaming_archiver,
         .batch_size = server->streaming_archiver_batch_size,
         .scan = streaming_scan,
         .received = true},
        {.title = "file archival",
         .directory = server->incoming_wals_directory,
         .on = server->archiver,
         .batch_size = server->archiver_batch_size,
         .scan = incoming_scan},
    };
    *ret_summary = (ArchiveSummary){0};
    for (size_t i = 0; i < COUNT_OF(archivers); i++) {
        size_t failed = ret_summary->failed;
        int result = archivers[i].on
                         ? run_archiver(&archivers[i], config, server, observer, kept, ret_summary)
                         : 0;
        if (result < 0 || ret_summary->failed > failed) {
            Error error = *error_last(); /* the next one shall begin afresh */
            archive_kept_done(kept);
            error_restore(&error);
        }
        if (result == 0)
            continue;
        wrap(result, "archive-wal of server '%s' (%s)", server->name, archivers[i].title);
        if (error_last()->class == ERR_STOPPED)
            return result;
        ret_summary->failed++;
        observer->problem(observer->context, error_last());
    }
    return 0;
}
