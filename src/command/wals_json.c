/* SPDX-License-Identifier: PostgreSQL
 * All that show-wals knows in one JSON object, for machines and for the page. Positions are LSNs as
 * PostgreSQL writes them, times are UTC as of ISO 8601, sizes are bytes, what is not known is left
 * out. */
#include "command/wals.h"
#include "wal/name.h"

#include <math.h>

/* Of configuration files and other programs; need not be UTF-8, and JSON must be. */
static json_t *
pack_text(const char *text)
{
    json_t *value = json_string(text);
    if (value)
        return value;
    AUTO(free) char *ascii = mem_dup(text);
    for (char *p = ascii; *p; p++)
        if (*p & 0x80)
            *p = '?';
    return json_string(ascii);
}

static json_t *
pack_lsn(Lsn lsn)
{
    char text[LSN_ROOM];
    lsn_format(lsn, text);
    return json_string(text);
}

static void
set_time(json_t *object, const char *key, int64_t seconds)
{
    struct tm parts;
    char text[40];
    time_t time = seconds;
    if (gmtime_r(&time, &parts) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts))
        json_object_set_new(object, key, json_string(text));
}

static void
set_volume(json_t *object, const Wals *wals, uint64_t segments, int64_t stored)
{
    double ratio = wals_ratio(wals, segments, stored);
    json_int_t count = (json_int_t)segments, size = wals->holdings.segment_size;
    json_object_set_new(object, "segments", json_integer(count));
    json_object_set_new(object, "wal_bytes", json_integer(count * size));
    json_object_set_new(object, "stored_bytes", json_integer(stored));
    if (ratio > 0)
        json_object_set_new(object, "ratio", json_real(round(ratio * 1000) / 1000));
}

/* Timelines */

static json_t *
pack_stretch(const Wals *wals, Timeline timeline, Lsn begin, Lsn end)
{
    uint32_t size = wals->holdings.segment_size;
    char first[WAL_NAME_ROOM], last[WAL_NAME_ROOM];
    wal_segment_name(timeline, begin, size, first);
    wal_segment_name(timeline, end - 1, size, last);
    return json_pack("{s:s, s:s, s:o, s:o, s:I}", "first", first, "last", last, "begin",
                     pack_lsn(begin), "end", pack_lsn(end), "segments",
                     (json_int_t)((end - begin) / size));
}

static json_t *
pack_range(const Wals *wals, const CoverageRange *range)
{
    json_t *entry = pack_stretch(wals, range->timeline, range->begin, range->end);
    set_volume(entry, wals, (range->end - range->begin) / wals->holdings.segment_size,
               range->stored);
    set_time(entry, "oldest", range->oldest.tv_sec);
    set_time(entry, "newest", range->newest.tv_sec);
    return entry;
}

static json_t *
pack_loss(const Loss *loss)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "first", loss->first, "last", loss->last,
                     "reason", pack_text(loss->reason), "by", pack_text(loss->by), "at",
                     pack_text(loss->at));
}

static json_t *
pack_gap(const Wals *wals, const CoverageGap *gap)
{
    json_t *entry = pack_stretch(wals, gap->timeline, gap->begin, gap->end);
    json_object_set_new(entry, "acknowledged", json_boolean(gap->loss >= 0));
    if (gap->loss >= 0)
        json_object_set_new(entry, "loss", pack_loss(&wals->holdings.losses.items[gap->loss]));
    return entry;
}

static json_t *
pack_partial(const Wals *wals, const CoveragePartial *partial)
{
    char name[WAL_NAME_ROOM];
    wal_segment_name(partial->timeline, partial->begin, wals->holdings.segment_size, name);
    json_t *entry = json_pack("{s:s+, s:o, s:I, s:b}", "name", name, ".partial", "begin",
                              pack_lsn(partial->begin), "stored_bytes", (json_int_t)partial->stored,
                              "superseded", partial->superseded);
    set_time(entry, "time", partial->time.tv_sec);
    return entry;
}

