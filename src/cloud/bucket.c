/* SPDX-License-Identifier: PostgreSQL
 * What all object stores have in common: which provider a URL belongs to, downloads that go on
 * after a broken connection, listings of many pages, removal in batches. Uploads are in upload.c,
 * the protocols in the providers' files. */
#include "cloud/internal.h"

#include "base/str.h"
#include "cloud/curl.h"
#include "cloud/digest.h"

#include <inttypes.h>

enum {
    PART_SIZE = 64 << 20,
    CONNECT_MS = 10 * 1000,
    IDLE_MS = 60 * 1000,
    TOTAL_MS = 15 * 60 * 1000,
    RETRIES = 6,
    EMPTY_MOST = 1000 /* pages of a listing: a store may walk over many keys that are removed */
};

static const Provider *const providers[] = {&s3_provider, &gcs_provider, &azure_provider};

static const Provider *
provider_of(const char *url)
{
    for (size_t i = 0; i < COUNT_OF(providers); i++)
        if (providers[i]->is_url(url))
            return providers[i];
    return NULL;
}

bool
bucket_is_url(const char *text)
{
    return provider_of(text) != NULL;
}

const char *
bucket_provider(const char *url)
{
    const Provider *provider = provider_of(url);
    return provider ? provider->name : "";
}

static int
find_provider(const char *url, const char *name, const Provider **ret_provider)
{
    const Provider *provider = provider_of(url);
    if (!provider)
        return hint(fail(ERR_CONFIG, "'%s' is not the URL of an object store", url),
                    "s3://BUCKET/PREFIX, for example");
    if (name && strcmp(name, provider->name) != 0)
        return fail(ERR_CONFIG, "'%s' is not a URL of the provider %s", url, name);
    *ret_provider = provider;
    return 0;
}

static int64_t
or_usual(int64_t value, int64_t usual)
{
    return value > 0 ? value : usual;
}

int
bucket_open(const char *url, const BucketSettings *settings, Bucket **ret_bucket, char **ret_prefix)
{
    const Provider *provider = NULL;
    TRY(find_provider(url, settings->provider, &provider));
    HttpLimits limits = {.connect_ms = or_usual(settings->connect_timeout_ms, CONNECT_MS),
                         .idle_ms = or_usual(settings->idle_timeout_ms, IDLE_MS),
                         .total_ms = or_usual(settings->total_timeout_ms, TOTAL_MS),
                         .retries = settings->retries < 0   ? 0
                                    : settings->retries > 0 ? settings->retries
                                                            : RETRIES};
    AUTO(bucket) Bucket *bucket = mem_alloc(sizeof(*bucket));
    bucket->provider = provider;
    bucket->part_size = or_usual(settings->part_size, PART_SIZE);
    if (bucket->part_size < provider->part_min)
        return fail(ERR_CONFIG, "parts of %" PRId64 " bytes are too small, the least is %" PRId64,
                    bucket->part_size, provider->part_min);
    if (provider->part_unit)
        bucket->part_size -= bucket->part_size % provider->part_unit;
    const char *ca_file = settings->ca_file;
    if (!ca_file && provider->ca_variable)
        ca_file = getenv(provider->ca_variable);
    bucket->http = http_new(ca_file && *ca_file ? ca_file : NULL, &limits);
    Opened opened = {0};
    TRY(digest_load()); /* while libcurl is being loaded there is no loading it */
    if (settings->one_object)
        bucket->loading = curl_load_beside(&bucket->loader);
    else
        TRY(curl_load());
    TRY(provider->open(url, settings, bucket->http, &opened));
    bucket->store = opened.store;
    bucket->name = opened.name;
    *ret_prefix = opened.prefix;
    *ret_bucket = take(bucket);
    return 0;
}

int
bucket_place(const char *url, const BucketSettings *settings, char **ret_place)
{
    const Provider *provider = NULL;
    const HttpLimits none = {0};
    Opened opened = {0};
    TRY(find_provider(url, settings->provider, &provider));
    Http *http = http_new(NULL, &none);
    int result = provider->open(url, settings, http, &opened);
    if (result == 0) {
        *ret_place = provider->place(opened.store);
        provider->close(opened.store);
    }
    free(opened.name);
    free(opened.prefix);
    http_free(http);
    return result;
}

void
bucket_free(Bucket *bucket)
{
    if (!bucket)
        return;
    if (bucket->loading)
        pthread_join(bucket->loader, NULL);
    if (bucket->store)
        bucket->provider->close(bucket->store);
    http_free(bucket->http);
    free(bucket->name);
    free(bucket);
}

const char *
bucket_name(const Bucket *bucket)
{
    return bucket->name;
}

uint64_t
bucket_busy(const Bucket *bucket)
{
    return http_busy(bucket->http);
}

int
bucket_check(Bucket *bucket)
{
    return bucket->provider->check(bucket->store, http_deadline(bucket->http));
}

