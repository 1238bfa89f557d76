/* SPDX-License-Identifier: PostgreSQL
 * walden show-wals SERVER: which WAL is there, by the catalog: for each timeline what is without a
 * break, what is missing, how large it is, and from where to where can be recovered. */
#include "base/file.h"
#include "command/command.h"
#include "command/wals.h"
#include "wal/name.h"

enum { SHOWN_MAX = 200 }; /* stretches of a timeline on the console */

enum Option { HTML };

static const CommandOption options[] = {
    [HTML] = {"html", "", "FILE", "write a page with charts, which needs no network"},
};

/* Figures */

int64_t
wals_stored(const Wals *wals)
{
    const CoverageReport *coverage = wals->holdings.coverage;
    int64_t stored = 0;
    for (size_t t = 0; t < coverage->timeline_count; t++)
        for (size_t i = 0; i < coverage->timelines[t].range_count; i++)
            stored += coverage->timelines[t].ranges[i].stored;
    return stored;
}

bool
wals_times(const Wals *wals, struct timespec *ret_oldest, struct timespec *ret_newest)
{
    const CoverageReport *coverage = wals->holdings.coverage;
    bool found = false;
    for (size_t t = 0; t < coverage->timeline_count; t++)
        for (size_t i = 0; i < coverage->timelines[t].range_count; i++) {
            const CoverageRange *range = &coverage->timelines[t].ranges[i];
            if (!found || range->oldest.tv_sec < ret_oldest->tv_sec)
                *ret_oldest = range->oldest;
            if (!found || range->newest.tv_sec > ret_newest->tv_sec)
                *ret_newest = range->newest;
            found = true;
        }
    return found;
}

double
wals_per_hour(const Wals *wals)
{
    struct timespec oldest, newest;
    if (!wals_times(wals, &oldest, &newest) || newest.tv_sec <= oldest.tv_sec)
        return 0;
    double hours = (double)(newest.tv_sec - oldest.tv_sec) / 3600;
    return (double)(wals->holdings.coverage->segments - 1) / hours;
}

/* The console */

static void
format_time(struct timespec time, char *ret_text)
{
    struct tm parts;
    *ret_text = '\0';
    if (localtime_r(&time.tv_sec, &parts))
        strftime(ret_text, 40, "%Y-%m-%d %H:%M:%S", &parts);
}

static void
append_volume(const Wals *wals, Str *text, uint64_t segments, int64_t stored)
{
    char size[SIZE_ROOM];
    double ratio = wals_ratio(wals, segments, stored);
    size_format(stored, size);
    str_appendf(text, "%llu segments, %s", (unsigned long long)segments, size);
    if (ratio > 0)
        str_appendf(text, " (%.1f : 1)", ratio);
}

/* One end of a stretch, or both in two lines */
static void
tell_end(Report *report, const char *what, const char *name, Lsn lsn, const char *time,
         const char *rest)
{
    char position[LSN_ROOM];
    AUTO(str) Str line = {0};
    lsn_format(lsn, position);
    str_appendf(&line, "    %-9s%-24s  %-12s  %-19s  %s", what, name, position, time, rest);
    while (line.length && line.data[line.length - 1] == ' ')
        line.data[--line.length] = '\0';
    report_info(report, "%s", str_text(&line));
}

static void
tell_stretch(const Wals *wals, Report *report, const char *what, Timeline timeline, Lsn begin,
             Lsn end, const char *times[2], const char *rest)
{
    uint32_t size = wals->holdings.segment_size;
    char first[WAL_NAME_ROOM], last[WAL_NAME_ROOM];
    wal_segment_name(timeline, begin, size, first);
    wal_segment_name(timeline, end - 1, size, last);
    tell_end(report, what, first, begin, times[0], rest);
    tell_end(report, "    to", last, end, times[1], "");
}

