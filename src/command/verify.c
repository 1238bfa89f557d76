/* SPDX-License-Identifier: PostgreSQL
 * walden verify SERVER: is the archive whole and sound? And --acknowledge, by which a person takes
 * note of WAL that is lost. Each problem is one line; success is one line, too. */
#include "flow/verify.h"
#include "base/log.h"
#include "base/proc.h"
#include "command/command.h"
#include "wal/name.h"

enum { TOLD_MAX = 100, BAR = 20 };

enum Option { QUICK, SINCE, JOBS, ACKNOWLEDGE, REASON };

static const CommandOption options[] = {
    [QUICK] = {"quick", "", NULL, "only catalog against archive, and what is missing"},
    [SINCE] = {"since", "", "WAL_NAME",
               "contents only from this file on; \"last\": only what\nwas not found sound before"},
    [JOBS] = {"jobs", "j", "NUMBER", "files at once. Default: one for each core"},
    [ACKNOWLEDGE] = {"acknowledge", "", "FIRST..LAST",
                     "take note that these segments are lost: from now\non that is no fault"},
    [REASON] = {"reason", "", "TEXT", "why, for --acknowledge"},
};

typedef struct Task {
    const Invocation *invocation;
    const ServerConfig *server;
    json_t *problems; /* NULL on the console */
    size_t told;      /* lines about problems */
    size_t untold;
} Task;

/* "'A' is ...", "'A' to 'B' (3 files) ..." */
static char *
describe(const VerifyProblem *problem)
{
    if (!problem->first)
        return mem_dup(problem->text);
    if (problem->count == 1)
        return mem_printf("'%s' %s", problem->first, problem->text);
    return mem_printf("'%s' to '%s' (%llu files): each %s", problem->first, problem->last,
                      (unsigned long long)problem->count, problem->text);
}

static void
add_problem(json_t *list, const VerifyProblem *problem)
{
    json_array_append_new(list,
                          json_pack("{s:s, s:s?, s:s?, s:I, s:o, s:s, s:b}", "kind",
                                    verify_kind_name(problem->kind), "first", problem->first,
                                    "last", problem->last, "files", (json_int_t)problem->count,
                                    "text", report_text(problem->text), "advice", problem->advice,
                                    "acknowledged", problem->loss != NULL));
}

static void
tell_problem(void *context, const VerifyProblem *problem)
{
    Task *task = context;
    AUTO(free) char *text = describe(problem);
    if (task->problems)
        add_problem(task->problems, problem);
    if (problem->loss) {
        report_debug(task->invocation->report, "acknowledged: %s", text);
    } else if (task->told < TOLD_MAX) {
        task->told++;
        report_error(task->invocation->report, "%s (hint: %s)", text, problem->advice);
    } else {
        task->untold++;
    }
}

static void
tell_progress(void *context, const VerifyProgress *progress)
{
    const Task *task = context;
    char done[SIZE_ROOM], total[SIZE_ROOM], bar[BAR + 1];
    double part = progress->total ? (double)progress->stored / (double)progress->total : 1;
    double seconds = (double)progress->elapsed_ms / 1000;
    for (int i = 0; i < BAR; i++)
        bar[i] = i < (int)(part * BAR) ? '#' : '.';
    bar[BAR] = '\0';
    size_format(progress->stored, done);
    size_format(progress->total, total);
    report_progress(task->invocation->report,
                    "[%s] %3.0f %%, %s of %s, %.0f MB/s of WAL, %.0f s left", bar, 100 * part, done,
                    total, seconds > 0 ? (double)progress->decoded / 1e6 / seconds : 0,
                    part > 0 ? seconds / part - seconds : 0);
}

/* What is known to be lost is told each time. */
static void
tell_losses(const Task *task, const VerifyResult *result)
{
    for (size_t i = 0; i < result->losses.count; i++) {
        const Loss *loss = &result->losses.items[i];
        report_info(task->invocation->report,
                    "known to be lost: '%s' to '%s', acknowledged by %s at %s: %s", loss->first,
                    loss->last, loss->by, loss->at, loss->reason);
    }
}

static void
tell_figures(const Task *task, const VerifyResult *result, bool quick)
{
    char stored[SIZE_ROOM], decoded[SIZE_ROOM];
    AUTO(str) Str text = {0};
    double seconds = (double)result->elapsed_ms / 1000;
    size_format(result->stored, stored);
    size_format(result->decoded, decoded);
    str_appendf(&text, "server '%s': %zu files (%s)", task->server->name, result->files, stored);
    if (!quick) {
        str_appendf(&text, ", %zu verified (%s of WAL in %.1f s, %.0f MB/s)", result->sound,
                    decoded, seconds, seconds > 0 ? (double)result->decoded / 1e6 / seconds : 0);
        if (result->sound_before)
            str_appendf(&text, ", %zu verified before", result->sound_before);
        if (result->skipped)
            str_appendf(&text, ", %zu not looked at", result->skipped);
    } else {
        str_append(&text, ", contents not looked at");
    }
    if (result->acknowledged)
        str_appendf(&text, ", %zu known losses", result->acknowledged);
    if (result->strangers)
        str_appendf(&text, ", %zu other objects in the archive", result->strangers);
    str_appendf(&text, result->problems ? ": %zu problems" : ": no problems", result->problems);
    report_info(task->invocation->report, "%s", str_text(&text));
    log_info("verify: %s", str_text(&text));
}

