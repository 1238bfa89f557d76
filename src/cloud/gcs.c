/* SPDX-License-Identifier: PostgreSQL
 * Google Cloud Storage by its JSON interface. An object that is not there and a bucket that is not
 * there are both answered with 404, and told apart by the text, or by one more question. */
#include "base/crc32c.h"
#include "cloud/gcs_call.h"
#include "cloud/remove.h"

#define CONSOLE "https://console.cloud.google.com/storage/browser/"
#define ORIGIN "https://storage.googleapis.com"

enum { PAGE_TEXT_MAX = 4 << 20 };

static int
check(void *store, int64_t deadline)
{
    AUTO(gcs_call) GcsCall call = gcs_call(store, "open", NULL, deadline);
    gcs_add_query(&call, "maxResults", "1");
    gcs_add_query(&call, "fields", "kind");
    TRY(gcs_run(&call, (HttpRequest){.method = "GET"}));
    return call.answer.status == 200   ? 0
           : call.answer.status == 404 ? BUCKET_MISSING
                                       : gcs_refused(&call);
}

static int
create(void *context, int64_t deadline)
{
    const GcsStore *store = context;
    AUTO(gcs_call) GcsCall call = gcs_call_to(store, "create", "/storage/v1/b", deadline);
    AUTO(free) char *project = NULL;
    AUTO(json) json_t *root = json_pack("{ss}", "name", store->bucket);
    AUTO(free) char *body = json_dumps(root, JSON_COMPACT);
    TRY(google_auth_project(store->auth, deadline, &project));
    gcs_add_query(&call, "project", project);
    strlist_add(&call.headers, "Content-Type: application/json");
    TRY(gcs_run(&call, (HttpRequest){
                           .method = "POST", .body = body, .body_size = body ? strlen(body) : 0}));
    if (call.answer.status == 200)
        return 0;
    return call.answer.status == 409 && check(context, deadline) == 0 ? 0 : gcs_refused(&call);
}

/* The page of a listing in the answer. Whatever is on the way may answer 200 with JSON, too:
 * without its kind it is no listing, and says nothing of what is there. */
static int
read_page(const GcsCall *call, json_t **ret_root)
{
    AUTO(json) json_t *root = NULL;
    TRY(gcs_read(call, &root));
    if (strcmp(json_text(root, "kind"), "storage#objects") != 0)
        return fail(ERR_DATA, "%s '%s': the answer is no listing", call->what, call->store->name);
    *ret_root = take(root);
    return 0;
}

/* After a 404: the object is missing, if the store says so in its own words, or else if its listing
 * does not have it. */
static int
missing(GcsCall *refused)
{
    if (strstr(str_text(&refused->answer.text), "No such object"))
        return OBJECT_MISSING;
    AUTO(gcs_call) GcsCall call = gcs_call(refused->store, "look for", NULL, refused->deadline);
    AUTO(json) json_t *root = NULL;
    gcs_add_query(&call, "maxResults", "1");
    gcs_add_query(&call, "fields", "kind,nextPageToken,items(name)");
    gcs_add_query(&call, "prefix", refused->key);
    TRY(gcs_run(&call, (HttpRequest){.method = "GET"}));
    if (call.answer.status != 200)
        return gcs_refused(call.answer.status == 404 ? refused : &call);
    TRY(read_page(&call, &root));
    const json_t *first = json_array_get(json_object_get(root, "items"), 0);
    if (!first && *json_text(root, "nextPageToken"))
        return fail(ERR_IO, "look for '%s/%s': the store does not say whether it is there",
                    refused->store->name, refused->key);
    return strcmp(json_text(first, "name"), refused->key) == 0 ? gcs_refused(refused)
                                                               : OBJECT_MISSING;
}

static void
read_info(const json_t *object, ObjectInfo *info)
{
    info->size = json_number(object, "size", -1);
    info->mtime = cloud_time_parse(json_text(object, "updated"));
    cloud_sha256_copy(json_text(json_object_get(object, "metadata"), GCS_SHA256), info);
}

static int
head(void *store, const char *key, int64_t deadline, ObjectInfo *ret_info)
{
    AUTO(gcs_call) GcsCall call = gcs_call(store, "look at", key, deadline);
    AUTO(json) json_t *root = NULL;
    ObjectInfo info = {0};
    gcs_add_query(&call, "fields", "size,updated,metadata");
    TRY(gcs_run(&call, (HttpRequest){.method = "GET"}));
    if (call.answer.status == 404)
        return missing(&call);
    if (call.answer.status != 200)
        return gcs_refused(&call);
    TRY(gcs_read(&call, &root));
    read_info(root, &info);
    if (info.size < 0)
        return fail(ERR_DATA, "look at '%s/%s': the store does not say how long it is",
                    call.store->name, key);
    *ret_info = info;
    return 0;
}

