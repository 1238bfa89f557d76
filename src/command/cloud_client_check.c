/* SPDX-License-Identifier: PostgreSQL
 * barman-cloud-check-wal-archive: may a new server, or one on a new timeline, send its WAL to this
 * object store? Not if objects are there whose names it will use itself. A bucket that is missing
 * is created, as Barman does. */
#include "command/cloud_client.h"

#include "base/log.h"
#include "wal/name.h"

enum Option { TIMELINE = CLOUD_OPTIONS, OPTIONS };

static const Argument options[] = {
    CLOUD_COMMON,
    [TIMELINE] = {{"timeline", "", "N", "files of timelines before N do no harm"}, .number = true},
};

static const CloudProgram program = {
    .name = "barman-cloud-check-wal-archive",
    .arguments = "DEST_URL SERVER_NAME",
    .help = "Checks that a new server may archive its WAL there: the archive must be\n"
            "empty, or hold no files of timeline N or a later one. A bucket that is missing\n"
            "is created.\n"
            "\n"
            "Exit codes: 0 it may; 1 it must not; 2 the store could not be reached; 3 the\n"
            "command line is wrong; 4 anything else.",
    .options = options,
    .option_count = OPTIONS,
    .word_min = 2,
    .word_max = 2,
};

typedef struct Count {
    Timeline from; /* of this timeline or a later one; 0: of any */
    size_t found;
} Count;

static int
count_file(void *context, const char *text, const struct stat *st)
{
    Count *count = context;
    WalName name;
    (void)st;
    if (wal_name_parse(text, &name) && name.timeline >= count->from)
        count->found++;
    return 0;
}

static int
make_bucket(const char *url, const BucketSettings *settings)
{
    AUTO(bucket) Bucket *bucket = NULL;
    AUTO(free) char *prefix = NULL;
    TRY(bucket_open(url, settings, &bucket, &prefix));
    int result = bucket_check(bucket);
    return result == BUCKET_MISSING ? bucket_create(bucket) : result;
}

static int
check(const char *url, const char *server, const BucketSettings *settings, Count *count)
{
    AUTO(store) Store *store = NULL;
    size_t strangers = 0;
    const StorePlace place = {
        .wals = url, .server = server, .bucket = *settings, .staging_directory = "/tmp"};
    TRY(make_bucket(url, settings));
    TRY(store_open(&place, &store));
    return store_list(store, count_file, count, &strangers);
}

static int
run(const Arguments *found, Timeline from)
{
    const char *url = found->words.items[0], *server = found->words.items[1];
    BucketSettings settings = cloud_settings(found);
    Count count = {.from = from};
    if (found->given[CLOUD_TEST]) { /* Barman does not ask for the bucket here */
        int code = cloud_test(url, &settings);
        return code == CLOUD_REFUSED ? CLOUD_DONE : code;
    }
    if (check(url, server, &settings, &count) < 0)
        return cloud_fail(url, &settings, CLOUD_REFUSED);
    if (count.found == 0)
        return CLOUD_DONE;
    if (from == 0)
        log_error("WAL archive check failed for server %s: Expected empty archive", server);
    else
        log_error("WAL archive check failed for server %s: Found %zu file%s in WAL archive equal "
                  "to or newer than timeline %u",
                  server, count.found, count.found > 1 ? "s" : "", from);
    return CLOUD_REFUSED;
}

int
cloud_check_main(int argc, char **argv)
{
    AUTO(arguments) Arguments found;
    int code = CLOUD_FAILED;
    int64_t from = 0;
    if (cloud_begin(&program, argc, argv, &found, &code) == CLOUD_ENDS)
        return code;
    const char *text = arguments_value(&found, TIMELINE);
    if (text && !int_parse(text, 1, UINT32_MAX, &from)) {
        fail(ERR_USAGE, "argument --timeline: '%s' is not a number of at least 1", text);
        return cloud_usage(&program);
    }
    return run(&found, (Timeline)from);
}
