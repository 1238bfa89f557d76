/* SPDX-License-Identifier: PostgreSQL
 * Where an S3 bucket is, and which headers its requests carry: URL, endpoint, region, style of
 * addressing, encryption, storage class, tags. */
#include "cloud/s3.h"

#include "base/file.h"
#include "base/log.h"

#include <ctype.h>

enum { CUSTOMER_KEY_SIZE = 32, KEY_FILE_MAX = 4096 };

static const char scheme[] = "s3://";

/* A name that can be part of a host name, also under a certificate for *.HOST. */
static bool
is_host_label(const char *bucket)
{
    size_t length = strlen(bucket);
    return length >= 3 && length <= 63 &&
           strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-") == length && bucket[0] != '-' &&
           bucket[length - 1] != '-';
}

static const char *
first_of(const char *a, const char *b)
{
    return a && *a ? a : b && *b ? b : NULL;
}

static int
parse_url(S3 *s3, const char *url, Opened *opened)
{
    const char *bucket = url + strlen(scheme);
    size_t length = strcspn(bucket, "/");
    if (length == 0)
        return fail(ERR_CONFIG, "'%s' names no bucket", url);
    s3->bucket = arena_dup_part(s3->arena, bucket, length);
    s3->name = arena_printf(s3->arena, "%s%s", scheme, s3->bucket);
    const char *prefix = bucket + length;
    prefix += strspn(prefix, "/");
    opened->prefix = mem_dup(prefix);
    for (size_t end = strlen(prefix); end > 0 && prefix[end - 1] == '/'; end--)
        opened->prefix[end - 1] = '\0';
    opened->name = mem_dup(s3->name);
    return 0;
}

