/* SPDX-License-Identifier: PostgreSQL
 * A signed request to S3 and what its refusal means. Messages name the object, what was tried and
 * what the store said; never a key, a token or a signature. */
#include "cloud/s3.h"

#include "cloud/retry.h"
#include "cloud/xml.h"

#include <unistd.h>

enum { SIDE_BY_SIDE = 1 << 20 }; /* bytes of a body, from which a second thread pays */
enum { MD5_NICE = 5 };

S3Request
s3_request(S3 *s3, const char *what, const char *method, const char *key)
{
    return (S3Request){.s3 = s3, .what = what, .method = method, .key = key, .retries = -1};
}

void
s3_request_done(S3Request *request)
{
    strlist_done(&request->query);
    strlist_done(&request->headers);
    aws_keys_done(&request->keys);
}

void
s3_query(S3Request *request, const char *name, const char *value)
{
    strlist_add(&request->query, name);
    strlist_add(&request->query, value);
}

char *
s3_object_name(const S3 *s3, const char *key)
{
    return key ? mem_printf("%s/%s", s3->name, key) : mem_dup(s3->name);
}

void
s3_add_header(const S3 *s3, const char *name, const char *value, StrList *headers)
{
    if (value)
        strlist_addf(headers, "%s%s: %s", s3->dialect->headers, name, value);
}

const char *
s3_header(const S3 *s3, const char *name, const HttpAnswer *answer)
{
    char full[64];
    snprintf(full, sizeof(full), "%s%s", s3->dialect->headers, name);
    return http_header(answer, full);
}

/* Under an object lock stores want one of these. The SHA-256 is there anyway, and is kept with the
 * object. */
static void
sum_headers(const S3Request *request, StrList *headers)
{
    bool md5 = request->sends_md5;
    if (!md5 && request->s3->google)
        return;
    AUTO(free)
    char *text =
        md5 ? base64_format(request->md5, MD5_SIZE) : base64_format(request->sha256, SHA256_SIZE);
    if (md5)
        strlist_addf(headers, "Content-MD5: %s", text);
    else
        s3_add_header(request->s3, "checksum-sha256", text, headers);
}

/* Again before each further try: somebody else may have written there meanwhile. */
static int
check_free(S3Request *request)
{
    int result = s3_look_before(request->s3, request->key, request->deadline);
    request->looked++;
    request->taken = result == UPLOAD_EXISTS;
    return request->taken ? fail(ERR_BUSY, "there is such an object by now") : result;
}

static int
prepare(void *context, HttpRequest *http)
{
    S3Request *request = context;
    S3 *s3 = request->s3;
    AwsKeys keys = {0};
    if (request->looks)
        TRY(check_free(request));
    TRY(credentials_get(s3->credentials, request->deadline, &keys));
    aws_keys_done(&request->keys);
    request->keys = keys;
    const S3Place *place = request->place = s3->place;

    AUTO(str) Str path = {0};
    AUTO(str) Str query = {0};
    str_append(&path, s3->path);
    if (request->key)
        uri_encode(request->key, true, &path);
    else if (path.length > 1)
        path.data[--path.length] = '\0'; /* the bucket is without its slash */
    sign_v4_query(&request->query, &query);
    http->url =
        mem_printf("%s%s%s%s", place->origin, path.data, query.length ? "?" : "", str_text(&query));
    for (size_t i = 0; i < request->headers.count; i++)
        strlist_add(&http->headers, request->headers.items[i]);
    if (request->fetch)
        fetch_headers(request->fetch, &http->headers);
    if (request->sums_body)
        sum_headers(request, &http->headers);
    s3_add_header(s3, "content-sha256", request->payload, &http->headers);
    s3_add_header(s3, "security-token", keys.session_token, &http->headers);
    const SignV4 with = {.dialect = s3->dialect,
                         .access_key = keys.access_key,
                         .secret_key = keys.secret_key,
                         .region = place->region,
                         .service = s3->google ? "storage" : "s3",
                         .now = time(NULL)};
    return sign_v4(&with, request->method, place->host, path.data, str_text(&query),
                   request->payload, &http->headers);
}

static bool
is_one_of(const char *code, const char *const *codes)
{
    for (; *codes; codes++)
        if (strcmp(code, *codes) == 0)
            return true;
    return false;
}

static const char *const expired_codes[] = {"ExpiredToken", "ExpiredTokenException",
                                            "TokenRefreshRequired", NULL};