/* A download with its checksum. */
typedef struct Download {
    Fetch *fetch;
    uint32_t crc, expected;
    bool compare;
} Download;

/* The checksum of this kind in the headers "x-goog-hash: KIND=BASE64,KIND=BASE64"; false if it is
 * not there in this size. */
static bool
find_hash(const HttpAnswer *answer, const char *kind, unsigned char *ret_bytes, size_t size)
{
    for (size_t i = 0; i + 1 < answer->headers.count; i += 2) {
        if (strcmp(answer->headers.items[i], "x-goog-hash") != 0)
            continue;
        for (const char *item = answer->headers.items[i + 1]; *item;
             item += strcspn(item, ","), item += strspn(item, ", ")) {
            if (!str_starts(item, kind) || item[strlen(kind)] != '=')
                continue;
            const char *text = item + strlen(kind) + 1;
            AUTO(free) char *copy = mem_printf("%.*s", (int)strcspn(text, ", "), text);
            AUTO(free) unsigned char *bytes = NULL;
            size_t count = 0;
            if (base64_parse(copy, &bytes, &count) && count == size) {
                memcpy(ret_bytes, bytes, size);
                return true;
            }
        }
    }
    return false;
}

static void
on_first(Fetch *fetch, const HttpAnswer *answer)
{
    unsigned char md5[MD5_SIZE];
    const char *mtime = http_header(answer, "last-modified");
    fetch->info.mtime = mtime ? cloud_time_parse(mtime) : 0;
    cloud_sha256_copy(http_header(answer, "x-goog-meta-" GCS_SHA256), &fetch->info);
    if (find_hash(answer, "md5", md5, sizeof(md5)))
        hex_format(md5, sizeof(md5), fetch->md5);
}

static int
on_begin(void *context, const HttpAnswer *answer)
{
    Download *download = context;
    TRY(fetch_begin(download->fetch, answer));
    unsigned char crc[4];
    if (download->fetch->offset == 0) {
        download->crc = 0;
        download->compare = find_hash(answer, "crc32c", crc, sizeof(crc));
        if (download->compare)
            download->expected =
                (uint32_t)crc[0] << 24 | (uint32_t)crc[1] << 16 | (uint32_t)crc[2] << 8 | crc[3];
    }
    return 0;
}

static int
on_data(void *context, const void *data, size_t size)
{
    Download *download = context;
    TRY(fetch_take(download->fetch, data, size));
    download->crc = crc32c(download->crc, data, size);
    return 0;
}

static int
get(void *store, Fetch *fetch, int64_t deadline)
{
    AUTO(gcs_call) GcsCall call = gcs_call(store, "read", fetch->key, deadline);
    Download download = {.fetch = fetch};
    fetch->on_first = on_first;
    fetch->version_header = "x-goog-generation";
    call.fetch = fetch;
    gcs_add_query(&call, "alt", "media");
    strlist_add(&call.headers, "Accept-Encoding: gzip"); /* as it is stored, if it is stored so */
    int result = gcs_run(
        &call,
        (HttpRequest){.method = "GET", .begin = on_begin, .sink = on_data, .context = &download});
    /* Whatever came of a connection that broke after the last byte */
    bool whole = fetch->size >= 0 && fetch->offset == fetch->size;
    if (!whole && result < 0)
        return result;
    if (!whole && call.answer.status == 404 && fetch->size < 0)
        return missing(&call);
    if (!whole && call.answer.status / 100 != 2)
        return gcs_refused(&call);
    if (download.compare && download.crc != download.expected)
        return fail(ERR_DATA, "read '%s/%s': what came has the CRC-32C %08x, the store says %08x",
                    call.store->name, fetch->key, download.crc, download.expected);
    return 0;
}

static int
list(void *context, const char *prefix, const char *start_after, ListPage *page, int64_t deadline)
{
    AUTO(gcs_call) GcsCall call = gcs_call(context, "list", NULL, deadline);
    AUTO(json) json_t *root = NULL;
    gcs_add_query(&call, "fields", "kind,nextPageToken,items(name,size,updated)");
    gcs_add_query(&call, "maxResults", "1000");
    if (*prefix)
        gcs_add_query(&call, "prefix", prefix);
    if (start_after)
        gcs_add_query(&call, "startOffset", start_after);
    if (page->token)
        gcs_add_query(&call, "pageToken", page->token);
    TRY(gcs_run(&call, (HttpRequest){.method = "GET", .text_max = PAGE_TEXT_MAX}));
    if (call.answer.status != 200)
        return gcs_refused(&call);
    TRY(read_page(&call, &root));
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(root, "items"), i, item)
    {
        ObjectInfo info = {0};
        read_info(item, &info);
        if (!*json_text(item, "name") || info.size < 0)
            return fail(ERR_DATA, "list '%s/%s': an entry has no name or no size", call.store->name,
                        prefix);
        list_add(page, json_text(item, "name"))->info = info;
    }
    free(page->token);
    page->token =
        *json_text(root, "nextPageToken") ? mem_dup(json_text(root, "nextPageToken")) : NULL;
    return 0;
}