/* JSON */

static json_t *
lsn_text(Lsn lsn)
{
    char text[LSN_ROOM];
    lsn_format(lsn, text);
    return json_string(text);
}

static json_t *
pack_stretch(const CoverageReport *coverage, Timeline timeline, Lsn begin, Lsn end)
{
    char first[WAL_NAME_ROOM], last[WAL_NAME_ROOM];
    wal_segment_name(timeline, begin, coverage->segment_size, first);
    wal_segment_name(timeline, end - 1, coverage->segment_size, last);
    return json_pack("{s:s, s:s, s:o, s:o, s:I}", "first", first, "last", last, "begin",
                     lsn_text(begin), "end", lsn_text(end), "segments",
                     (json_int_t)coverage_segments(coverage, begin, end));
}

static json_t *
pack_timeline(const CoverageReport *coverage, const CoverageTimeline *timeline)
{
    json_t *root = json_pack("{s:I, s:I, s:I, s:b}", "timeline", (json_int_t)timeline->timeline,
                             "segments", (json_int_t)timeline->segments, "stored_bytes",
                             (json_int_t)timeline->stored, "history", timeline->has_history);
    json_t *ranges = json_array(), *gaps = json_array(), *partials = json_array();
    for (size_t i = 0; i < timeline->range_count; i++) {
        const CoverageRange *range = &timeline->ranges[i];
        json_array_append_new(ranges,
                              pack_stretch(coverage, timeline->timeline, range->begin, range->end));
    }
    for (size_t i = 0; i < timeline->gap_count; i++) {
        const CoverageGap *gap = &timeline->gaps[i];
        json_t *entry = pack_stretch(coverage, timeline->timeline, gap->begin, gap->end);
        json_object_set_new(entry, "acknowledged", json_boolean(gap->loss >= 0));
        json_array_append_new(gaps, entry);
    }
    for (size_t i = 0; i < timeline->partial_count; i++)
        json_array_append_new(partials, lsn_text(timeline->partials[i].begin));
    json_object_set_new(root, "ranges", ranges);
    json_object_set_new(root, "gaps", gaps);
    json_object_set_new(root, "partials", partials);
    if (timeline->parent) {
        json_object_set_new(root, "parent", json_integer(timeline->parent));
        json_object_set_new(root, "switch", lsn_text(timeline->switch_lsn));
    }
    if (timeline->range_count)
        json_object_set_new(
            root, "window",
            json_pack("{s:I, s:o, s:o}", "timeline", (json_int_t)timeline->window_timeline, "begin",
                      lsn_text(timeline->window_begin), "end", lsn_text(timeline->window_end)));
    return root;
}

static json_t *
pack_losses(const Losses *losses)
{
    json_t *list = json_array();
    for (size_t i = 0; i < losses->count; i++) {
        const Loss *loss = &losses->items[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "first", loss->first,
                                              "last", loss->last, "reason", loss->reason, "by",
                                              loss->by, "at", loss->at));
    }
    return list;
}

static void
set_json(const Task *task, const VerifyResult *result, bool quick, bool complete)
{
    const CoverageReport *coverage = result->coverage;
    json_t *timelines = json_array();
    for (size_t i = 0; coverage && i < coverage->timeline_count; i++)
        json_array_append_new(timelines, pack_timeline(coverage, &coverage->timelines[i]));
    const struct {
        const char *key;
        int64_t value;
    } figures[] = {
        {"files", (int64_t)result->files},
        {"segments", (int64_t)result->segments},
        {"partials", (int64_t)result->partials},
        {"labels", (int64_t)result->labels},
        {"histories", (int64_t)result->histories},
        {"strangers", (int64_t)result->strangers},
        {"verified", (int64_t)result->sound},
        {"verified_before", (int64_t)result->sound_before},
        {"not_looked_at", (int64_t)result->skipped},
        {"problem_count", (int64_t)result->problems},
        {"acknowledged_count", (int64_t)result->acknowledged},
        {"stored_bytes", result->stored},
        {"read_bytes", result->read},
        {"wal_bytes", result->decoded},
        {"elapsed_ms", result->elapsed_ms},
        {"segment_size", coverage ? coverage->segment_size : 0},
    };
    json_t *root = json_object();
    for (size_t i = 0; i < COUNT_OF(figures); i++)
        json_object_set_new(root, figures[i].key, json_integer(figures[i].value));
    json_object_set_new(root, "mode", json_string(quick ? "quick" : "full"));
    json_object_set_new(root, "complete", json_boolean(complete));
    json_object_set_new(root, "ok", json_boolean(complete && result->problems == 0));
    json_object_set_new(root, "segment_size_known", json_boolean(result->segment_size_known));
    json_object_set_new(root, "timelines", timelines);
    json_object_set_new(root, "losses", pack_losses(&result->losses));
    json_object_set(root, "problems", task->problems);
    report_set(task->invocation->report, task->server->name, root);
}

