/* SPDX-License-Identifier: PostgreSQL
 * The contents of the files. Workers decode and check one file each; what their borders must agree
 * on is judged here, in the order of the files, which for each timeline is that of the WAL. Where a
 * timeline leaves its parent, it goes on from the parent's segment before. Never holds a file. */
#include "base/clock.h"
#include "base/pipeline.h"
#include "base/proc.h"
#include "flow/verify_run.h"
#include "wal/chain.h"

enum { WINDOW_PER_THREAD = 4, PROGRESS_MS = 200 };

typedef struct Contents {
    VerifyRun *run;
    const size_t *order; /* indexes of files in the inventory */
    size_t count;
    Inspection *findings; /* a ring of `window` */
    size_t window;
    WalChain *joints; /* for each timeline: the chain of its parent where it begins */
    const CoverageTimeline *timeline; /* of the file that is judged */
    WalChain chain;                   /* up to it */
    size_t previous;                  /* file at the end of the chain */
    int64_t total, done;
    int64_t told_ms;
} Contents;

static const InventoryFile *
file_at(const Contents *contents, size_t item)
{
    return &contents->run->inventory.files[contents->order[item]];
}

static void
work(void *context, size_t item, int worker)
{
    const Contents *contents = context;
    const VerifyRun *run = contents->run;
    const InventoryFile *file = file_at(contents, item);
    WalName name;
    (void)worker;
    wal_name_parse(file->name, &name);
    const CoverageTimeline *timeline = coverage_timeline(run->result->coverage, name.timeline);
    const Recorded recorded = {.compression = file->recorded >= 0 ? file->compression : NULL,
                               .encryption = file->recorded >= 0 ? file->encryption : NULL};
    inspect(&run->inspector, file->name, &recorded, timeline ? timeline->left_at : 0,
            &contents->findings[item % contents->window]);
}

/* Does the segment belong to this archive, and to its timeline? */
static bool
judge_facts(VerifyRun *run, const CoverageTimeline *timeline, const InventoryFile *file,
            const Inspection *found)
{
    const WalFacts *facts = &found->facts;
    int loss = verify_loss(run, file->name);
    if (run->system_id == 0)
        run->system_id = facts->system_id;
    if (facts->system_id != run->system_id) {
        verify_problem(run, VERIFY_DAMAGED, file->name, loss, verify_look_for_copy,
                       "is of the cluster with system identifier %llu, and this archive of %llu",
                       (unsigned long long)facts->system_id, (unsigned long long)run->system_id);
        return false;
    }
    if (facts->segment_size != run->segment_size) {
        verify_problem(run, VERIFY_DAMAGED, file->name, loss,
                       "WAL of another segment size needs an archive of its own",
                       "has %u bytes of WAL, and the newest segments of this archive have %u",
                       facts->segment_size, run->segment_size);
        return false;
    }
    if (timeline && timeline->parent && facts->timeline < timeline->timeline &&
        found->border.start > timeline->switch_lsn) {
        verify_problem(run, VERIFY_DAMAGED, file->name, loss, verify_look_for_copy,
                       "begins with a page of timeline %u, and timeline %u began before it",
                       facts->timeline, timeline->timeline);
        return false;
    }
    return true;
}

static Lsn
first_of_own(const Contents *contents, const CoverageTimeline *timeline)
{
    return timeline->switch_lsn - timeline->switch_lsn % contents->run->segment_size;
}

/* Timelines that go on from here begin with the chain as it is. */
static void
hand_over(Contents *contents)
{
    const CoverageReport *coverage = contents->run->result->coverage;
    if (contents->chain.next > contents->timeline->left_at)
        return;
    for (size_t i = 0; i < coverage->timeline_count; i++)
        if (coverage->timelines[i].parent == contents->timeline->timeline &&
            first_of_own(contents, &coverage->timelines[i]) == contents->chain.next)
            contents->joints[i] = contents->chain;
}

static void
judge_border(Contents *contents, size_t index, const WalBorder *border)
{
    VerifyRun *run = contents->run;
    const InventoryFile *file = &run->inventory.files[index];
    if (wal_chain_join(&contents->chain, border) < 0) {
        const char *previous = run->inventory.files[contents->previous].name;
        int loss = verify_loss(run, file->name);
        verify_problem(run, VERIFY_DAMAGED, file->name,
                       loss >= 0 ? loss : verify_loss(run, previous),
                       "one of the two is damaged or of another history: look for other copies of "
                       "both",
                       "does not go on where '%s' ends: %s", previous, error_last()->text);
        run->verdicts[index] = run->verdicts[contents->previous] = VERDICT_BAD;
    }
    /* Its timeline ends in it, and so does the chain. */
    if (border->sound < border->end && contents->timeline->left_at >= border->start &&
        contents->timeline->left_at < border->end)
        contents->chain = (WalChain){0};
    contents->previous = index;
    hand_over(contents);
}