static const char *const busy_codes[] = {"SlowDown",
                                         "InternalError",
                                         "ServiceUnavailable",
                                         "RequestTimeout",
                                         "OperationAborted",
                                         "ConditionalRequestConflict",
                                         "Throttling",
                                         "ThrottlingException",
                                         "RequestLimitExceeded",
                                         NULL};

/* The bucket is in another region, and the store says in which. HEAD's answer has no code. */
static bool
is_elsewhere(const S3Error *error, int status)
{
    bool redirected = status == 301 || status == 307;
    bool malformed = status == 400 &&
                     (!error->code[0] || strcmp(error->code, "AuthorizationHeaderMalformed") == 0);
    return error->region[0] && (redirected || malformed);
}

static void *
sum_md5(void *argument)
{
    S3Request *request = argument;
    if (!request->sends_md5)
        (void)!nice(MD5_NICE); /* this thread: sending comes first */
    bool good = digest_of(DIGEST_MD5, request->body, request->body_size, request->md5) == 0;
    return good ? request : NULL;
}

static void
start_md5(S3Request *request)
{
    request->summing = pthread_create(&request->summer, NULL, sum_md5, request) == 0;
}

/* Makes request->md5, or waits for who does. On this thread the other one's failure is recorded. */
static int
need_md5(S3Request *request)
{
    if (request->summed)
        return 0;
    void *made = NULL;
    if (request->summing)
        pthread_join(request->summer, &made);
    request->summing = false;
    if (!made)
        TRY(digest_of(DIGEST_MD5, request->body, request->body_size, request->md5));
    request->summed = true;
    return 0;
}

/* The signature wants the body's SHA-256 ahead. MD5 takes three times as long, and one request for
 * one file is what some sites start a program for; so that of a large body is made by a second
 * thread while the body is on its way, and compared with what the store says it has. */
static int
sum_body(S3Request *request)
{
    bool large = request->body_size >= SIDE_BY_SIDE;
    if (request->sums_body) {
        /* Where the machine's policy forbids MD5, nothing is sent. */
        TRY(digest_of(DIGEST_MD5, NULL, 0, request->md5));
        request->sends_md5 = request->sends_md5 || request->s3->wants_md5 || !large;
        if (request->sends_md5 && large)
            start_md5(request);
    }
    TRY(digest_of(DIGEST_SHA256, request->body, request->body_size, request->sha256));
    hex_format(request->sha256, SHA256_SIZE, request->payload);
    if (!request->sums_body)
        return 0;
    if (request->sends_md5)
        return need_md5(request);
    start_md5(request);
    return 0;
}

/* Some stores do not know that header, or want MD5 ahead all the same. */
static bool
wants_md5(const S3Request *request, const HttpAnswer *answer, const S3Error *error)
{
    bool refused = answer->status == 400 || answer->status == 501;
    return refused && request->sums_body && !request->sends_md5 &&
           (strcasestr(error->message, "Content-MD5") || strcasestr(error->message, "checksum"));
}

static Verdict
judge(void *context, const HttpAnswer *answer)
{
    S3Request *request = context;
    bool success = answer->status >= 200 && answer->status < 300;
    if (success && !request->judges_200)
        return VERDICT_FINAL;
    S3Error error;
    s3_error_parse(answer, &error);
    if (is_one_of(error.code, busy_codes))
        return VERDICT_AGAIN;
    if (is_elsewhere(&error, answer->status) && !request->moved &&
        s3_move(request->s3, request->place, error.region)) {
        request->moved = true;
        return VERDICT_AGAIN;
    }
    if (wants_md5(request, answer, &error) && need_md5(request) == 0) {
        request->sends_md5 = true;
        request->s3->wants_md5 = true;
        return VERDICT_AGAIN;
    }
    bool expired = is_one_of(error.code, expired_codes);
    if (expired && !request->renewed &&
        credentials_renew(request->s3->credentials, &request->keys)) {
        request->renewed = true;
        return VERDICT_AGAIN;
    }
    return verdict_by_status(answer->status);
}

int
s3_run(S3Request *request, int64_t deadline, HttpAnswer *ret_answer)
{
    request->deadline = deadline;
    Call call = {.request = {.method = request->method,
                             .body = request->body,
                             .body_size = request->body_size,
                             .text_max = request->text_max,
                             .despite_stop = request->despite_stop,
                             .once = request->looks},
                 .prepare = prepare,
                 .judge = judge,
                 .context = request,
                 .deadline = deadline,
                 .retries = request->retries};
    if (request->fetch) {
        call.request.begin = fetch_begin;
        call.request.sink = fetch_take;
        call.request.context = request->fetch;
    }
    int result = sum_body(request);
    if (result == 0)
        result = call_run(request->s3->http, &call, ret_answer);
    if (request->sums_body && result == 0)
        result = need_md5(request);
    else if (request->summing) /* it reads the body */
        pthread_join(request->summer, NULL);
    AUTO(free) char *name = s3_object_name(request->s3, request->key);
    return wrap(result, "%s '%s'", request->what, name);
}