/* The command */

static int
verify(Task *task, const VerifyOptions *wanted)
{
    Report *report = task->invocation->report;
    VerifyResult result;
    VerifyObserver observer = {task, tell_problem,
                               report_is_watched(report) ? tell_progress : NULL};
    int done = verify_server(task->invocation->config, task->server, wanted, &observer, &result);
    report_progress(report, "%s", "");
    if (task->untold)
        report_error(report, "... and %zu problems more, which --format json tells", task->untold);
    if (wrap(done, "verify server '%s'", task->server->name) < 0)
        report_failure(report, error_last());
    if (report_is_json(report)) {
        set_json(task, &result, wanted->quick, done == 0);
    } else if (done == 0) {
        tell_losses(task, &result);
        tell_figures(task, &result, wanted->quick);
    }
    int code = done < 0 || result.problems ? EXIT_FAILED : EXIT_DONE;
    verify_result_done(&result);
    return stop_signal() ? 128 + stop_signal() : code;
}

static int
acknowledge(const Task *task, const char *range, const char *reason)
{
    Report *report = task->invocation->report;
    const char *dots = strstr(range, "..");
    AUTO(free) char *first = mem_printf("%.*s", (int)(dots ? dots - range : 0), range);
    if (!reason || !*reason || !dots) {
        report_error(report, dots ? "--acknowledge needs a --reason"
                                  : "--acknowledge needs FIRST..LAST, the names of two segments");
        return EXIT_USAGE;
    }
    if (verify_acknowledge(task->invocation->config, task->server, first, dots + 2, reason) < 0) {
        report_failure(report, error_last());
        return error_last()->class == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
    }
    report_info(report, "Acknowledged that the WAL from '%s' to '%s' of server '%s' is lost", first,
                dots + 2, task->server->name);
    log_info("server '%s': acknowledged that '%s' to '%s' is lost: %s", task->server->name, first,
             dots + 2, reason);
    return EXIT_DONE;
}

/* False when the options do not go together, which was told. */
static bool
read_options(const Invocation *invocation, VerifyOptions *ret_options)
{
    const char *const *given = invocation->options;
    int64_t jobs = 0;
    *ret_options = (VerifyOptions){.quick = given[QUICK] != NULL};
    ret_options->since_last = given[SINCE] && strcmp(given[SINCE], "last") == 0;
    ret_options->since = ret_options->since_last ? NULL : given[SINCE];
    if (given[JOBS] && !int_parse(given[JOBS], 1, 256, &jobs))
        report_error(invocation->report, "--jobs needs a number from 1 to 256, not '%s'",
                     given[JOBS]);
    else if (given[QUICK] && given[SINCE])
        report_error(invocation->report, "--quick looks at no contents: it cannot go with --since");
    else if (ret_options->since && wal_kind(ret_options->since) != WAL_SEGMENT)
        report_error(invocation->report, "--since: '%s' is not the name of a WAL segment",
                     ret_options->since);
    else if (given[REASON] && !given[ACKNOWLEDGE])
        report_error(invocation->report, "--reason goes with --acknowledge");
    else if (given[ACKNOWLEDGE] && (given[QUICK] || given[SINCE]))
        report_error(invocation->report, "--acknowledge goes with --reason only");
    else {
        ret_options->jobs = (int)jobs;
        return true;
    }
    return false;
}

static int
run(const Invocation *invocation)
{
    VerifyOptions wanted;
    if (!read_options(invocation, &wanted))
        return EXIT_USAGE;
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    if (!server)
        return EXIT_FAILED;
    if (invocation->options[ACKNOWLEDGE])
        return acknowledge(&(Task){.invocation = invocation, .server = server},
                           invocation->options[ACKNOWLEDGE], invocation->options[REASON]);
    stop_on_signals();
    Task task = {.invocation = invocation,
                 .server = server,
                 .problems = report_is_json(invocation->report) ? json_array() : NULL};
    int code = verify(&task, &wanted);
    json_decref(task.problems);
    return code;
}

const Command command_verify = {
    .name = "verify",
    .arguments = "SERVER",
    .argument_min = 1,
    .argument_max = 1,
    .summary = "is the archive whole and sound?",
    .help = "Holds the catalog against the archive, looks for missing WAL across timelines,\n"
            "and reads every file: decoding, page headers, each record's CRC and link, also\n"
            "from one segment to the next. Changes nothing, and may run beside the archiver.\n"
            "\n"
            "Exit codes: 0 all is whole and sound, or known to be lost; 1 something is\n"
            "wrong, or could not be verified (encrypted files, for instance).",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