static void
enter_timeline(Contents *contents, const InventoryFile *file)
{
    const CoverageReport *coverage = contents->run->result->coverage;
    WalName name;
    wal_name_parse(file->name, &name);
    if (contents->timeline && contents->timeline->timeline == name.timeline)
        return;
    contents->timeline = coverage_timeline(coverage, name.timeline);
    contents->chain = contents->timeline
                          ? contents->joints[contents->timeline - coverage->timelines]
                          : (WalChain){0};
}

/* What the catalog says of the codec matters to Barman, which believes it. */
static void
judge_codec(VerifyRun *run, const InventoryFile *file, const Inspection *found)
{
    const CodecClass *recorded =
        file->recorded >= 0 && file->compression ? codec_find(file->compression) : NULL;
    if (recorded && recorded->recognised_as)
        recorded = recorded->recognised_as;
    bool custom = recorded && codec_is_program(recorded); /* whatever it writes */
    if (file->recorded < 0 || recorded == found->class || custom)
        return;
    verify_problem(run, VERIFY_CATALOG, file->name, verify_loss(run, file->name),
                   "run rebuild-xlogdb", "is compressed with %s, and the catalog says %s",
                   found->class ? found->class->name : "nothing",
                   recorded ? recorded->name : "nothing");
}

static void
judge(Contents *contents, size_t item)
{
    VerifyRun *run = contents->run;
    size_t index = contents->order[item];
    const InventoryFile *file = &run->inventory.files[index];
    const Inspection *found = &contents->findings[item % contents->window];
    contents->done += file->stored;
    run->result->decoded += found->plain;
    if (found->state == INSPECT_STOPPED || found->state == INSPECT_GONE) {
        run->verdicts[index] = VERDICT_NONE; /* deleted meanwhile: nobody's fault */
        return;
    }
    run->result->read += file->stored;
    run->verdicts[index] = VERDICT_BAD;
    if (found->state != INSPECT_SOUND) {
        verify_finding(run, file->name, found);
        return;
    }
    judge_codec(run, file, found);
    if (found->facts.major == 0) { /* a label, or a partial segment without WAL */
        run->verdicts[index] = VERDICT_SOUND;
        return;
    }
    enter_timeline(contents, file);
    if (!judge_facts(run, contents->timeline, file, found))
        return;
    run->verdicts[index] = VERDICT_SOUND;
    if (file->kind == WAL_SEGMENT && contents->timeline)
        judge_border(contents, index, &found->border);
}

static void
tell_progress(Contents *contents)
{
    const VerifyRun *run = contents->run;
    int64_t now = clock_ms();
    if (!run->observer->progress || now - contents->told_ms < PROGRESS_MS)
        return;
    contents->told_ms = now;
    run->observer->progress(run->observer->context,
                            &(VerifyProgress){.stored = contents->done,
                                              .total = contents->total,
                                              .decoded = run->result->decoded,
                                              .elapsed_ms = now - run->began_ms});
}

static int
run_pipeline(Contents *contents, int threads)
{
    Pipeline *pipeline = NULL;
    size_t judged = 0, ready = 0;
    TRY(pipeline_start(contents->count, threads, contents->window, work, contents, &pipeline));
    while (!stop_signal() && (ready = pipeline_wait(pipeline)) > 0) {
        for (size_t i = 0; i < ready; i++)
            judge(contents, judged++);
        pipeline_take(pipeline, ready);
        tell_progress(contents);
    }
    pipeline_stop(pipeline);
    return stop_check();
}

static int
thread_count(const VerifyOptions *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long threads = options->jobs ? options->jobs : cores;
    return threads < 1 ? 1 : threads > 256 ? 256 : (int)threads;
}

int
verify_contents(VerifyRun *run)
{
    AUTO(free) size_t *order = mem_alloc(run->inventory.count * sizeof(*order));
    Contents contents = {.run = run, .order = order};
    for (size_t i = 0; i < run->inventory.count; i++)
        if (run->verdicts[i] == VERDICT_WANTED) {
            order[contents.count++] = i;
            contents.total += run->inventory.files[i].stored;
        }
    if (contents.count == 0)
        return 0;
    int threads = thread_count(run->options);
    contents.window = (size_t)threads * WINDOW_PER_THREAD;
    AUTO(free) Inspection *findings = mem_alloc(contents.window * sizeof(*findings));
    AUTO(free)
    WalChain *joints = mem_alloc(run->result->coverage->timeline_count * sizeof(*joints));
    contents.findings = findings;
    contents.joints = joints;
    return run_pipeline(&contents, threads);
}
