/* SPDX-License-Identifier: PostgreSQL
 * The archive in an object store: its keys, what counts when a name has several objects, puts that
 * meet others, the circuit. The bucket is in memory here; the stores have tests of their own. */
#include "../files.h"

#include "base/str.h"
#include "flow/store/store.h"

#define SEG_1 "000000010000000000000001"
#define SEG_2 "000000010000000000000002"
#define ROOT "pre/fix/main/wals/"
#define DIR_1 ROOT "0000000100000000/"

enum { OBJECTS_MAX = 64 };

typedef struct Object {
    char *key, *data, sha256[OBJECT_SHA256_ROOM];
    const char *tag; /* the first one it was made with */
} Object;

struct Bucket {
    Object objects[OBJECTS_MAX]; /* in the order of the keys */
    size_t count;
    int requests, failures; /* so many requests are still to fail */
    const char *stubborn;   /* a key that cannot be removed */
    size_t largest_batch;
    bool missing;
};

struct Upload {
    char *key;
    const char *tag;
    Str data;
};

static Bucket bucket;

static int
request(void)
{
    bucket.requests++;
    return bucket.failures > 0 && bucket.failures-- ? fail(ERR_TIMEOUT, "no answer") : 0;
}

static Object *
find(const char *key)
{
    for (size_t i = 0; i < bucket.count; i++)
        if (strcmp(bucket.objects[i].key, key) == 0)
            return &bucket.objects[i];
    return NULL;
}

static Object *
add(const char *key, const char *data)
{
    size_t at = bucket.count;
    assert_true(at < OBJECTS_MAX);
    for (; at > 0 && strcmp(bucket.objects[at - 1].key, key) > 0; at--)
        bucket.objects[at] = bucket.objects[at - 1];
    bucket.objects[at] = (Object){.key = mem_dup(key), .data = mem_dup(data)};
    bucket.count++;
    return &bucket.objects[at];
}

static void
drop(Object *object)
{
    free(object->key);
    free(object->data);
    memmove(object, object + 1,
            (size_t)(bucket.objects + bucket.count - object - 1) * sizeof(Object));
    bucket.count--;
}

static ObjectInfo
info_of(const Object *object)
{
    return (ObjectInfo){.size = (int64_t)strlen(object->data), .mtime = 4711};
}

int
bucket_open(const char *url, const BucketSettings *settings, Bucket **ret_bucket, char **ret_prefix)
{
    (void)settings;
    assert_string_equal(url, "s3://bucket/pre/fix");
    *ret_bucket = &bucket;
    *ret_prefix = mem_dup("pre/fix");
    return 0;
}

void
bucket_free(Bucket *unused)
{
    (void)unused;
}

const char *
bucket_name(const Bucket *unused)
{
    (void)unused;
    return "s3://bucket";
}

uint64_t
bucket_busy(const Bucket *unused)
{
    (void)unused;
    return 0;
}

int
bucket_check(Bucket *unused)
{
    (void)unused;
    TRY(request());
    return bucket.missing ? BUCKET_MISSING : 0;
}

int
object_head(Bucket *unused, const char *key, ObjectInfo *ret_info)
{
    (void)unused;
    TRY(request());
    const Object *object = find(key);
    if (!object)
        return OBJECT_MISSING;
    *ret_info = info_of(object);
    memcpy(ret_info->sha256, object->sha256, OBJECT_SHA256_ROOM);
    return 0;
}

int
object_get(Bucket *unused, const char *key, Sink *sink, void *context, ObjectInfo *ret_info)
{
    (void)unused;
    TRY(request());
    const Object *object = find(key);
    if (!object)
        return OBJECT_MISSING;
    for (const char *byte = object->data; *byte; byte++)
        TRY(sink(context, byte, 1));
    *ret_info = info_of(object);
    return 0;
}

int
bucket_list(Bucket *unused, const char *prefix, const char *start_after, ObjectVisit *visit,
            void *context)
{
    (void)unused;
    TRY(request());
    for (size_t i = 0; i < bucket.count; i++) {
        const Object *object = &bucket.objects[i];
        ObjectInfo info = info_of(object);
        if (!str_starts(object->key, prefix) ||
            (start_after && strcmp(object->key, start_after) <= 0))
            continue;
        int result = visit(context, object->key, &info);
        if (result != 0)
            return result;
    }
    return 0;
}

int
bucket_remove(Bucket *unused, ObjectRemoval *batch, size_t count)
{
    (void)unused;
    TRY(request());
    if (count > bucket.largest_batch)
        bucket.largest_batch = count;
    for (size_t i = 0; i < count; i++) {
        Object *object = find(batch[i].key);
        if (bucket.stubborn && strcmp(batch[i].key, bucket.stubborn) == 0)
            batch[i].error = mem_dup("AccessDenied");
        else if (object)
            drop(object);
    }
    return 0;
}

