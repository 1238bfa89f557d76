/* SPDX-License-Identifier: PostgreSQL
 * barman-cloud-wal-archive: brings one WAL file into an object store, for archive_command or as a
 * hook script of Barman's or ours, with Barman's options, keys and exit codes. Where Barman
 * overwrites, it compares. It makes one request, and so relies on the store to heed the condition
 * that the key is free. */
#include "command/cloud_client.h"

#include "base/file.h"
#include "base/log.h"
#include "flow/deposit.h"
#include "wal/name.h"

enum Option {
    GZIP = CLOUD_OPTIONS,
    BZIP2,
    XZ,
    SNAPPY,
    ZSTD,
    LZ4,
    LEVEL,
    TAGS,
    TAG,
    HISTORY_TAGS,
    HISTORY_TAG,
    ENCRYPTION,
    SSE_KMS_KEY,
    ENCRYPTION_SCOPE,
    BLOCK_SIZE,
    CONCURRENCY,
    SINGLE_PUT_SIZE,
    KMS_KEY,
    OPTIONS
};

enum { GROUP_CODEC = CLOUD_GROUP_OWN, GROUP_TAGS, GROUP_HISTORY_TAGS };
enum { TRIES = 3, TAG_KEY_MAX = 128, TAG_VALUE_MAX = 256 };

static const Argument options[] = {
    CLOUD_COMMON,
    [GZIP] = {{"gzip", "z", NULL, "compress with gzip"}, .group = GROUP_CODEC},
    [BZIP2] = {{"bzip2", "j", NULL, "bzip2"}, .group = GROUP_CODEC},
    [XZ] = {{"xz", "", NULL, "xz"}, .group = GROUP_CODEC},
    [SNAPPY] = {{"snappy", "", NULL, "snappy"}, .group = GROUP_CODEC},
    [ZSTD] = {{"zstd", "", NULL, "zstd"}, .group = GROUP_CODEC},
    [LZ4] = {{"lz4", "", NULL, "lz4"}, .group = GROUP_CODEC},
    [LEVEL] = {{"compression-level", "", "LEVEL", "low, medium, high or a number (medium)"}},
    [TAGS] = {{"tags", "", "KEY,VALUE ...", "of the object; both may be quoted, as in CSV"},
              .many = true,
              .group = GROUP_TAGS},
    [TAG] = {{"tag", "", "KEY,VALUE", "one tag; may be given repeatedly"}, .group = GROUP_TAGS},
    [HISTORY_TAGS] = {{"history-tags", "", "KEY,VALUE ...", "instead of those, of history files"},
                      .many = true,
                      .group = GROUP_HISTORY_TAGS},
    [HISTORY_TAG] = {{"history-tag", "", "KEY,VALUE", "one of those"}, .group = GROUP_HISTORY_TAGS},
    [ENCRYPTION] = {{"encryption", "e", "KIND", "S3: AES256 or aws:kms"},
                    .choices = "AES256|aws:kms"},
    [SSE_KMS_KEY] = {{"sse-kms-key-id", "", "KEY", "S3: key for --encryption aws:kms"}},
    [ENCRYPTION_SCOPE] = {{"encryption-scope", "", "SCOPE", "Azure: encryption scope"}},
    [BLOCK_SIZE] = {{"max-block-size", "", "SIZE", "Azure: taken for Barman's sake; see the next"}},
    [CONCURRENCY] = {{"max-concurrency", "", "N", "Azure: the same"}, .number = true},
    [SINGLE_PUT_SIZE] = {{"max-single-put-size", "", "SIZE", "Azure: larger objects go in parts"}},
    [KMS_KEY] = {{"kms-key-name", "", "KEY", "Google: key to encrypt with"}},
};

static const CloudProgram program = {
    .name = "barman-cloud-wal-archive",
    .arguments = "DEST_URL SERVER_NAME [WAL_PATH]",
    .help = "Archives a WAL file in an object store, for archive_command:\n"
            "    barman-cloud-wal-archive --zstd s3://BUCKET/PREFIX SERVER %p\n"
            "As pre_archive_script or pre_archive_retry_script it needs no WAL_PATH.\n"
            "\n"
            "Exit codes: 0 it is there, whole and verified; 1 other content is there under\n"
            "its name, or there is no such bucket; 2 the store could not be reached; 3 the\n"
            "command line or the file name is wrong; 4 anything else.",
    .options = options,
    .option_count = OPTIONS,
    .word_min = 2,
    .word_max = 3,
};

typedef struct Archiving {
    const Arguments *found;
    const char *url, *server, *path;
    BucketSettings settings;
    StrList tags, history_tags; /* "KEY=VALUE" */
    const CodecClass *codec;
    int level;
} Archiving;

static void
archiving_done(Archiving *self)
{
    strlist_done(&self->tags);
    strlist_done(&self->history_tags);
}

/* Tags */

static int
fail_tag(const char *text)
{
    return fail(ERR_USAGE, "Invalid tag format: %s", text);
}