static void
tell_range(const Wals *wals, Report *report, const CoverageRange *range)
{
    char oldest[40], newest[40];
    AUTO(str) Str rest = {0};
    format_time(range->oldest, oldest);
    format_time(range->newest, newest);
    append_volume(wals, &rest, (range->end - range->begin) / wals->holdings.segment_size,
                  range->stored);
    tell_stretch(wals, report, "range", range->timeline, range->begin, range->end,
                 (const char *[]){oldest, newest}, str_text(&rest));
}

static void
tell_gap(const Wals *wals, Report *report, const CoverageGap *gap)
{
    const Loss *loss = gap->loss >= 0 ? &wals->holdings.losses.items[gap->loss] : NULL;
    AUTO(str) Str rest = {0};
    str_appendf(&rest, "%llu segments %s",
                (unsigned long long)((gap->end - gap->begin) / wals->holdings.segment_size),
                loss ? "known to be lost: " : "missing");
    if (loss)
        str_append(&rest, loss->reason);
    tell_stretch(wals, report, loss ? "lost" : "GAP", gap->timeline, gap->begin, gap->end,
                 (const char *[]){"", ""}, str_text(&rest));
}

static void
tell_partial(const Wals *wals, Report *report, const CoveragePartial *partial)
{
    char name[WAL_NAME_ROOM], time[40], size[SIZE_ROOM];
    AUTO(str) Str rest = {0};
    wal_segment_name(partial->timeline, partial->begin, wals->holdings.segment_size, name);
    format_time(partial->time, time);
    size_format(partial->stored, size);
    str_appendf(&rest, "%s%s", size, partial->superseded ? ", the whole segment is there" : "");
    tell_end(report, "partial", name, partial->begin, time, str_text(&rest));
}

/* Ranges, gaps and partial segments by their positions. A partial segment comes before a gap that
 * begins with it. */
static void
tell_stretches(const Wals *wals, Report *report, const CoverageTimeline *timeline)
{
    size_t ranges = 0, gaps = 0, partials = 0, shown = 0;
    size_t all = timeline->range_count + timeline->gap_count + timeline->partial_count;
    for (; shown < all && shown < SHOWN_MAX; shown++) {
        Lsn range = ranges < timeline->range_count ? timeline->ranges[ranges].begin : UINT64_MAX;
        Lsn gap = gaps < timeline->gap_count ? timeline->gaps[gaps].begin : UINT64_MAX;
        Lsn partial =
            partials < timeline->partial_count ? timeline->partials[partials].begin : UINT64_MAX;
        if (range <= gap && range <= partial)
            tell_range(wals, report, &timeline->ranges[ranges++]);
        else if (partial <= gap)
            tell_partial(wals, report, &timeline->partials[partials++]);
        else
            tell_gap(wals, report, &timeline->gaps[gaps++]);
    }
    if (shown < all)
        report_info(report, "    ... and %zu more, which --format json tells", all - shown);
}

static void
tell_timeline(const Wals *wals, Report *report, const CoverageTimeline *timeline)
{
    char lsn[LSN_ROOM], begin[LSN_ROOM], end[LSN_ROOM];
    report_info(report, "%s", "");
    if (timeline->parent) {
        lsn_format(timeline->switch_lsn, lsn);
        report_info(report, "  Timeline %u, which left timeline %u at %s:", timeline->timeline,
                    timeline->parent, lsn);
    } else {
        report_info(report, "  Timeline %u:", timeline->timeline);
    }
    if (timeline->contradicted)
        report_info(report, "    History files do not agree on where it begins");
    tell_stretches(wals, report, timeline);
    if (timeline->range_count == 0) {
        report_info(report, "    No segments");
        return;
    }
    lsn_format(timeline->window_begin, begin);
    lsn_format(timeline->window_end, end);
    report_info(report, "    Recoverable without a break: %s (timeline %u) to %s", begin,
                timeline->window_timeline, end);
}

static void
tell_ends(const Wals *wals, Report *report)
{
    struct timespec oldest, newest;
    char from[40], to[40];
    if (!wals_times(wals, &oldest, &newest))
        return;
    format_time(oldest, from);
    format_time(newest, to);
    report_info(report, "  %-22s: %.2f/hour", "WAL rate", wals_per_hour(wals));
    report_info(report, "  %-22s: %s", "Oldest segment", from);
    report_info(report, "  %-22s: %s", "Newest segment", to);
}