int
upload_begin(Bucket *unused, const char *key, const UploadOptions *options, Upload **ret_upload)
{
    (void)unused;
    assert_false(options->replace);
    Upload *upload = mem_alloc(sizeof(*upload));
    upload->key = mem_dup(key);
    upload->tag = options->tags ? options->tags[0] : NULL;
    *ret_upload = upload;
    return 0;
}

int
upload_write(void *context, const void *data, size_t size)
{
    Upload *upload = context;
    str_append_part(&upload->data, data, size);
    return 0;
}

int
upload_finish(Upload *upload, const char *plain_sha256, int64_t *ret_size)
{
    TRY(request());
    if (find(upload->key))
        return UPLOAD_EXISTS;
    Object *object = add(upload->key, str_text(&upload->data));
    object->tag = upload->tag;
    snprintf(object->sha256, sizeof(object->sha256), "%s", plain_sha256 ? plain_sha256 : "");
    *ret_size = (int64_t)upload->data.length;
    return 0;
}

void
upload_free(Upload *upload)
{
    if (!upload)
        return;
    str_done(&upload->data);
    free(upload->key);
    free(upload);
}

typedef struct Site {
    char *dir, *staging;
    Store *store;
} Site;

static void
reopen(Site *site)
{
    const char *const tags[] = {"kind=history", NULL};
    const StorePlace place = {.wals = "s3://bucket/pre/fix",
                              .server = "main",
                              .staging_directory = site->staging,
                              .history_tags = tags,
                              .removal_batch = 2};
    store_free(site->store);
    assert_done(store_open(&place, &site->store));
}

static int
setup(void **state)
{
    Site *site = mem_alloc(sizeof(*site));
    site->dir = scratch_make();
    site->staging = mem_printf("%s/deep/staging", site->dir);
    reopen(site);
    *state = site;
    return 0;
}

static int
teardown(void **state)
{
    Site *site = *state;
    store_free(site->store);
    while (bucket.count)
        drop(&bucket.objects[bucket.count - 1]);
    bucket = (Bucket){0};
    free(site->staging);
    scratch_remove(site->dir);
    free(site);
    return 0;
}

/* Puts a text under the name; its answer. */
static int
put_text(Store *store, const char *name, const char *compression, const char *text,
         const char *sha256)
{
    AUTO(store_put) StorePut *put = NULL;
    struct stat st = {.st_size = 99};
    int64_t size = 0;
    TRY(store_put_begin(store, name, compression, &put));
    TRY(store_put_write(put, text, strlen(text)));
    TRY(store_put_finish(put, -1, &st, sha256, &size));
    return store_put_publish(put);
}

static void
assert_content(const Store *store, const char *name, size_t limit, const char *expected)
{
    char text[64] = "";
    AUTO(close) int fd = -1;
    assert_done(limit ? store_read_head(store, name, limit, &fd) : store_read(store, name, &fd));
    assert_int_equal(read(fd, text, sizeof(text) - 1), strlen(expected));
    assert_string_equal(text, expected);
}