static int
on_error_element(void *context, const char *path, const char *text)
{
    S3Error *error = context;
    if (strcmp(path, "Error/Code") == 0)
        snprintf(error->code, sizeof(error->code), "%s", text);
    else if (strcmp(path, "Error/Message") == 0)
        snprintf(error->message, sizeof(error->message), "%s", text);
    else if (strcmp(path, "Error/Region") == 0)
        snprintf(error->region, sizeof(error->region), "%s", text);
    return 0;
}

void
s3_error_parse(const HttpAnswer *answer, S3Error *ret_error)
{
    *ret_error = (S3Error){0};
    if (answer->text.length)
        (void)xml_parse(answer->text.data, answer->text.length, on_error_element, ret_error);
    const char *region = http_header(answer, "x-amz-bucket-region"); /* Google has none */
    if (region)
        snprintf(ret_error->region, sizeof(ret_error->region), "%s", region);
    for (char *c = ret_error->message; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
}

/* What a DBA can do about it. */
static const struct {
    const char *code, *advice;
} advices[] = {
    {"RequestTimeTooSkewed", "set this machine's clock right"},
    {"ExpiredToken", "the credentials have expired; renew them"},
    {"ExpiredTokenException", "the credentials have expired; renew them"},
    {"TokenRefreshRequired", "the credentials have expired; renew them"},
    {"InvalidToken", "check the session token that belongs to the access key"},
    {"InvalidAccessKeyId", "check the access key; is it one of this store?"},
    {"SignatureDoesNotMatch", "check the secret key"},
    {"AccessDenied", "the policies of user and bucket do not allow this"},
    {"AllAccessDisabled", "the policies of user and bucket do not allow this"},
    {"UserSuspended", "the store's administrator has suspended this user"},
    {"NoSuchBucket", "create the bucket, or check its name and the endpoint"},
    {"InvalidBucketName", "check the name of the bucket"},
    {"InvalidStorageClass", "check the storage class"},
    {"InvalidObjectState",
     "it was moved to a storage class that is not read from; restore it there first"},
    {"QuotaExceeded", "the store has no more room for this user"},
};

static void
advise(const S3Error *error, int status)
{
    if (is_elsewhere(error, status)) {
        hint(-1, "the bucket is in the region %s", error->region);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(advices); i++)
        if (strcmp(advices[i].code, error->code) == 0)
            hint(-1, "%s", advices[i].advice);
    if (status >= 300 && status < 400)
        hint(-1, "redirections are not followed; check region and endpoint");
}

static ErrorClass
class_of(const S3Error *error, int status)
{
    if (strcmp(error->code, "QuotaExceeded") == 0)
        return ERR_IO;
    if (strcmp(error->code, "InvalidObjectState") == 0) /* says nothing of other objects */
        return ERR_UNSUPPORTED;
    if (strcmp(error->code, "NoSuchBucket") == 0 || strcmp(error->code, "InvalidBucketName") == 0 ||
        strcmp(error->code, "InvalidStorageClass") == 0 || str_starts(error->code, "KMS."))
        return ERR_CONFIG;
    bool refused = status == 401 || status == 403 || (status >= 300 && status < 400);
    return refused || is_one_of(error->code, expired_codes) ||
                   strcmp(error->code, "InvalidToken") == 0 ||
                   strcmp(error->code, "AuthorizationHeaderMalformed") == 0
               ? ERR_CONFIG
               : ERR_IO;
}

int
s3_failure_of(const S3Request *request, const HttpAnswer *answer, const S3Error *error)
{
    AUTO(free) char *name = s3_object_name(request->s3, request->key);
    char tries[32] = "";
    if (answer->tries > 1)
        snprintf(tries, sizeof(tries), ", after %d tries", answer->tries);
    const char *code = error->code[0] ? error->code : "no reason given";
    fail(class_of(error, answer->status), "%s '%s': %s%s%s (status %d%s)", request->what, name,
         code, error->message[0] ? ": " : "", error->message, answer->status, tries);
    advise(error, answer->status);
    return -1;
}

int
s3_failure(const S3Request *request, const HttpAnswer *answer)
{
    S3Error error;
    s3_error_parse(answer, &error);
    return s3_failure_of(request, answer, &error);
}
