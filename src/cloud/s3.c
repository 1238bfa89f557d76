/* SPDX-License-Identifier: PostgreSQL
 * Objects in S3, and in stores that speak like it, one at a time. A new object is made by a
 * conditional request, so that of two writers one is told; a store that knows no conditions is
 * asked first whether the key is free. */
#include "cloud/s3.h"

#include "base/log.h"

#include <inttypes.h>

enum { PART_MIN = 5 << 20, PARTS_MOST = 10000, BATCH_MAX = 1000 };

static bool
s3_is_url(const char *url)
{
    return str_starts(url, "s3://");
}

static bool
has_code(const HttpAnswer *answer, const char *code)
{
    S3Error error;
    s3_error_parse(answer, &error);
    return strcmp(error.code, code) == 0;
}

/* By asking for its first object: a refusal comes with a reason, which HEAD would not have. */
static int
s3_check(void *store, int64_t deadline)
{
    AUTO(s3_request) S3Request request = s3_request(store, "open bucket", "GET", NULL);
    AUTO(answer) HttpAnswer answer = {0};
    s3_query(&request, "list-type", "2");
    s3_query(&request, "max-keys", "1");
    TRY(s3_run(&request, deadline, &answer));
    if (answer.status == 200)
        return 0;
    return answer.status == 404 && has_code(&answer, "NoSuchBucket")
               ? BUCKET_MISSING
               : s3_failure(&request, &answer);
}

static int
s3_create(void *store, int64_t deadline)
{
    S3 *s3 = store;
    AUTO(s3_request) S3Request request = s3_request(s3, "create bucket", "PUT", NULL);
    AUTO(answer) HttpAnswer answer = {0};
    AUTO(str) Str body = {0};
    const char *region = s3->place->region;
    if (!s3->endpoint && strcmp(region, "us-east-1") != 0) {
        str_appendf(&body,
                    "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                    "<LocationConstraint>%s</LocationConstraint></CreateBucketConfiguration>",
                    region);
        request.body = body.data;
        request.body_size = body.length;
    }
    TRY(s3_run(&request, deadline, &answer));
    if (answer.status == 200 || has_code(&answer, "BucketAlreadyOwnedByYou"))
        return 0;
    if (has_code(&answer, "BucketAlreadyExists") && s3_check(store, deadline) == 0)
        return 0; /* other servers say this of one's own, too */
    return s3_failure(&request, &answer);
}

bool
s3_etag_md5(const S3 *s3, const HttpAnswer *answer, char *ret_md5)
{
    const char *etag = http_header(answer, "etag");
    const char *encryption =
        s3_header(s3, s3->google ? "encryption-kms-key-name" : "server-side-encryption", answer);
    if (!etag || s3->customer_key || (encryption && strcmp(encryption, "AES256") != 0))
        return false;
    etag += *etag == '"';
    size_t length = strspn(etag, "0123456789abcdef");
    if (length != MD5_HEX_ROOM - 1 || (etag[length] && etag[length] != '"'))
        return false;
    memcpy(ret_md5, etag, length);
    ret_md5[length] = '\0';
    return true;
}

int
s3_compare_etag(const S3Request *request, const HttpAnswer *answer, const char *what)
{
    char sent[MD5_HEX_ROOM], stored[MD5_HEX_ROOM];
    hex_format(request->md5, MD5_SIZE, sent);
    if (!s3_etag_md5(request->s3, answer, stored) || strcmp(sent, stored) == 0)
        return 0;
    return fail(ERR_IO, "write '%s/%s': the store has %s with the MD5 %s, sent was %s",
                request->s3->name, request->key, what, stored, sent);
}

static void
read_info(const S3 *s3, const HttpAnswer *answer, ObjectInfo *info)
{
    const char *modified = http_header(answer, "last-modified");
    info->mtime = modified ? cloud_time_parse(modified) : 0;
    cloud_sha256_copy(s3_header(s3, "meta-walden-sha256", answer), info);
}

/* HEAD's answer has no body, so that 404 could also mean a bucket that is gone: asked again for the
 * contents, the store says which. */
static int
ask_why_missing(S3 *s3, const char *key, int64_t deadline)
{
    AUTO(s3_request) S3Request request = s3_request(s3, "look for", "GET", key);
    AUTO(answer) HttpAnswer answer = {0};
    s3_customer_headers(&request);
    strlist_add(&request.headers, "Range: bytes=0-0");
    TRY(s3_run(&request, deadline, &answer));
    if (answer.status == 404 && has_code(&answer, "NoSuchKey"))
        return OBJECT_MISSING;
    if (answer.status == 200 || answer.status == 206)
        return fail(ERR_IO, "look for '%s/%s': it appeared just now", s3->name, key);
    return s3_failure(&request, &answer);
}

static int
head(S3 *s3, const char *key, int64_t deadline, ObjectInfo *ret_info)
{
    AUTO(s3_request) S3Request request = s3_request(s3, "look for", "HEAD", key);
    AUTO(answer) HttpAnswer answer = {0};
    s3_customer_headers(&request);
    TRY(s3_run(&request, deadline, &answer));
    if (answer.status == 404)
        return OBJECT_MISSING;
    if (answer.status != 200)
        return s3_failure(&request, &answer);
    ObjectInfo info = {.size = http_header_number(&answer, "content-length")};
    if (info.size < 0)
        return fail(ERR_IO, "look for '%s/%s': the answer does not say how long it is", s3->name,
                    key);
    read_info(s3, &answer, &info);
    *ret_info = info;
    return 0;
}

