/* SPDX-License-Identifier: PostgreSQL
 * An object store by hand, for the tests of src/cloud/: bucket [OPTION=VALUE...] URL COMMAND
 * [ARGS]. Prints what happened as one line, "done", "missing", "exists" or "failed CLASS: ...", and
 * ends with 0 unless the command line is wrong. Never part of an installation. */
#include "cloud/bucket.h"
#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"

#include <fcntl.h>
#include <inttypes.h>

static BucketSettings settings;
static const char *tags[16];
static size_t tag_count;
static bool replace;

static const struct {
    const char *name;
    const char **text;
    int64_t *number;
} options[] = {
    {"provider", &settings.provider, NULL},
    {"endpoint", &settings.endpoint_url, NULL},
    {"region", &settings.region, NULL},
    {"profile", &settings.profile, NULL},
    {"ca", &settings.ca_file, NULL},
    {"addressing", &settings.addressing, NULL},
    {"credential", &settings.credential, NULL},
    {"class", &settings.storage_class, NULL},
    {"encryption", &settings.encryption, NULL},
    {"kms", &settings.kms_key, NULL},
    {"customer", &settings.customer_key_file, NULL},
    {"part", NULL, &settings.part_size},
    {"connect_ms", NULL, &settings.connect_timeout_ms},
    {"idle_ms", NULL, &settings.idle_timeout_ms},
    {"total_ms", NULL, &settings.total_timeout_ms},
};

static bool
set_option(const char *argument)
{
    int64_t number = 0;
    const char *value = strchr(argument, '=') + 1;
    size_t length = (size_t)(value - argument) - 1;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        if (strlen(options[i].name) != length || strncmp(options[i].name, argument, length) != 0)
            continue;
        if (options[i].text)
            *options[i].text = value;
        return options[i].text || int_parse(value, 0, INT64_MAX, options[i].number);
    }
    if (str_starts(argument, "retries=") && int_parse(value, -1, 100, &number))
        settings.retries = (int)number;
    else if (str_starts(argument, "tag=") && tag_count + 1 < COUNT_OF(tags))
        tags[tag_count++] = value;
    else if (str_starts(argument, "replace="))
        replace = value[0] == '1';
    else
        return false;
    return true;
}

static int
write_out(void *context, const void *data, size_t size)
{
    return file_write(*(int *)context, data, size, "the output");
}

static int
put(Bucket *bucket, const char *key, const char *file, const char *sha256)
{
    AUTO(close) int fd = -1;
    AUTO(upload) Upload *upload = NULL;
    static char piece[64 << 10];
    size_t got = 0;
    int64_t size = 0;
    UploadOptions how = {.replace = replace};
    TRY(file_open(file, &fd));
    TRY(upload_begin(bucket, key, &how, &upload));
    do {
        TRY(file_read(fd, piece, sizeof(piece), file, &got));
        TRY(upload_write(upload, piece, got));
    } while (got == sizeof(piece));
    int result = upload_finish(upload, sha256, &size);
    if (result == 0)
        printf("size %" PRId64 "\n", size);
    return result;
}

static void
print_info(const char *key, const ObjectInfo *info)
{
    printf("%" PRId64 " %lld %s %s\n", info->size, (long long)info->mtime,
           info->sha256[0] ? info->sha256 : "-", key);
}

static int
print_object(void *context, const char *key, const ObjectInfo *info)
{
    (void)context;
    print_info(key, info);
    return 0;
}

static int
get(Bucket *bucket, const char *key, const char *file)
{
    AUTO(close) int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail_errno("open '%s'", file);
    ObjectInfo info;
    int result = object_get(bucket, key, write_out, &fd, &info);
    if (result == 0)
        print_info(key, &info);
    return result;
}

static int
remove_all(Bucket *bucket, char **keys, int count)
{
    ObjectRemoval *batch = mem_alloc((size_t)count * sizeof(*batch));
    for (int i = 0; i < count; i++)
        batch[i].key = keys[i];
    int result = bucket_remove(bucket, batch, (size_t)count);
    for (int i = 0; i < count; i++) {
        if (batch[i].error)
            printf("kept %s: %s\n", batch[i].key, batch[i].error);
        free(batch[i].error);
    }
    free(batch);
    return result;
}

static int
run(const char *url, int argc, char **argv)
{
    AUTO(bucket) Bucket *bucket = NULL;
    AUTO(free) char *prefix = NULL;
    const char *command = argv[0];
    settings.tags = tag_count ? tags : NULL;
    TRY(bucket_open(url, &settings, &bucket, &prefix));
    if (strcmp(command, "open") == 0)
        printf("%s %s\n", bucket_name(bucket), prefix);
    else if (strcmp(command, "check") == 0)
        return bucket_check(bucket);
    else if (strcmp(command, "create") == 0)
        return bucket_create(bucket);
    else if (strcmp(command, "put") == 0 && argc >= 3)
        return put(bucket, argv[1], argv[2], argc > 3 ? argv[3] : NULL);
    else if (strcmp(command, "get") == 0 && argc == 3)
        return get(bucket, argv[1], argv[2]);
    else if (strcmp(command, "list") == 0)
        return bucket_list(bucket, argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : NULL, print_object,
                           NULL);
    else if (strcmp(command, "rm") == 0)
        return remove_all(bucket, argv + 1, argc - 1);
    else if (strcmp(command, "head") == 0 && argc == 2) {
        ObjectInfo info;
        int result = object_head(bucket, argv[1], &info);
        if (result == 0)
            print_info(argv[1], &info);
        return result;
    } else
        return fail(ERR_USAGE, "no command '%s'", command);
    return 0;
}

int
main(int argc, char **argv)
{
    static const char *const classes[] = {"usage", "config",  "data", "io",     "unsupported",
                                          "busy",  "timeout", "hook", "stopped"};
    int first = 1;
    stop_on_signals();
    (void)log_open(NULL, LOG_DEBUG);
    for (; first < argc && strcspn(argv[first], "=") < strcspn(argv[first], ":/"); first++)
        if (!set_option(argv[first]))
            return 2;
    if (argc - first < 2)
        return 2;
    int result = run(argv[first], argc - first - 1, argv + first + 1);
    if (result < 0)
        printf("failed %s: %s (%s)\n", classes[error_last()->class], error_last()->text,
               error_last()->hint);
    else
        puts(result == 0 ? "done" : strcmp(argv[first + 1], "put") == 0 ? "exists" : "missing");
    return 0;
}