/* Splits "https://HOST:PORT/PATH"; the usual port is not part of the Host header. */
static int
parse_endpoint(S3 *s3, const char *endpoint, char **ret_path)
{
    bool secure = str_starts(endpoint, "https://");
    if (!secure && !str_starts(endpoint, "http://"))
        return fail(ERR_CONFIG, "the endpoint '%s' is no http or https URL", endpoint);
    const char *host = strstr(endpoint, "://") + strlen("://");
    size_t length = strcspn(host, "/?#");
    const char *usual = secure ? ":443" : ":80";
    char *copy = arena_dup_part(s3->arena, endpoint, (size_t)(host - endpoint) + length);
    char *path = arena_dup(s3->arena, host + length);
    if (length == 0 || strchr(copy, '@') || strpbrk(host, "?#"))
        return fail(ERR_CONFIG, "the endpoint is not of the form https://HOST[:PORT][/PATH]");
    if (str_ends(copy, usual))
        copy[strlen(copy) - strlen(usual)] = '\0';
    for (char *c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    for (size_t end = strlen(path); end > 0 && path[end - 1] == '/'; end--)
        path[end - 1] = '\0';
    s3->endpoint = copy;
    *ret_path = path;
    return 0;
}

static int
choose_style(S3 *s3, const char *addressing)
{
    if (!addressing || strcmp(addressing, "auto") == 0)
        s3->virtual_style = !s3->endpoint && is_host_label(s3->bucket);
    else if (strcmp(addressing, "virtual") == 0 || strcmp(addressing, "path") == 0)
        s3->virtual_style = addressing[0] == 'v';
    else
        return hint(fail(ERR_CONFIG, "no style of addressing '%s'", addressing),
                    "there are path, virtual and auto");
    return 0;
}

/* A name that can go into a host's name and into a signature's scope. */
static bool
is_region(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    return *name && strspn(name, allowed) == strlen(name);
}

static const S3Place *
place_in(const S3 *s3, const char *region)
{
    S3Place *place = arena_alloc(s3->arena, sizeof(*place));
    const char *country = str_starts(region, "cn-") ? ".cn" : "";
    place->region = arena_dup(s3->arena, region);
    place->origin = s3->endpoint
                        ? s3->endpoint
                        : arena_printf(s3->arena, "https://s3.%s.amazonaws.com%s", region, country);
    const char *host = strstr(place->origin, "://") + strlen("://");
    if (s3->virtual_style)
        place->origin = arena_printf(s3->arena, "%.*s%s.%s", (int)(host - place->origin),
                                     place->origin, s3->bucket, host);
    place->host = strstr(place->origin, "://") + strlen("://");
    return place;
}

bool
s3_move(S3 *s3, const S3Place *from, const char *region)
{
    pthread_mutex_lock(&s3->moving);
    const S3Place *now = s3->place;
    bool moves = now == from && is_region(region) && strcmp(now->region, region) != 0;
    if (moves)
        s3->place = place_in(s3, region);
    pthread_mutex_unlock(&s3->moving);
    if (moves)
        log_info("%s: the bucket is in the region %s, not in %s", s3->name, region, now->region);
    return moves || now != from; /* somebody else was faster */
}

static int
find_place(S3 *s3, const BucketSettings *settings)
{
    const char *endpoint =
        first_of(settings->endpoint_url,
                 first_of(getenv("AWS_ENDPOINT_URL_S3"),
                          first_of(getenv("AWS_ENDPOINT_URL"),
                                   credentials_setting(s3->credentials, "endpoint_url"))));
    const char *region = first_of(
        settings->region,
        first_of(getenv("AWS_REGION"), first_of(getenv("AWS_DEFAULT_REGION"),
                                                credentials_setting(s3->credentials, "region"))));
    char *path = NULL;
    if (endpoint) {
        TRY(parse_endpoint(s3, endpoint, &path));
        s3->google = str_ends(s3->endpoint, ".googleapis.com");
    }
    s3->dialect = s3->google ? &sign_google : &sign_amazon;
    if (!region)
        region = s3->google ? "auto" : "us-east-1";
    if (!is_region(region))
        return fail(ERR_CONFIG, "'%s' is no name of a region", region);
    TRY(choose_style(s3, settings->addressing));
    AUTO(str) Str encoded = {0};
    uri_encode(s3->bucket, false, &encoded);
    s3->path = arena_printf(s3->arena, "%s/%s%s", path ? path : "",
                            s3->virtual_style ? "" : encoded.data, s3->virtual_style ? "" : "/");
    s3->place = place_in(s3, region);
    return 0;
}

static int
read_customer_key(S3 *s3, const char *file)
{
    AUTO(str) Str text = {0};
    AUTO(free) unsigned char *decoded = NULL;
    size_t size = 0;
    TRY(wrap(file_read_text(file, KEY_FILE_MAX, &text), "read the customer's key for S3"));
    const void *key = text.data;
    if (text.length != CUSTOMER_KEY_SIZE) {
        if (!base64_parse(str_text(&text), &decoded, &size) || size != CUSTOMER_KEY_SIZE)
            return fail(ERR_CONFIG, "'%s' has no key of %d bytes, neither raw nor in base64", file,
                        CUSTOMER_KEY_SIZE);
        key = decoded;
    }
    unsigned char md5[MD5_SIZE];
    TRY(digest_of(DIGEST_MD5, key, CUSTOMER_KEY_SIZE, md5));
    AUTO(free) char *key64 = base64_format(key, CUSTOMER_KEY_SIZE);
    AUTO(free) char *md564 = base64_format(md5, sizeof(md5));
    s3->customer_key = arena_dup(s3->arena, key64);
    s3->customer_key_md5 = arena_dup(s3->arena, md564);
    return 0;
}

/* "KEY=VALUE" pairs as the header has them. */
static void
encode_tags(const char *const *tags, Str *out)
{
    for (; *tags; tags++) {
        const char *equals = strchrnul(*tags, '=');
        AUTO(free) char *name = strndup(*tags, (size_t)(equals - *tags));
        str_append(out, out->length ? "&" : "");
        uri_encode(name, false, out);
        str_append(out, "=");
        uri_encode(*equals ? equals + 1 : "", false, out);
    }
}

/* What has no header of Google's: Amazon's beside them are refused. */
static int
refuse_at_google(const char *what)
{
    return hint(fail(ERR_CONFIG, "no %s by Google's S3-compatible interface", what),
                "leave it out, or use gs://BUCKET");
}

static int
keep_settings(S3 *s3, const BucketSettings *settings)
{
    const char *amazons = settings->encryption          ? "encryption"
                          : settings->kms_key           ? "KMS key"
                          : settings->customer_key_file ? "customer's key"
                          : settings->tags              ? "tags"
                                                        : NULL;
    if (s3->google && amazons)
        return refuse_at_google(amazons);
    if (settings->encryption && strcmp(settings->encryption, "AES256") != 0 &&
        strcmp(settings->encryption, "aws:kms") != 0)
        return hint(fail(ERR_CONFIG, "no encryption '%s' in S3", settings->encryption),
                    "there are AES256 and aws:kms");
    if (settings->kms_key &&
        (!settings->encryption || strcmp(settings->encryption, "aws:kms") != 0))
        return fail(ERR_CONFIG, "a KMS key wants the encryption aws:kms");
    s3->storage_class = arena_dup(s3->arena, settings->storage_class);
    s3->encryption = arena_dup(s3->arena, settings->encryption);
    s3->kms_key = arena_dup(s3->arena, settings->kms_key);
    if (settings->tags) {
        AUTO(str) Str tags = {0};
        encode_tags(settings->tags, &tags);
        s3->tags = arena_dup(s3->arena, str_text(&tags));
    }
    return settings->customer_key_file ? read_customer_key(s3, settings->customer_key_file) : 0;
}

static int
open_bucket(S3 *s3, const char *url, const BucketSettings *settings, Opened *opened)
{
    TRY(parse_url(s3, url, opened));
    TRY(credentials_open(settings->profile, s3->http, &s3->credentials));
    TRY(find_place(s3, settings));
    return keep_settings(s3, settings);
}

int
s3_open(const char *url, const BucketSettings *settings, Http *http, Opened *ret_opened)
{
    Arena *arena = arena_new();
    S3 *s3 = arena_alloc(arena, sizeof(*s3));
    s3->arena = arena;
    s3->http = http;
    pthread_mutex_init(&s3->moving, NULL);
    Opened opened = {.store = s3};
    int result = open_bucket(s3, url, settings, &opened);
    if (result == 0) {
        *ret_opened = opened;
        return 0;
    }
    free(opened.prefix);
    free(opened.name);
    s3_close(s3);
    return result;
}

void
s3_close(void *store)
{
    S3 *s3 = store;
    credentials_free(s3->credentials);
    pthread_mutex_destroy(&s3->moving);
    arena_free(s3->arena);
}

char *
s3_place(const void *store)
{
    const S3 *s3 = store;
    const S3Place *place = s3->place;
    return mem_printf("%s%s", place->origin, s3->path);
}

void
s3_customer_headers(S3Request *request)
{
    const S3 *s3 = request->s3;
    if (!s3->customer_key)
        return;
    static const char name[] = "x-amz-server-side-encryption-customer";
    strlist_addf(&request->headers, "%s-algorithm: AES256", name);
    strlist_addf(&request->headers, "%s-key: %s", name, s3->customer_key);
    strlist_addf(&request->headers, "%s-key-MD5: %s", name, s3->customer_key_md5);
}

int
s3_write_headers(S3Request *request, const Content *content)
{
    const S3 *s3 = request->s3;
    StrList *headers = &request->headers;
    strlist_add(headers, "Content-Type: application/octet-stream");
    s3_add_header(s3, "storage-class", s3->storage_class, headers);
    s3_add_header(s3, "server-side-encryption", s3->encryption, headers);
    s3_add_header(s3, "server-side-encryption-aws-kms-key-id", s3->kms_key, headers);
    AUTO(str) Str tags = {0};
    if (content->tags)
        encode_tags(content->tags, &tags);
    else
        str_append(&tags, s3->tags ? s3->tags : "");
    if (s3->google && tags.length)
        return refuse_at_google("tags");
    s3_add_header(s3, "tagging", tags.length ? tags.data : NULL, headers);
    s3_add_header(s3, "meta-walden-sha256", content->plain_sha256, headers);
    s3_customer_headers(request);
    return 0;
}
