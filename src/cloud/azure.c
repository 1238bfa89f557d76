/* SPDX-License-Identifier: PostgreSQL
 * Azure Blob Storage: block blobs in one container, under the names that the keys are. Beside
 * Amazon's protocol it differs in this: a name that is taken is answered with 409, not with 412;
 * the blocks that two uploads to one name have sent lie in one heap, so each upload names its own
 * at random; and names of metadata must be such that C would take them. */
#include "cloud/azure_call.h"
#include "cloud/remove.h"
#include "cloud/sign_v4.h"
#include "cloud/xml.h"

enum { PAGE = 1000, PAGE_TEXT_MAX = 16 << 20 };

static int
check(void *context, int64_t deadline)
{
    const AzureStore *store = context;
    AUTO(azure_call) AzureCall call = {.store = store, .what = "open", .deadline = deadline};
    azure_add_query(&call, "restype", "container");
    azure_add_query(&call, "comp", "list");
    azure_add_query(&call, "maxresults", "1");
    TRY(azure_run(&call, (HttpRequest){.method = "GET"}));
    if (call.answer.status == 200)
        return 0;
    return azure_has_code(&call.answer, "ContainerNotFound") ? BUCKET_MISSING
                                                             : azure_refused(&call);
}

static int
create(void *context, int64_t deadline)
{
    const AzureStore *store = context;
    AUTO(azure_call) AzureCall call = {.store = store, .what = "create", .deadline = deadline};
    azure_add_query(&call, "restype", "container");
    TRY(azure_run(&call, (HttpRequest){.method = "PUT"}));
    bool done = call.answer.status == 201 || azure_has_code(&call.answer, "ContainerAlreadyExists");
    return done ? 0 : azure_refused(&call);
}

static void
read_info(const HttpAnswer *answer, ObjectInfo *info)
{
    const char *mtime = http_header(answer, "last-modified");
    info->mtime = mtime ? cloud_time_parse(mtime) : 0;
    cloud_sha256_copy(http_header(answer, AZURE_SHA256_HEADER), info);
}

int
azure_head(void *context, const char *key, int64_t deadline, ObjectInfo *ret_info)
{
    AUTO(azure_call)
    AzureCall call = {.store = context, .what = "look at", .key = key, .deadline = deadline};
    TRY(azure_run(&call, (HttpRequest){.method = "HEAD"}));
    const HttpAnswer *answer = &call.answer;
    if (azure_is_missing(answer))
        return OBJECT_MISSING;
    if (answer->status != 200)
        return azure_refused(&call);
    ObjectInfo info = {.size = http_header_number(answer, "content-length")};
    if (info.size < 0)
        return fail(ERR_DATA, "look at '%s/%s': the store does not say how long it is",
                    call.store->name, key);
    read_info(answer, &info);
    *ret_info = info;
    return 0;
}

/* The MD5 of the whole, which the store has if whoever wrote the blob sent one. */
static void
on_first(Fetch *fetch, const HttpAnswer *answer)
{
    const char *text = http_header(answer, "content-md5");
    AUTO(free) unsigned char *md5 = NULL;
    size_t size = 0;
    read_info(answer, &fetch->info);
    if (text && base64_parse(text, &md5, &size) && size == MD5_SIZE)
        hex_format(md5, size, fetch->md5);
}

static int
get(void *context, Fetch *fetch, int64_t deadline)
{
    AUTO(azure_call)
    AzureCall call = {
        .store = context, .what = "read", .key = fetch->key, .fetch = fetch, .deadline = deadline};
    fetch->on_first = on_first;
    int result = azure_run(
        &call,
        (HttpRequest){.method = "GET", .begin = fetch_begin, .sink = fetch_take, .context = fetch});
    if (fetch->size >= 0 && fetch->offset == fetch->size)
        return 0; /* whatever came of a connection that broke after the last byte */
    if (result < 0 || call.answer.status / 100 == 2)
        return result;
    if (azure_is_missing(&call.answer) && fetch->size < 0)
        return OBJECT_MISSING;
    return azure_refused(&call);
}