static json_t *
pack_timeline(const Wals *wals, const CoverageTimeline *timeline)
{
    json_t *root = json_object();
    json_t *ranges = json_array(), *gaps = json_array(), *partials = json_array();
    int64_t stored = 0;
    for (size_t i = 0; i < timeline->range_count; i++) {
        stored += timeline->ranges[i].stored;
        json_array_append_new(ranges, pack_range(wals, &timeline->ranges[i]));
    }
    for (size_t i = 0; i < timeline->gap_count; i++)
        json_array_append_new(gaps, pack_gap(wals, &timeline->gaps[i]));
    for (size_t i = 0; i < timeline->partial_count; i++)
        json_array_append_new(partials, pack_partial(wals, &timeline->partials[i]));
    set_volume(root, wals, timeline->segments, stored);
    json_object_set_new(root, "timeline", json_integer(timeline->timeline));
    json_object_set_new(root, "history", json_boolean(timeline->has_history));
    json_object_set_new(root, "ranges", ranges);
    json_object_set_new(root, "gaps", gaps);
    json_object_set_new(root, "partials", partials);
    if (timeline->parent) {
        json_object_set_new(root, "parent", json_integer(timeline->parent));
        json_object_set_new(root, "switch", pack_lsn(timeline->switch_lsn));
    }
    if (timeline->range_count)
        json_object_set_new(
            root, "window",
            json_pack("{s:I, s:o, s:o}", "timeline", (json_int_t)timeline->window_timeline, "begin",
                      pack_lsn(timeline->window_begin), "end", pack_lsn(timeline->window_end)));
    return root;
}

static json_t *
pack_timelines(const Wals *wals)
{
    const CoverageReport *coverage = wals->holdings.coverage;
    json_t *list = json_array();
    for (size_t i = 0; i < coverage->timeline_count; i++)
        json_array_append_new(list, pack_timeline(wals, &coverage->timelines[i]));
    return list;
}

/* Over time; buckets without segments are left out. */
static json_t *
pack_volume(const Wals *wals)
{
    const Volume *volume = &wals->volume;
    json_t *buckets = json_array();
    for (size_t i = 0; i < volume->count; i++) {
        const VolumeBucket *bucket = &volume->buckets[i];
        if (bucket->segments == 0)
            continue;
        json_t *entry = json_object();
        set_time(entry, "begin", volume_begin(volume, i));
        set_volume(entry, wals, bucket->segments, bucket->stored);
        if (bucket->lag >= 0)
            json_object_set_new(entry, "lag_seconds", json_real(round(bucket->lag * 1000) / 1000));
        json_array_append_new(buckets, entry);
    }
    return json_pack("{s:I, s:o, s:I}", "bucket_seconds", (json_int_t)volume->width, "buckets",
                     buckets, "untimed", (json_int_t)volume->untimed);
}

/* The whole */

static json_t *
pack_warnings(const Wals *wals)
{
    json_t *list = json_array();
    for (size_t i = 0; i < wals->holdings.warnings.count; i++)
        json_array_append_new(list, pack_text(wals->holdings.warnings.items[i]));
    return list;
}

json_t *
wals_json(const Wals *wals)
{
    const Holdings *holdings = &wals->holdings;
    const CoverageReport *coverage = holdings->coverage;
    struct timespec oldest, newest;
    const struct {
        const char *key;
        uint64_t value;
    } figures[] = {
        {"rows", holdings->rows},
        {"damaged_lines", holdings->damaged},
        {"duplicates", coverage->duplicates},
        {"misfits", coverage->misfits},
        {"partials", coverage->partials},
        {"labels", coverage->labels},
        {"histories", coverage->histories},
        {"gap_count", coverage->gap_count},
        {"acknowledged_count", coverage->loss_count},
        {"segment_size", holdings->segment_size},
        {"total_bytes", (uint64_t)coverage->stored},
    };
    json_t *root = json_object();
    for (size_t i = 0; i < COUNT_OF(figures); i++)
        json_object_set_new(root, figures[i].key, json_integer((json_int_t)figures[i].value));
    set_volume(root, wals, coverage->segments, wals_stored(wals));
    json_object_set_new(root, "server", pack_text(wals->server->name));
    json_object_set_new(root, "description",
                        pack_text(wals->server->description ? wals->server->description : ""));
    json_object_set_new(root, "catalog", pack_text(holdings->catalog_path));
    json_object_set_new(root, "segment_size_from",
                        json_string(size_source_name(holdings->size_source)));
    set_time(root, "generated", wals->now);
    if (wals_times(wals, &oldest, &newest)) {
        set_time(root, "oldest", oldest.tv_sec);
        set_time(root, "newest", newest.tv_sec);
        json_object_set_new(root, "segments_per_hour", json_real(wals_per_hour(wals)));
    }
    json_object_set_new(root, "timelines", pack_timelines(wals));
    json_object_set_new(root, "volume", pack_volume(wals));
    json_object_set_new(root, "warnings", pack_warnings(wals));
    return root;
}