/* One field of CSV: as it stands up to the next comma, or in quotes. NULL when it is wrong. */
static const char *
read_field(const char *text, Str *field)
{
    if (*text != '"') {
        size_t length = strcspn(text, ",");
        str_append_part(field, text, length);
        return text + length;
    }
    for (text++; *text; text++) {
        if (*text == '"' && *++text != '"')
            return *text == ',' || *text == '\0' ? text : NULL;
        str_append_part(field, text, 1);
    }
    return NULL;
}

static int
add_pair(const char *key, const char *value, const char *text, StrList *tags)
{
    if (!*key || strchr(key, '='))
        return fail_tag(text);
    strlist_addf(tags, "%s=%s", key, value);
    return 0;
}

static int
add_csv(const char *text, StrList *tags)
{
    AUTO(str) Str key = {0};
    AUTO(str) Str value = {0};
    const char *rest = read_field(text, &key);
    if (rest && *rest == ',')
        rest = read_field(rest + 1, &value);
    else
        rest = NULL;
    return rest && *rest == '\0' ? add_pair(str_text(&key), str_text(&value), text, tags)
                                 : fail_tag(text);
}

static void
add_trimmed(const char *text, size_t length, Str *out)
{
    while (length > 0 && strchr(" \t", *text))
        text++, length--;
    while (length > 0 && strchr(" \t", text[length - 1]))
        length--;
    str_append_part(out, text, length);
}

static int
add_single(const char *text, StrList *tags)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 "
                                  "_.:/=+-@";
    AUTO(str) Str key = {0};
    AUTO(str) Str value = {0};
    const char *comma = strchr(text, ',');
    if (!comma)
        return fail_tag(text);
    add_trimmed(text, (size_t)(comma - text), &key);
    add_trimmed(comma + 1, strlen(comma + 1), &value);
    const char *name = str_text(&key), *content = str_text(&value);
    if (key.length > TAG_KEY_MAX || value.length > TAG_VALUE_MAX || str_starts(name, "aws:") ||
        name[strspn(name, allowed)] || content[strspn(content, allowed)])
        return fail_tag(text);
    return add_pair(name, content, text, tags);
}

static int
read_tags(const Arguments *found, int list, int single, StrList *ret_tags)
{
    const StrList *lists = &found->values[list], *singles = &found->values[single];
    for (size_t i = 0; i < lists->count; i++)
        TRY(add_csv(lists->items[i], ret_tags));
    for (size_t i = 0; i < singles->count; i++)
        TRY(add_single(singles->items[i], ret_tags));
    return 0;
}

/* The list as others want it: ended by NULL; NULL when there are none. The arena's. */
static const char *const *
tag_list(const StrList *tags, Arena *arena)
{
    const char **list = arena_alloc(arena, (tags->count + 1) * sizeof(char *));
    for (size_t i = 0; i < tags->count; i++)
        list[i] = tags->items[i];
    return tags->count ? list : NULL;
}

/* The command line */

/* "64MB" and the like, as Barman reads them: powers of 1024. */
static bool
parse_size(const char *text, int64_t *ret_size)
{
    static const char units[] = "kMGTPE";
    AUTO(free) char *number = mem_dup(text);
    size_t digits = strspn(number, "0123456789");
    const char *unit = text + digits;
    int shift = 0;
    number[digits] = '\0';
    if (*unit && strcasecmp(unit, "B") != 0) {
        const char *known = strchr("kK", *unit) ? units : strchr(units, *unit);
        if (!known || (strcasecmp(unit + 1, "B") != 0 && strcasecmp(unit + 1, "iB") != 0))
            return false;
        shift = 10 * (int)(known - units + 1);
    }
    if (!int_parse(number, 1, INT64_MAX >> shift, ret_size))
        return false;
    *ret_size <<= shift;
    return true;
}

static int
read_sizes(Archiving *self)
{
    int64_t size = 0;
    const char *block = arguments_value(self->found, BLOCK_SIZE);
    const char *put = arguments_value(self->found, SINGLE_PUT_SIZE);
    if (block && !parse_size(block, &size))
        return fail(ERR_USAGE, "argument --max-block-size: invalid value: '%s'", block);
    if (put && !parse_size(put, &size))
        return fail(ERR_USAGE, "argument --max-single-put-size: invalid value: '%s'", put);
    if (put && strcmp(bucket_provider(self->url), "azure-blob-storage") == 0)
        self->settings.part_size = size;
    return 0;
}

static int
read_encryption(Archiving *self)
{
    const Arguments *found = self->found;
    const char *provider = bucket_provider(self->url);
    bool s3 = strcmp(provider, "aws-s3") == 0, azure = strcmp(provider, "azure-blob-storage") == 0;
    self->settings.kms_key = arguments_value(found, s3      ? SSE_KMS_KEY
                                                    : azure ? ENCRYPTION_SCOPE
                                                            : KMS_KEY);
    if (!s3)
        return 0;
    self->settings.encryption = arguments_value(found, ENCRYPTION);
    const char *kind = self->settings.encryption;
    if (self->settings.kms_key && (!kind || strcmp(kind, "aws:kms") != 0))
        return fail(ERR_USAGE, "--sse-kms-key-id needs --encryption aws:kms");
    return 0;
}