typedef struct PageReader {
    ListPage *page;
    char *name, *length, *mtime; /* of the blob that is being read */
    char *marker;
    bool whole;
} PageReader;

static int
take_entry(void *context, const char *path, const char *text)
{
#define BLOB "EnumerationResults/Blobs/Blob"
    PageReader *reader = context;
    const struct {
        const char *path;
        char **text;
    } fields[] = {{BLOB "/Name", &reader->name},
                  {BLOB "/Properties/Content-Length", &reader->length},
                  {BLOB "/Properties/Last-Modified", &reader->mtime},
                  {"EnumerationResults/NextMarker", &reader->marker}};
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (strcmp(path, fields[i].path) == 0) {
            free(*fields[i].text);
            *fields[i].text = mem_dup(text);
        }
    reader->whole = reader->whole || strcmp(path, "EnumerationResults") == 0;
    if (strcmp(path, BLOB) != 0)
        return 0;
    int64_t size = -1;
    if (!reader->name || !reader->length || !int_parse(reader->length, 0, INT64_MAX, &size))
        return fail(ERR_DATA, "an entry has no name or no length");
    ListEntry *entry = list_add(reader->page, reader->name);
    entry->info.size = size;
    entry->info.mtime = reader->mtime ? cloud_time_parse(reader->mtime) : 0;
    free(take(reader->name));
    free(take(reader->length));
    free(take(reader->mtime));
    return 0;
}

static int
list(void *context, const char *prefix, const char *start_after, ListPage *page, int64_t deadline)
{
    (void)start_after; /* the protocol has no such thing */
    const AzureStore *store = context;
    AUTO(azure_call) AzureCall call = {.store = store, .what = "list", .deadline = deadline};
    AUTO(free) char *most = mem_printf("%d", PAGE);
    azure_add_query(&call, "restype", "container");
    azure_add_query(&call, "comp", "list");
    azure_add_query(&call, "maxresults", most);
    if (*prefix)
        azure_add_query(&call, "prefix", prefix);
    if (page->token)
        azure_add_query(&call, "marker", page->token);
    TRY(azure_run(&call, (HttpRequest){.method = "GET", .text_max = PAGE_TEXT_MAX}));
    if (call.answer.status != 200)
        return azure_refused(&call);
    PageReader reader = {.page = page};
    int result = xml_parse(call.answer.text.data, call.answer.text.length, take_entry, &reader);
    if (result == 0 && !reader.whole)
        result = fail(ERR_DATA, "the answer is no listing");
    free(reader.name);
    free(reader.length);
    free(reader.mtime);
    free(page->token);
    page->token = reader.marker && *reader.marker ? take(reader.marker) : NULL;
    free(reader.marker);
    return wrap(result, "list '%s/%s'", store->name, prefix);
}

static int
remove_one(void *context, const char *key, int64_t deadline)
{
    AUTO(azure_call)
    AzureCall call = {.store = context, .what = "remove", .key = key, .deadline = deadline};
    TRY(azure_run(&call, (HttpRequest){.method = "DELETE"}));
    const HttpAnswer *answer = &call.answer;
    if (answer->status == 202 || azure_is_missing(answer))
        return 0;
    int result = azure_refused(&call);
    /* A lease, a snapshot or a policy of this blob */
    return answer->status == 409 || answer->status == 412 ? REMOVE_REFUSED : result;
}

static int
remove_batch(void *context, ObjectRemoval *batch, size_t count, int64_t deadline)
{
    return remove_each(context, batch, count, deadline, remove_one);
}

/* What stands between two slashes; *text goes on behind it. */
static char *
next_part(const char **text)
{
    size_t length = strcspn(*text, "/");
    char *part = mem_printf("%.*s", (int)length, *text);
    *text += length;
    *text += strspn(*text, "/");
    return part;
}

