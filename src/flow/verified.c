/* SPDX-License-Identifier: PostgreSQL
 * A file of ranges: as long as the archive has no holes, one for each timeline. To lose it costs
 * time and nothing else. */
#include "flow/verified.h"

#include "base/file.h"
#include "base/log.h"
#include "wal/name.h"

#include <errno.h>
#include <jansson.h>

enum { FILE_MAX = 64 << 20 };

static char *
file_name(const ServerConfig *server)
{
    return mem_printf("%s-xlog.db.verified", server->name);
}

/* Adds the segments of one range; false if it is none. */
static bool
add_range(Coverage *coverage, uint32_t segment_size, const json_t *entry)
{
    const char *names[] = {json_string_value(json_object_get(entry, "first")),
                           json_string_value(json_object_get(entry, "last"))};
    WalName name[2];
    Lsn lsn[2];
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (!names[i] || !wal_name_parse(names[i], &name[i]) || name[i].kind != WAL_SEGMENT ||
            !wal_segment_start(&name[i], segment_size, &lsn[i]))
            return false;
    if (name[0].timeline != name[1].timeline || lsn[0] > lsn[1] ||
        lsn[1] > UINT64_MAX - segment_size)
        return false;
    coverage_add_range(coverage, name[0].timeline, lsn[0], lsn[1] + segment_size);
    return true;
}

static bool
parse(const char *text, size_t length, uint32_t segment_size, Coverage *coverage)
{
    json_error_t error;
    json_t *root = json_loadb(text, length, 0, &error);
    const json_t *list = json_object_get(root, "sound");
    bool good = json_is_array(list) &&
                json_integer_value(json_object_get(root, "segment_size")) == segment_size;
    for (size_t i = 0; good && i < json_array_size(list); i++)
        good = add_range(coverage, segment_size, json_array_get(list, i));
    json_decref(root);
    return good;
}

int
verified_load(const ServerConfig *server, uint32_t segment_size, Verified *ret_verified)
{
    AUTO(free) char *name = file_name(server);
    AUTO(free) char *path = mem_printf("%s/%s", server->xlogdb_directory, name);
    AUTO(str) Str text = {0};
    *ret_verified = (Verified){0};
    int result = file_read_text(path, FILE_MAX, &text);
    if (result < 0 && error_last()->os_error == ENOENT)
        return 0;
    if (result < 0 && error_last()->class != ERR_DATA)
        return result;
    Coverage *coverage = coverage_new(segment_size);
    if (result < 0 || !parse(str_text(&text), text.length, segment_size, coverage)) {
        log_warning("'%s' does not say what was verified; verifying everything", path);
        coverage_free(coverage);
        return 0;
    }
    *ret_verified = (Verified){coverage, coverage_finish(coverage)};
    return 0;
}

bool
verified_holds(const Verified *verified, Timeline timeline, Lsn lsn)
{
    const CoverageTimeline *found =
        verified->report ? coverage_timeline(verified->report, timeline) : NULL;
    return found && coverage_range_at(found, lsn);
}

static json_t *
pack_ranges(const CoverageReport *report)
{
    json_t *list = json_array();
    for (size_t t = 0; t < report->timeline_count; t++)
        for (size_t r = 0; r < report->timelines[t].range_count; r++) {
            const CoverageRange *range = &report->timelines[t].ranges[r];
            char first[WAL_NAME_ROOM], last[WAL_NAME_ROOM];
            wal_segment_name(range->timeline, range->begin, report->segment_size, first);
            wal_segment_name(range->timeline, range->end - 1, report->segment_size, last);
            json_array_append_new(list, json_pack("{s:s, s:s}", "first", first, "last", last));
        }
    return list;
}

int
verified_save(const ServerConfig *server, const CoverageReport *report)
{
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    AUTO(free) char *name = file_name(server);
    char at[STAMP_ROOM];
    time_format_stamp(time(NULL), at);
    json_t *root = json_pack("{s:I, s:s, s:o}", "segment_size", (json_int_t)report->segment_size,
                             "at", at, "sound", pack_ranges(report));
    char *text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    int result = text ? atomic_open(server->xlogdb_directory, name, 0666, &file)
                      : fail(ERR_DATA, "'%s' cannot be written as JSON", name);
    if (result == 0)
        result = file_write(file.fd, text, strlen(text), name);
    free(text);
    return result < 0 ? result : atomic_replace(&file);
}

void
verified_done(Verified *verified)
{
    coverage_free(verified->coverage);
    *verified = (Verified){0};
}
