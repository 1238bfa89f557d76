/* SPDX-License-Identifier: PostgreSQL
 * Objects in S3 that are sent in parts. They appear when the parts are put together; not every
 * store takes a condition for that, so the key is looked at just before. */
#include "cloud/s3.h"

#include "base/clock.h"
#include "cloud/xml.h"

#include <inttypes.h>

enum { ABORT_MS = 10 * 1000 };

static int
on_upload_id(void *context, const char *path, const char *text)
{
    if (strcmp(path, "InitiateMultipartUploadResult/UploadId") == 0 && !*(char **)context)
        *(char **)context = mem_dup(text);
    return 0;
}

int
s3_parts_begin(void *store, const Content *content, int64_t deadline, Parts *parts)
{
    AUTO(s3_request) S3Request request = s3_request(store, "write", "POST", content->key);
    AUTO(answer) HttpAnswer answer = {0};
    s3_query(&request, "uploads", "");
    TRY(s3_write_headers(&request, content));
    TRY(s3_run(&request, deadline, &answer));
    if (answer.status != 200)
        return s3_failure(&request, &answer);
    TRY(wrap(xml_parse(answer.text.data, answer.text.length, on_upload_id, &parts->id),
             "write '%s/%s'", request.s3->name, content->key));
    if (!parts->id || !parts->id[0])
        return fail(ERR_IO, "write '%s/%s': the store gave the upload no name", request.s3->name,
                    content->key);
    return 0;
}

/* The MD5s of the parts one after the other, in hexadecimal: see whole_etag. */
static void
remember_md5(Parts *parts, const unsigned char *md5)
{
    char hex[MD5_HEX_ROOM];
    hex_format(md5, MD5_SIZE, hex);
    char *all = mem_printf("%s%s", parts->digest ? parts->digest : "", hex);
    free(parts->digest);
    parts->digest = all;
}

int
s3_parts_put(void *store, const Content *content, Parts *parts, const void *data, size_t size,
             int64_t deadline)
{
    AUTO(s3_request) S3Request request = s3_request(store, "write", "PUT", content->key);
    AUTO(answer) HttpAnswer answer = {0};
    AUTO(free) char *number = mem_printf("%zu", parts->receipts.count + 1);
    s3_query(&request, "partNumber", number);
    s3_query(&request, "uploadId", parts->id);
    s3_customer_headers(&request);
    request.body = data;
    request.body_size = size;
    request.sums_body = request.sends_md5 = true;
    TRY(s3_run(&request, deadline, &answer));
    const char *etag = http_header(&answer, "etag");
    if (answer.status != 200)
        return s3_failure(&request, &answer);
    if (!etag)
        return fail(ERR_IO, "write '%s/%s': the store gave part %s no ETag", request.s3->name,
                    content->key, number);
    AUTO(free) char *part = mem_printf("part %s", number);
    TRY(s3_compare_etag(&request, &answer, part));
    strlist_add(&parts->receipts, etag);
    remember_md5(parts, request.md5);
    return 0;
}