static bool
is_url(const char *url)
{
    return str_starts(url, "azure://") || str_starts(url, "http://") || str_starts(url, "https://");
}

/* Account and endpoint: the account is the host's first word, or the first part of the path. */
static void
read_host(const char **url, char **ret_account, char **ret_endpoint)
{
    const char *start = *url, *rest = strstr(start, "://") + 3;
    AUTO(free) char *host = next_part(&rest);
    if (str_starts(start, "azure://")) {
        *ret_endpoint = mem_printf("https://%s.blob.core.windows.net", host);
        *ret_account = take(host);
    } else if (strstr(host, ".blob.")) {
        *ret_endpoint = mem_printf("%.*s%s", (int)(strstr(start, "://") + 3 - start), start, host);
        *ret_account = mem_printf("%.*s", (int)strcspn(host, "."), host);
    } else {
        *ret_account = next_part(&rest);
        *ret_endpoint = mem_printf("%.*s%s/%s", (int)(strstr(start, "://") + 3 - start), start,
                                   host, *ret_account);
    }
    *url = rest;
}

static void
close_store(void *context)
{
    AzureStore *store = context;
    if (store->account)
        azure_account_free(store->account);
    free(store->origin);
    free(store->path);
    free(store->name);
    free(store->tier);
    free(store->scope);
    strlist_done(&store->tags);
    free(store);
}

AUTO_DEFINE(store, AzureStore *, close_store)

static int
open_store(const char *url, const BucketSettings *settings, Http *http, Opened *ret_opened)
{
    AUTO(free) char *account = NULL, *endpoint = NULL;
    const char *rest = url;
    read_host(&rest, &account, &endpoint);
    AUTO(free) char *container = next_part(&rest);
    if (!*account || !*container)
        return hint(fail(ERR_CONFIG, "'%s' names no account or no container", url),
                    "https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX, for example");
    AUTO(store) AzureStore *store = mem_alloc(sizeof(*store));
    store->http = http;
    TRY(azure_account_open(account, endpoint, settings->credential, http, &store->account));
    const char *found = store->account->endpoint;
    if (!strstr(found, "://"))
        return fail(ERR_CONFIG, "the connection string's BlobEndpoint is no URL");
    size_t origin = (size_t)(strstr(found, "://") + 3 - found);
    origin += strcspn(found + origin, "/");
    AUTO(str) Str path = {0};
    str_appendf(&path, "%s/", found + origin);
    uri_encode(container, false, &path);
    store->origin = mem_printf("%.*s", (int)origin, found);
    store->path = mem_dup(path.data);
    store->name = mem_printf("azure://%s/%s", store->account->name, container);
    store->tier = mem_dup(settings->storage_class);
    store->scope = mem_dup(settings->kms_key);
    for (const char *const *tag = settings->tags; tag && *tag; tag++)
        strlist_add(&store->tags, *tag);
    ret_opened->name = mem_dup(store->name);
    ret_opened->prefix = mem_dup(rest);
    while (str_ends(ret_opened->prefix, "/"))
        ret_opened->prefix[strlen(ret_opened->prefix) - 1] = '\0';
    ret_opened->store = take(store);
    return 0;
}

static char *
place(const void *store)
{
    const AzureStore *azure = store;
    return mem_printf("%s%s", azure->origin, azure->path);
}

const Provider azure_provider = {
    .name = "azure-blob-storage",
    .is_url = is_url,
    .open = open_store,
    .close = close_store,
    .place = place,
    .check = check,
    .create = create,
    .head = azure_head,
    .get = get,
    .put = azure_put,
    .part_min = 1,
    .parts_most = 50000,
    .parts_begin = azure_parts_begin,
    .parts_put = azure_parts_put,
    .parts_finish = azure_parts_finish,
    .parts_abort = azure_parts_abort,
    .list = list,
    .batch_max = 100,
    .remove = remove_batch,
};