int
s3_head(void *store, const char *key, int64_t deadline, ObjectInfo *ret_info)
{
    int result = head(store, key, deadline, ret_info);
    return result == OBJECT_MISSING ? ask_why_missing(store, key, deadline) : result;
}

int
s3_look_before(S3 *s3, const char *key, int64_t deadline)
{
    ObjectInfo info;
    int result = head(s3, key, deadline, &info);
    return result == 0 ? UPLOAD_EXISTS : result == OBJECT_MISSING ? 0 : result;
}

static void
on_first(Fetch *fetch, const HttpAnswer *answer)
{
    read_info(fetch->provider, answer, &fetch->info);
    if (!s3_etag_md5(fetch->provider, answer, fetch->md5))
        fetch->md5[0] = '\0';
}

static int
s3_get(void *store, Fetch *fetch, int64_t deadline)
{
    AUTO(s3_request) S3Request request = s3_request(store, "read", "GET", fetch->key);
    AUTO(answer) HttpAnswer answer = {0};
    s3_customer_headers(&request);
    fetch->on_first = on_first;
    fetch->provider = request.s3;
    request.fetch = fetch;
    int result = s3_run(&request, deadline, &answer);
    if (fetch->size >= 0 && fetch->offset == fetch->size)
        return 0; /* whatever came of a connection that broke after the last byte */
    if (result < 0 || answer.status == 200 || answer.status == 206)
        return result;
    if (answer.status == 404 && has_code(&answer, "NoSuchKey") && fetch->size < 0)
        return OBJECT_MISSING;
    if (answer.status == 412)
        return fail(ERR_IO, "read '%s/%s': it was replaced on the way", request.s3->name,
                    fetch->key);
    return s3_failure(&request, &answer);
}

static int
remove_damaged(S3 *s3, const Content *content, int64_t deadline)
{
    Error error = *error_last();
    AUTO(s3_request) S3Request request = s3_request(s3, "remove", "DELETE", content->key);
    AUTO(answer) HttpAnswer answer = {0};
    bool removed = s3_run(&request, deadline, &answer) == 0 && answer.status / 100 == 2;
    error_restore(&error);
    return removed ? -1 : hint(-1, "it could not be removed: do so by hand");
}

/* Done by the answer's status; what the store says it has must be what was sent. */
static int
verify_put(const S3Request *request, const Content *content, const HttpAnswer *answer,
           int64_t deadline)
{
    if (s3_compare_etag(request, answer, "something") == 0)
        return 0;
    return content->replace ? -1 : remove_damaged(request->s3, content, deadline);
}

void
s3_condition(S3Request *request)
{
    strlist_add(&request->headers,
                request->s3->google ? "x-goog-if-generation-match: 0" : "If-None-Match: *");
}

void
s3_without_conditions(S3 *s3)
{
    if (!atomic_exchange(&s3->no_conditions, true))
        log_info("%s: the store knows no conditional requests; each key is looked for before it is "
                 "written",
                 s3->name);
}

static int
put_once(S3 *s3, const Content *content, const void *data, size_t size, int64_t deadline,
         bool *ret_unknown)
{
    AUTO(s3_request) S3Request request = s3_request(s3, "write", "PUT", content->key);
    AUTO(answer) HttpAnswer answer = {0};
    bool conditional = !content->replace && !s3->no_conditions;
    TRY(s3_write_headers(&request, content));
    if (conditional)
        s3_condition(&request);
    request.looks = !conditional && !content->replace;
    request.body = data;
    request.body_size = size;
    request.sums_body = true;
    int result = s3_run(&request, deadline, &answer);
    if (request.taken)
        return UPLOAD_EXISTS;
    TRY(result);
    if (answer.status == 200 || answer.status == 201)
        return verify_put(&request, content, &answer, deadline);
    if (conditional && answer.status == 412)
        return UPLOAD_EXISTS;
    *ret_unknown = conditional && answer.status == 501;
    return s3_failure(&request, &answer);
}

static int
s3_put(void *store, const Content *content, const void *data, size_t size, int64_t deadline)
{
    bool unknown = false;
    int result = put_once(store, content, data, size, deadline, &unknown);
    if (result >= 0 || !unknown)
        return result;
    s3_without_conditions(store);
    return put_once(store, content, data, size, deadline, &unknown);
}

const Provider s3_provider = {
    .name = "aws-s3",
    .ca_variable = "AWS_CA_BUNDLE",
    .is_url = s3_is_url,
    .open = s3_open,
    .close = s3_close,
    .place = s3_place,
    .check = s3_check,
    .create = s3_create,
    .head = s3_head,
    .get = s3_get,
    .put = s3_put,
    .part_min = PART_MIN,
    .parts_most = PARTS_MOST,
    .parts_begin = s3_parts_begin,
    .parts_put = s3_parts_put,
    .parts_finish = s3_parts_finish,
    .parts_abort = s3_parts_abort,
    .list = s3_list,
    .batch_max = BATCH_MAX,
    .remove = s3_remove,
};