static char *
completion(const Parts *parts)
{
    Str body = {0};
    str_append(&body,
               "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < parts->receipts.count; i++) {
        str_appendf(&body, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
        xml_escape(parts->receipts.items[i], &body);
        str_append(&body, "</ETag></Part>");
    }
    str_append(&body, "</CompleteMultipartUpload>");
    return body.data;
}

static int
on_completed(void *context, const char *path, const char *text)
{
    (void)text;
    *(bool *)context |= strcmp(path, "CompleteMultipartUploadResult/ETag") == 0;
    return 0;
}

/* A 200 counts only with the result in it: the status is sent before the work is done. */
static bool
is_completed(const HttpAnswer *answer)
{
    bool completed = false;
    return answer->status == 200 && answer->text.length &&
           xml_parse(answer->text.data, answer->text.length, on_completed, &completed) == 0 &&
           completed;
}

typedef enum Completion {
    COMPLETION_DONE,
    COMPLETION_GONE,    /* no such upload any more, or such an object: perhaps of an earlier try */
    COMPLETION_UNKNOWN, /* conditions are not known here */
    COMPLETION_EXISTS,
} Completion;

static int
complete(S3 *s3, const Content *content, const Parts *parts, bool conditional, int64_t deadline,
         Completion *ret_completion)
{
    AUTO(s3_request) S3Request request = s3_request(s3, "write", "POST", content->key);
    AUTO(answer) HttpAnswer answer = {0};
    AUTO(free) char *body = completion(parts);
    s3_query(&request, "uploadId", parts->id);
    strlist_add(&request.headers, "Content-Type: application/xml");
    if (conditional)
        s3_condition(&request);
    request.looks = !content->replace; /* not every store takes the condition for that */
    request.body = body;
    request.body_size = strlen(body);
    request.judges_200 = true;
    int result = s3_run(&request, deadline, &answer);
    if (request.taken) {
        *ret_completion = request.looked == 1 ? COMPLETION_EXISTS : COMPLETION_GONE;
        return 0;
    }
    TRY(result);
    S3Error error;
    s3_error_parse(&answer, &error);
    bool refused = strcmp(error.code, "InvalidRequest") == 0; /* Swift says 412 with this */
    if (is_completed(&answer))
        *ret_completion = COMPLETION_DONE;
    else if (conditional && (answer.status == 501 || refused))
        *ret_completion = COMPLETION_UNKNOWN;
    else if (conditional && answer.status == 412)
        *ret_completion = COMPLETION_EXISTS;
    else if (strcmp(error.code, "NoSuchUpload") == 0)
        *ret_completion = COMPLETION_GONE;
    else
        return s3_failure_of(&request, &answer, &error);
    return 0;
}

/* The ETag of an object that was made of these parts, where no key of somebody's encrypts it: the
 * MD5 of the parts' MD5s, and their number. */
static int
whole_etag(const Parts *parts, char *ret_etag, size_t room)
{
    size_t count = parts->receipts.count;
    AUTO(free) unsigned char *md5s = mem_alloc(count * MD5_SIZE);
    for (size_t i = 0; i < count * MD5_SIZE; i++) {
        const char digits[] = {parts->digest[2 * i], parts->digest[2 * i + 1], '\0'};
        md5s[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    char hex[MD5_HEX_ROOM];
    TRY(digest_hex_of(DIGEST_MD5, md5s, count * MD5_SIZE, hex));
    snprintf(ret_etag, room, "\"%s-%zu\"", hex, count);
    return 0;
}

/* The object is there, and of the right length. Without an answer that said it is ours, it must
 * have the very ETag that these parts make: else it may be another writer's. */
static int
verify(S3 *s3, const Content *content, const Parts *parts, bool ours, int64_t deadline)
{
    AUTO(s3_request) S3Request request = s3_request(s3, "write", "HEAD", content->key);
    AUTO(answer) HttpAnswer answer = {0};
    char wanted[MD5_HEX_ROOM + 16];
    TRY(whole_etag(parts, wanted, sizeof(wanted)));
    s3_customer_headers(&request);
    TRY(s3_run(&request, deadline, &answer));
    if (answer.status != 200)
        return fail(ERR_IO, "write '%s/%s': the upload is %s, and there is no object (status %d)",
                    s3->name, content->key, ours ? "done" : "gone", answer.status);
    int64_t size = http_header_number(&answer, "content-length");
    const char *etag = http_header(&answer, "etag");
    if (!ours && (!etag || strcmp(etag, wanted) != 0))
        return content->replace
                   ? fail(ERR_IO, "write '%s/%s': the upload is gone", s3->name, content->key)
                   : UPLOAD_EXISTS;
    if (size != parts->size)
        return fail(ERR_IO, "write '%s/%s': the store has %" PRId64 " bytes of %" PRId64, s3->name,
                    content->key, size, parts->size);
    return 0;
}

int
s3_parts_finish(void *store, const Content *content, Parts *parts, int64_t deadline)
{
    S3 *s3 = store;
    /* Google takes the condition here, and does not heed it. */
    bool conditional = !content->replace && !s3->no_conditions && !s3->google;
    Completion completion = COMPLETION_DONE;
    TRY(complete(s3, content, parts, conditional, deadline, &completion));
    if (completion == COMPLETION_UNKNOWN) {
        s3_without_conditions(s3);
        TRY(complete(s3, content, parts, false, deadline, &completion));
    }
    if (completion == COMPLETION_EXISTS)
        return UPLOAD_EXISTS;
    return verify(s3, content, parts, completion == COMPLETION_DONE, deadline);
}

void
s3_parts_abort(void *store, const Content *content, Parts *parts)
{
    AUTO(s3_request) S3Request request = s3_request(store, "give up", "DELETE", content->key);
    AUTO(answer) HttpAnswer answer = {0};
    s3_query(&request, "uploadId", parts->id);
    request.retries = 1;
    request.despite_stop = true;
    (void)s3_run(&request, clock_ms() + ABORT_MS, &answer);
}