static void
test_keys(void **state)
{
    Site *site = *state;
    static const struct {
        const char *name, *compression, *key;
    } cases[] = {
        {SEG_1, NULL, DIR_1 SEG_1},
        {SEG_2, "pygzip", DIR_1 SEG_2 ".gz"},
        {SEG_1 ".00000028.backup", "bzip2", DIR_1 SEG_1 ".00000028.backup.bz2"},
        {SEG_2 ".partial", "zstd", DIR_1 SEG_2 ".partial.zst"},
        {"00000002.history", "xz", ROOT "00000002.history.xz"},
        {"000000010000000000000003", "lz4", DIR_1 "000000010000000000000003.lz4"},
        {"000000010000000000000004", "snappy", DIR_1 "000000010000000000000004.snappy"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(free) char *path = store_path(site->store, cases[i].name, cases[i].compression);
        AUTO(free) char *expected = mem_printf("s3://bucket/%s", cases[i].key);
        assert_string_equal(path, expected);
        assert_done(put_text(site->store, cases[i].name, cases[i].compression, "text", NULL));
        assert_non_null(find(cases[i].key));
    }
    StorePut *put = NULL;
    assert_fails(store_put_begin(site->store, SEG_1, "pigz", &put), ERR_CONFIG, "'pigz'");
    assert_string_equal(find(ROOT "00000002.history.xz")->tag, "kind=history");
    assert_null(find(DIR_1 SEG_1)->tag);
}

/* Barman takes what is listed last. */
static void
test_exact_before_compressed_before_partial(void **state)
{
    Site *site = *state;
    struct stat st;
    add(DIR_1 SEG_1 ".00000028.backup.gz", "label");
    add(DIR_1 SEG_1 ".partial", "partial");
    assert_int_equal(store_stat(site->store, SEG_1, &st), STORE_MISSING);
    add(DIR_1 SEG_1 ".zst", "zst");
    assert_content(site->store, SEG_1, 0, "zst");
    add(DIR_1 SEG_1 ".gz", "gz");
    reopen(site);
    assert_content(site->store, SEG_1, 0, "gz");
    add(DIR_1 SEG_1, "exact");
    reopen(site);
    assert_content(site->store, SEG_1, 0, "exact");
    assert_content(site->store, SEG_1 ".partial", 0, "partial");
    assert_content(site->store, SEG_1, 3, "exa");
    assert_done(store_stat(site->store, SEG_1, &st));
    assert_true(S_ISREG(st.st_mode) && st.st_size == 5 && st.st_mtim.tv_sec == 4711);
}

/* Whoever reads many files in order has them listed once for all; what has changed since is found
 * out when it is not there. */
static void
test_reading_many(void **state)
{
    Site *site = *state;
    struct stat st;
    int fd = -1;
    for (int i = 0; i < 9; i++) {
        AUTO(free) char *key = mem_printf(DIR_1 "00000001000000000000000%d.gz", i);
        add(key, "text");
    }
    assert_content(site->store, "000000010000000000000000", 0, "text");
    assert_int_equal(bucket.requests, 2);
    for (int i = 1; i < 9; i++) {
        AUTO(free) char *name = mem_printf("00000001000000000000000%d", i);
        assert_content(site->store, name, 0, "text");
    }
    assert_int_equal(bucket.requests, 2 + 1 + 8);
    add(DIR_1 "000000010000000000000009", "later");
    assert_content(site->store, "000000010000000000000009", 0, "later");
    drop(find(DIR_1 SEG_1 ".gz"));
    assert_int_equal(store_read(site->store, SEG_1, &fd), STORE_MISSING);
    assert_int_equal(store_stat(site->store, SEG_1, &st), STORE_MISSING);
    drop(find(DIR_1 SEG_2 ".gz"));
    add(DIR_1 SEG_2, "moved");
    assert_content(site->store, SEG_2, 0, "moved");
}

static void
test_puts_never_replace(void **state)
{
    Site *site = *state;
    static const char *const sha256 =
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char found[OBJECT_SHA256_ROOM];
    AUTO(store_put) StorePut *put = NULL;
    assert_int_equal(store_digest(site->store, SEG_1, found), STORE_MISSING);
    assert_done(put_text(site->store, SEG_1, "gzip", "one", sha256));
    assert_int_equal(put_text(site->store, SEG_1, "gzip", "two", NULL), STORE_EXISTS);
    assert_string_equal(find(DIR_1 SEG_1 ".gz")->data, "one");
    assert_done(store_digest(site->store, SEG_1, found));
    assert_string_equal(found, sha256);
    assert_done(put_text(site->store, SEG_2, NULL, "of others", NULL));
    assert_int_equal(store_digest(site->store, SEG_2, found), STORE_UNKNOWN);
    assert_int_equal(store_put_adopt(site->store, SEG_2, 0, &put), STORE_CANNOT_LINK);
    assert_true(store_keeps_digests(site->store));
}

/* One listing answers for the neighbours, too. */
static void
test_holds(void **state)
{
    Site *site = *state;
    add(DIR_1 SEG_2 ".gz", "two");
    add(ROOT "00000002.history", "history");
    assert_int_equal(store_holds(site->store, SEG_1), STORE_MISSING);
    assert_done(store_holds(site->store, SEG_2));
    assert_int_equal(store_holds(site->store, SEG_2 ".partial"), STORE_MISSING);
    assert_int_equal(bucket.requests, 1);
    assert_int_equal(store_holds(site->store, "000000010000000100000001"), STORE_MISSING);
    assert_int_equal(bucket.requests, 2);
    assert_done(store_holds(site->store, "00000002.history"));
    assert_int_equal(bucket.requests, 3);
}

static int
note_name(void *context, const char *name, const struct stat *st)
{
    assert_true(S_ISREG(st->st_mode));
    str_appendf(context, "%s=%lld;", name, (long long)st->st_size);
    return 0;
}

static bool
wants_first(void *context, const char *hash_dir)
{
    (void)context;
    return strcmp(hash_dir, "0000000100000000") == 0;
}

static void
test_list(void **state)
{
    Site *site = *state;
    AUTO(str) Str names = {0};
    size_t strangers = 0;
    assert_int_equal(store_is_empty(site->store), STORE_EMPTY);
    add("pre/fix/main/base/1/backup.info", "not WAL's");
    add("pre/fix/main2/wals/0000000100000000/" SEG_1, "another server's");
    add(DIR_1 SEG_2, "plain");
    add(DIR_1 SEG_2 ".gz", "gz");
    add(DIR_1 SEG_2 ".gz.gz", "what?");
    add(DIR_1 SEG_1 ".zst", "zst");
    add(ROOT "0000000100000001/" SEG_1, "wrong place");
    add(ROOT "0000000100000001/000000010000000100000000", "x");
    add(ROOT "00000002.history", "history");
    add(ROOT "0000000100000001/00000002.history", "wrong place");
    assert_done(store_list(site->store, note_name, &names, &strangers));
    assert_string_equal(str_text(&names),
                        "00000002.history=7;" SEG_1 "=3;" SEG_2 "=5;000000010000000100000000=1;");
    assert_int_equal(strangers, 4);
    str_clear(&names);
    assert_done(store_list_some(site->store, wants_first, note_name, &names, &strangers));
    assert_string_equal(str_text(&names), SEG_1 "=3;" SEG_2 "=5;");
    assert_done(store_is_empty(site->store));
}

static void
test_remove(void **state)
{
    Site *site = *state;
    add(DIR_1 SEG_1 ".gz", "1");
    add(DIR_1 SEG_1, "1");
    add(DIR_1 SEG_1 ".partial", "1");
    add(DIR_1 SEG_2 ".zst", "2");
    add(DIR_1 "000000010000000000000003.zst", "3");
    add(ROOT "00000002.history.gz", "h");
    bucket.stubborn = DIR_1 "000000010000000000000003.zst";
    StoreRemoval batch[] = {{.name = "00000002.history"},
                            {.name = SEG_1},
                            {.name = SEG_2},
                            {.name = "000000010000000000000003"},
                            {.name = "000000010000000000000009"}};
    assert_done(store_remove(site->store, batch, COUNT_OF(batch)));
    assert_int_equal(bucket.count, 2);
    assert_non_null(find(DIR_1 SEG_1 ".partial"));
    assert_string_equal(batch[3].error, "AccessDenied");
    assert_true(!batch[0].missing && !batch[1].missing && !batch[3].missing && batch[4].missing);
    assert_null(batch[1].error);
    assert_null(batch[4].error);
    assert_int_equal(bucket.largest_batch, 2);
    free(batch[3].error);
}

/* A dead store is not asked again and again. */
static void
test_circuit(void **state)
{
    Site *site = *state;
    struct stat st;
    AUTO(store_put) StorePut *put = NULL;
    bucket.failures = 2;
    assert_fails(store_stat(site->store, SEG_1, &st), ERR_TIMEOUT, "no answer");
    assert_fails(store_is_empty(site->store), ERR_TIMEOUT, "no answer");
    assert_int_equal(store_stat(site->store, SEG_1, &st), STORE_MISSING); /* it is back */
    bucket.failures = 100;
    assert_fails(store_stat(site->store, SEG_1, &st), ERR_TIMEOUT, "no answer");
    assert_fails(store_holds(site->store, SEG_1), ERR_TIMEOUT, "no answer");
    assert_fails(put_text(site->store, SEG_1, NULL, "text", NULL), ERR_TIMEOUT, "no answer");
    int before = bucket.requests;
    assert_fails(store_put_begin(site->store, SEG_1, NULL, &put), ERR_TIMEOUT,
                 "not asking 's3://bucket' again");
    assert_fails(store_stat(site->store, SEG_1, &st), ERR_TIMEOUT, "3 times in a row");
    assert_fails(store_holds(site->store, SEG_2), ERR_TIMEOUT, "no answer");
    assert_int_equal(bucket.requests, before);
}

static void
test_reading_needs_room_here(void **state)
{
    Site *site = *state;
    int fd = -1;
    AUTO(free) char *up = mem_printf("%s/deep", site->dir);
    add(DIR_1 SEG_1, "1");
    write_text(up, "in the way");
    assert_fails(store_read(site->store, SEG_1, &fd), ERR_IO, "deep");
    assert_int_equal(store_read(site->store, SEG_2, &fd), STORE_MISSING);
}

static void
test_try(void **state)
{
    Site *site = *state;
    assert_done(store_try(site->store));
    bucket.missing = true;
    assert_fails(store_try(site->store), ERR_CONFIG, "'s3://bucket' does not exist");
    assert_true(store_is_remote(site->store));
}

int
main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_keys),
        CASE(test_exact_before_compressed_before_partial),
        CASE(test_reading_many),
        CASE(test_puts_never_replace),
        CASE(test_holds),
        CASE(test_list),
        CASE(test_remove),
        CASE(test_circuit),
        CASE(test_reading_needs_room_here),
        CASE(test_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