static int
read_codec(Archiving *self)
{
    const char *level = arguments_value(self->found, LEVEL);
    for (int i = GZIP; i <= LZ4; i++)
        if (self->found->given[i])
            self->codec = codec_find(options[i].shown.name);
    const CodecClass *any = self->codec ? self->codec : codec_find("gzip");
    return codec_level(any, level, &self->level)
               ? 0
               : fail(ERR_USAGE, "argument --compression-level: invalid value: '%s'", level);
}

static int
read_line(Archiving *self)
{
    const Arguments *found = self->found;
    self->url = found->words.items[0];
    self->server = found->words.items[1];
    self->path = found->words.count > 2 ? found->words.items[2] : NULL;
    self->settings = cloud_settings(found);
    self->settings.retries = TRIES;
    TRY(read_encryption(self));
    TRY(read_tags(found, TAGS, TAG, &self->tags));
    TRY(read_tags(found, HISTORY_TAGS, HISTORY_TAG, &self->history_tags));
    TRY(read_sizes(self));
    return read_codec(self);
}

/* As a hook script, it is told the file by its environment. */
static int
find_path(Archiving *self)
{
    const char *hook = getenv("BARMAN_HOOK"), *phase = getenv("BARMAN_PHASE");
    if (!hook || !phase)
        return self->path ? 0 : fail(ERR_CONFIG, "the following arguments are required: wal_path");
    if ((strcmp(hook, "archive_script") != 0 && strcmp(hook, "archive_retry_script") != 0) ||
        strcmp(phase, "pre") != 0)
        return fail(ERR_CONFIG,
                    "barman-cloud-wal-archive can only be used as pre_archive_script or "
                    "pre_archive_retry_script, not as a %s %s",
                    phase, hook);
    self->path = getenv("BARMAN_FILE");
    return self->path ? 0 : fail(ERR_CONFIG, "Expected environment variable BARMAN_FILE not set");
}

/* What is compressed already comes out of a queue whose archiver reads it through by itself: it is
 * not read through here, which would take longer than sending it. */
static WalValidation
validation_of(int fd)
{
    char head[16];
    ssize_t got = pread(fd, head, sizeof(head), 0);
    return got > 0 && codec_recognise(head, (size_t)got) ? VALIDATE_OFF : VALIDATE_HEADER;
}

static int
archive(const Archiving *self, const char *name)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(store) Store *store = NULL;
    AUTO(coder) Coder *compressor = NULL;
    AUTO(close) int fd = -1;
    WalFile wal;
    const char *directory = getenv("TMPDIR");
    StorePlace place = {.wals = self->url,
                        .server = self->server,
                        .bucket = self->settings,
                        .history_tags = tag_list(&self->history_tags, arena),
                        .staging_directory = directory && *directory ? directory : "/tmp",
                        .alone = true};
    place.bucket.tags = tag_list(&self->tags, arena);
    TRY(file_open(self->path, &fd));
    TRY(store_open(&place, &store));
    const Recipe recipe = {.store = store,
                           .codec = self->codec,
                           .level = self->level,
                           .gate = {.level = validation_of(fd)},
                           .undigested = true};
    int result = deposit(&recipe, &compressor, name, fd, &wal);
    if (result == DEPOSIT_SAME)
        log_info("%s is archived already, with this content", name);
    if (result == DEPOSIT_DIFFERENT)
        fail(ERR_DATA, "the archive has other content under the name '%s': nothing was replaced",
             name);
    return result;
}

static int
run(Archiving *self)
{
    if (find_path(self) < 0) { /* as Barman's, which ends by an exception then */
        log_error("%s", error_last()->text);
        return CLOUD_REFUSED;
    }
    const char *slash = strrchr(self->path, '/');
    const char *name = slash ? slash + 1 : self->path;
    if (wal_kind(name) == WAL_NONE) {
        log_error("%s is an invalid name for a WAL file", self->path);
        return CLOUD_USAGE;
    }
    if (self->found->given[CLOUD_TEST])
        return cloud_test(self->url, &self->settings);
    int result = archive(self, name);
    if (result == 0 || result == DEPOSIT_SAME)
        return CLOUD_DONE;
    int code = cloud_fail(self->url, &self->settings, CLOUD_REFUSED);
    /* Above 125 PostgreSQL's archiver process ends: also when we were told to stop. */
    return result == DEPOSIT_DIFFERENT ? CLOUD_REFUSED : code > CLOUD_FAILED ? CLOUD_FAILED : code;
}

int
cloud_wal_archive_main(int argc, char **argv)
{
    AUTO(arguments) Arguments found;
    int code = CLOUD_FAILED;
    if (cloud_begin(&program, argc, argv, &found, &code) == CLOUD_ENDS)
        return code;
    Archiving self = {.found = &found};
    code = read_line(&self) < 0 ? cloud_usage(&program) : run(&self);
    archiving_done(&self);
    return code;
}