static int
remove_one(void *store, const char *key, int64_t deadline)
{
    AUTO(gcs_call) GcsCall call = gcs_call(store, "remove", key, deadline);
    TRY(gcs_run(&call, (HttpRequest){.method = "DELETE"}));
    if (call.answer.status / 100 == 2)
        return 0;
    if (call.answer.status == 404) {
        int result = missing(&call);
        return result == OBJECT_MISSING ? 0 : result;
    }
    int status = call.answer.status, result = gcs_refused(&call);
    /* A hold or the bucket's retention policy: 403, too */
    return status == 403 || status == 409 || status == 412 ? REMOVE_REFUSED : result;
}

static int
remove_batch(void *store, ObjectRemoval *batch, size_t count, int64_t deadline)
{
    return remove_each(store, batch, count, deadline, remove_one);
}

static bool
is_url(const char *url)
{
    return str_starts(url, "gs://") || str_starts(url, CONSOLE);
}

static void
close_store(void *context)
{
    GcsStore *store = context;
    if (store->auth)
        google_auth_free(store->auth);
    free(store->origin);
    free(store->bucket);
    free(store->name);
    free(store->storage_class);
    free(store->kms_key);
    strlist_done(&store->tags);
    free(store);
}

AUTO_DEFINE(store, GcsStore *, close_store)

/* Where the store is: Google's, another that speaks the same, or an emulator, which gets no
 * credentials of ours. */
static int
open_origin(GcsStore *store, const BucketSettings *settings)
{
    const char *emulator = getenv("STORAGE_EMULATOR_HOST"), *origin = settings->endpoint_url;
    bool anonymous = !origin && emulator && *emulator;
    if (anonymous)
        origin = emulator;
    else if (!origin)
        origin = ORIGIN;
    store->origin = mem_printf("%s%.*s", strstr(origin, "://") ? "" : "http://",
                               (int)(strlen(origin) - str_ends(origin, "/")), origin);
    return anonymous ? 0 : google_auth_open(store->http, &store->auth);
}

static int
open_store(const char *url, const BucketSettings *settings, Http *http, Opened *ret_opened)
{
    const char *path = url + (str_starts(url, CONSOLE) ? strlen(CONSOLE) : strlen("gs://"));
    size_t length = strcspn(path, "/;?");
    if (length == 0)
        return hint(fail(ERR_CONFIG, "'%s' names no bucket", url), "gs://BUCKET/PREFIX");
    AUTO(store) GcsStore *store = mem_alloc(sizeof(*store));
    store->http = http;
    store->bucket = mem_printf("%.*s", (int)length, path);
    store->name = mem_printf("gs://%s", store->bucket);
    store->storage_class = mem_dup(settings->storage_class);
    store->kms_key = mem_dup(settings->kms_key);
    for (const char *const *tag = settings->tags; tag && *tag; tag++)
        strlist_add(&store->tags, *tag);
    TRY(open_origin(store, settings));
    path += length;
    path += strspn(path, "/");
    ret_opened->name = mem_dup(store->name);
    ret_opened->prefix = mem_dup(path);
    while (str_ends(ret_opened->prefix, "/"))
        ret_opened->prefix[strlen(ret_opened->prefix) - 1] = '\0';
    ret_opened->store = take(store);
    return 0;
}

static char *
place(const void *store)
{
    const GcsStore *gcs = store;
    return mem_printf("%s/%s", gcs->origin, gcs->bucket);
}

const Provider gcs_provider = {
    .name = "google-cloud-storage",
    .is_url = is_url,
    .open = open_store,
    .close = close_store,
    .place = place,
    .check = check,
    .create = create,
    .head = head,
    .get = get,
    .put = gcs_put,
    .part_min = GCS_UNIT,
    .part_unit = GCS_UNIT,
    .parts_most = SIZE_MAX,
    .parts_begin = gcs_parts_begin,
    .parts_put = gcs_parts_put,
    .parts_finish = gcs_parts_finish,
    .parts_abort = gcs_parts_abort,
    .list = list,
    .batch_max = 100,
    .remove = remove_batch,
};