static void
tell_summary(const Wals *wals, Report *report)
{
    const CoverageReport *coverage = wals->holdings.coverage;
    char size[SIZE_ROOM], volume[SIZE_ROOM], stored[SIZE_ROOM];
    double ratio = wals_ratio(wals, coverage->segments, wals_stored(wals));
    size_format(wals->holdings.segment_size, size);
    size_format((int64_t)(coverage->segments * wals->holdings.segment_size), volume);
    size_format(coverage->stored, stored);
    report_info(report, "Server %s:", wals->server->name);
    report_info(report, "  %-22s: %zu (%llu segments, %zu partial, %zu labels, %zu history files)",
                "No of files", wals->holdings.rows, (unsigned long long)coverage->segments,
                coverage->partials, coverage->labels, coverage->histories);
    report_info(report, "  %-22s: %s%s", "Segment size", size,
                wals->holdings.size_source == SIZE_FROM_HEADER ? "" : " (not certain)");
    report_info(report, "  %-22s: %s", "WAL volume", volume);
    report_info(report, "  %-22s: %s", "Disk usage", stored);
    if (ratio > 0)
        report_info(report, "  %-22s: %.2f%% (%.1f : 1)", "Compression ratio", 100 - 100 / ratio,
                    ratio);
    tell_ends(wals, report);
    report_info(report, "  %-22s: %zu, and %zu known to be lost", "Gaps",
                coverage->gap_count - coverage->loss_count, coverage->loss_count);
    for (size_t i = 0; i < coverage->timeline_count; i++)
        tell_timeline(wals, report, &coverage->timelines[i]);
}

/* The command */

static void
count_volume(void *context, const WalFile *row)
{
    volume_add(context, row);
}

static int
answer(const Invocation *invocation, Wals *wals)
{
    Report *report = invocation->report;
    const char *path = invocation->options[HTML];
    bool wants_json = path || report_is_json(report);
    for (size_t i = 0; i < wals->holdings.warnings.count; i++)
        report_warning(report, "server '%s': %s", wals->server->name,
                       wals->holdings.warnings.items[i]);
    if (wants_json)
        volume_measure_lag(&wals->volume, wals->holdings.store);
    json_t *data = wants_json ? wals_json(wals) : NULL;
    int result = path ? wrap(wals_write_page(data, path), "write '%s'", path) : 0;
    if (result < 0)
        report_failure(report, error_last());
    else if (path)
        report_info(report, "Wrote '%s'", path);
    else if (!data)
        tell_summary(wals, report);
    if (data)
        report_set(report, wals->server->name, data);
    return result < 0 ? error_last()->class == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED : EXIT_DONE;
}

static int
run(const Invocation *invocation)
{
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    if (!server)
        return EXIT_FAILED;
    Wals *wals = mem_alloc(sizeof(*wals));
    wals->server = server;
    wals->now = time(NULL);
    volume_init(&wals->volume, wals->now);
    int result =
        holdings_take(invocation->config, server, count_volume, &wals->volume, &wals->holdings);
    int code = EXIT_FAILED;
    if (wrap(result, "show the WAL of server '%s'", server->name) < 0)
        report_failure(invocation->report, error_last());
    else
        code = answer(invocation, wals);
    holdings_done(&wals->holdings);
    free(wals);
    return code;
}

const Command command_show_wals = {
    .name = "show-wals",
    .alias = "show-wal",
    .arguments = "SERVER",
    .argument_min = 1,
    .argument_max = 1,
    .summary = "what WAL the archive holds, and what is missing",
    .help = "Reads the catalog, the history files and a few headers, and tells for each\n"
            "timeline: segments without a break, gaps, partial segments, sizes, times, and\n"
            "from where to where can be recovered. Whether the files are really there, and\n"
            "sound, is for `walden verify`.\n"
            "\n"
            "Exit codes: 0 also when there are gaps; 1 the catalog could not be read, or the\n"
            "page not be written.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