int
bucket_create(Bucket *bucket)
{
    return bucket->provider->create(bucket->store, http_deadline(bucket->http));
}

int
object_head(Bucket *bucket, const char *key, ObjectInfo *ret_info)
{
    return bucket->provider->head(bucket->store, key, http_deadline(bucket->http), ret_info);
}

int
object_get(Bucket *bucket, const char *key, Sink *sink, void *context, ObjectInfo *ret_info)
{
    Fetch fetch = {.key = key, .size = -1, .sink = sink, .context = context};
    int result = bucket->provider->get(bucket->store, &fetch, http_deadline(bucket->http));
    if (result == 0)
        result = wrap(fetch_finish(&fetch), "read '%s/%s'", bucket->name, key);
    if (result == 0)
        *ret_info = fetch.info;
    fetch_done(&fetch);
    return result;
}

ListEntry *
list_add(ListPage *page, const char *key)
{
    if (page->count == page->room) {
        page->room = page->room ? 2 * page->room : 128;
        page->entries = mem_resize(page->entries, page->room, sizeof(*page->entries));
    }
    ListEntry *entry = &page->entries[page->count++];
    *entry = (ListEntry){.key = mem_dup(key)};
    return entry;
}

static void
page_clear(ListPage *page)
{
    for (size_t i = 0; i < page->count; i++)
        free(page->entries[i].key);
    page->count = 0;
}

typedef struct Listing {
    const Bucket *bucket;
    const char *prefix;
    char *last; /* the last key seen; NULL: none yet */
    ObjectVisit *visit;
    void *context;
} Listing;

/* Keys that do not ascend, or that nobody asked for, are what a listing looks like that goes round
 * in circles or is another's. */
static int
visit_page(Listing *listing, const ListPage *page, const char *start_after)
{
    for (size_t i = 0; i < page->count; i++) {
        const char *key = page->entries[i].key;
        if (!str_starts(key, listing->prefix) || (listing->last && strcmp(key, listing->last) <= 0))
            return fail(ERR_DATA, "list '%s/%s': the key '%s' does not belong behind '%s'",
                        listing->bucket->name, listing->prefix, key,
                        listing->last ? listing->last : "");
        free(listing->last);
        listing->last = mem_dup(key);
        if (start_after && strcmp(key, start_after) <= 0)
            continue;
        int result = listing->visit(listing->context, key, &page->entries[i].info);
        if (result != 0)
            return result;
    }
    return 0;
}

static int
list_pages(Listing *listing, ListPage *page, const char *start_after)
{
    const Bucket *bucket = listing->bucket;
    for (int empty = 0; empty < EMPTY_MOST;) {
        AUTO(free) char *before = mem_dup(page->token);
        TRY(bucket->provider->list(bucket->store, listing->prefix, start_after, page,
                                   http_deadline(bucket->http)));
        int result = visit_page(listing, page, start_after);
        if (result != 0 || !page->token)
            return result;
        if (before && strcmp(before, page->token) == 0)
            return fail(ERR_DATA, "list '%s/%s': the store answers the same page again",
                        bucket->name, listing->prefix);
        empty = page->count ? 0 : empty + 1;
        page_clear(page);
    }
    return fail(ERR_DATA, "list '%s/%s': the store answers %d pages without an object, and no end",
                bucket->name, listing->prefix, EMPTY_MOST);
}

int
bucket_list(Bucket *bucket, const char *prefix, const char *start_after, ObjectVisit *visit,
            void *context)
{
    Listing listing = {.bucket = bucket, .prefix = prefix, .visit = visit, .context = context};
    ListPage page = {0};
    int result = list_pages(&listing, &page, start_after);
    page_clear(&page);
    free(page.entries);
    free(page.token);
    free(listing.last);
    return result;
}

int
bucket_remove(Bucket *bucket, ObjectRemoval *batch, size_t count)
{
    const Provider *provider = bucket->provider;
    for (size_t done = 0; done < count; done += provider->batch_max) {
        size_t left = count - done;
        size_t size = left < provider->batch_max ? left : provider->batch_max;
        int result =
            provider->remove(bucket->store, batch + done, size, http_deadline(bucket->http));
        if (result < 0 && done == 0)
            return result;
        for (size_t i = done; result < 0 && i < count; i++) /* what was removed before is known */
            batch[i].error = mem_dup(error_last()->text);
        if (result < 0)
            return 0;
    }
    return 0;
}

time_t
cloud_time_parse(const char *text)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (!end)
        end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    return end ? timegm(&parts) : 0;
}

void
cloud_sha256_copy(const char *text, ObjectInfo *info)
{
    bool good = text && strlen(text) == OBJECT_SHA256_ROOM - 1 &&
                strspn(text, "0123456789abcdef") == OBJECT_SHA256_ROOM - 1;
    if (good)
        memcpy(info->sha256, text, OBJECT_SHA256_ROOM);
}
