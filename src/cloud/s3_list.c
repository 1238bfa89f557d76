/* SPDX-License-Identifier: PostgreSQL
 * Many objects of S3 at once: pages of a listing, and removal by the thousand. */
#include "cloud/s3.h"

#include "base/log.h"
#include "cloud/sign_v4.h"
#include "cloud/xml.h"

enum { PAGE_MAX = 16 << 20 };

typedef struct Page {
    ListPage *page;
    ListEntry entry; /* being read */
    bool encoded;    /* keys are percent-encoded: said at the end, or at the beginning */
    bool truncated, told;
    char *token;
} Page;

static int
on_list_element(void *context, const char *path, const char *text)
{
    static const char root[] = "ListBucketResult/";
    Page *page = context;
    if (!str_starts(path, root))
        return 0;
    path += strlen(root);
    if (strcmp(path, "Contents/Key") == 0) {
        free(page->entry.key);
        page->entry.key = mem_dup(text);
    } else if (strcmp(path, "Contents/Size") == 0) {
        if (!int_parse(text, 0, INT64_MAX, &page->entry.info.size))
            return fail(ERR_DATA, "the listing has the size '%s'", text);
    } else if (strcmp(path, "Contents/LastModified") == 0) {
        page->entry.info.mtime = cloud_time_parse(text);
    } else if (strcmp(path, "Contents") == 0) {
        if (!page->entry.key)
            return fail(ERR_DATA, "the listing has an object without key");
        list_add(page->page, page->entry.key)->info = page->entry.info;
        free(page->entry.key);
        page->entry = (ListEntry){0};
    } else if (strcmp(path, "EncodingType") == 0) {
        page->encoded = strcmp(text, "url") == 0;
    } else if (strcmp(path, "IsTruncated") == 0) {
        page->told = true;
        page->truncated = strcmp(text, "true") == 0;
    } else if (strcmp(path, "NextContinuationToken") == 0) {
        free(page->token);
        page->token = mem_dup(text);
    }
    return 0;
}

/* As in a form: Amazon writes a space as a plus, and a plus as %2B. */
static void
decode_key(char *key)
{
    for (char *c = key; *c; c++)
        if (*c == '+')
            *c = ' ';
    uri_decode(key);
}

static int
read_page(const HttpAnswer *answer, Page *page)
{
    TRY(xml_parse(answer->text.data, answer->text.length, on_list_element, page));
    if (!page->told)
        return fail(ERR_DATA, "the listing does not say whether it is complete");
    if (page->truncated && (!page->token || !page->token[0]))
        return fail(ERR_DATA, "the listing is cut short and does not say where it goes on");
    for (size_t i = 0; page->encoded && i < page->page->count; i++)
        decode_key(page->page->entries[i].key);
    return 0;
}

int
s3_list(void *store, const char *prefix, const char *start_after, ListPage *page, int64_t deadline)
{
    AUTO(s3_request) S3Request request = s3_request(store, "list", "GET", NULL);
    AUTO(answer) HttpAnswer answer = {0};
    s3_query(&request, "list-type", "2");
    s3_query(&request, "encoding-type", "url");
    if (*prefix)
        s3_query(&request, "prefix", prefix);
    if (page->token)
        s3_query(&request, "continuation-token", page->token);
    else if (start_after)
        s3_query(&request, "start-after", start_after);
    request.text_max = PAGE_MAX;
    TRY(s3_run(&request, deadline, &answer));
    if (answer.status != 200)
        return s3_failure(&request, &answer);
    Page read = {.page = page};
    int result = wrap(read_page(&answer, &read), "list '%s/%s'", request.s3->name, prefix);
    free(page->token);
    page->token = result == 0 && read.truncated ? take(read.token) : NULL;
    free(read.token);
    free(read.entry.key);
    return result;
}

/* What the store says of each key of a batch. */
typedef struct Outcome {
    ObjectRemoval *batch;
    size_t count;
    bool *told;
    char *key, *code, *message; /* of the element being read */
    bool result;                /* it was the document that was expected */
} Outcome;

static void
settle(Outcome *outcome, bool gone)
{
    for (size_t i = 0; outcome->key && i < outcome->count; i++) {
        if (strcmp(outcome->batch[i].key, outcome->key) != 0)
            continue;
        outcome->told[i] = true;
        if (!gone && !outcome->batch[i].error)
            outcome->batch[i].error = mem_printf("%s%s%s", outcome->code ? outcome->code : "",
                                                 outcome->message && *outcome->message ? ": " : "",
                                                 outcome->message ? outcome->message : "");
    }
    free(take(outcome->key));
    free(take(outcome->code));
    free(take(outcome->message));
}

static int
on_delete_element(void *context, const char *path, const char *text)
{
    Outcome *outcome = context;
    assert(outcome);
    char **field = strcmp(path, "DeleteResult/Deleted/Key") == 0     ? &outcome->key
                   : strcmp(path, "DeleteResult/Error/Key") == 0     ? &outcome->key
                   : strcmp(path, "DeleteResult/Error/Code") == 0    ? &outcome->code
                   : strcmp(path, "DeleteResult/Error/Message") == 0 ? &outcome->message
                                                                     : NULL;
    if (field) {
        free(*field);
        *field = mem_dup(text);
    } else if (strcmp(path, "DeleteResult/Deleted") == 0) {
        settle(outcome, true);
    } else if (strcmp(path, "DeleteResult/Error") == 0) {
        settle(outcome, outcome->code && strcmp(outcome->code, "NoSuchKey") == 0);
    } else if (strcmp(path, "DeleteResult") == 0) {
        outcome->result = true;
    }
    return 0;
}

static int
read_outcome(const HttpAnswer *answer, ObjectRemoval *batch, size_t count)
{
    AUTO(free) bool *told = mem_alloc(count * sizeof(*told));
    Outcome outcome = {.batch = batch, .count = count, .told = told};
    int result = xml_parse(answer->text.data, answer->text.length, on_delete_element, &outcome);
    if (result == 0 && !outcome.result)
        result = fail(ERR_DATA, "the answer is no list of what was removed");
    free(outcome.key);
    free(outcome.code);
    free(outcome.message);
    for (size_t i = 0; i < count; i++) {
        if (result == 0 && !told[i])
            batch[i].error = mem_dup("the store says nothing about it");
        else if (result < 0)
            free(take(batch[i].error));
    }
    return result;
}

/* One request for all; *ret_unknown when the store does not know this. */
static int
remove_together(S3 *s3, ObjectRemoval *batch, size_t count, int64_t deadline, bool *ret_unknown)
{
    AUTO(s3_request) S3Request request = s3_request(s3, "remove objects of", "POST", NULL);
    AUTO(answer) HttpAnswer answer = {0};
    AUTO(str) Str body = {0};
    str_append(&body, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < count; i++) {
        str_append(&body, "<Object><Key>");
        xml_escape(batch[i].key, &body);
        str_append(&body, "</Key></Object>");
    }
    str_append(&body, "</Delete>");
    s3_query(&request, "delete", "");
    strlist_add(&request.headers, "Content-Type: application/xml");
    request.sums_body = request.sends_md5 = true;
    request.body = body.data;
    request.body_size = body.length;
    request.judges_200 = true;
    request.text_max = PAGE_MAX;
    TRY(s3_run(&request, deadline, &answer));
    if (answer.status == 200) {
        S3Error error;
        s3_error_parse(&answer, &error);
        return error.code[0]
                   ? s3_failure_of(&request, &answer, &error)
                   : wrap(read_outcome(&answer, batch, count), "remove objects of '%s'", s3->name);
    }
    S3Error error;
    s3_error_parse(&answer, &error);
    *ret_unknown = answer.status == 501 || strcmp(error.code, "NotImplemented") == 0;
    return s3_failure_of(&request, &answer, &error);
}

static int
remove_one(S3 *s3, const char *key, int64_t deadline)
{
    AUTO(s3_request) S3Request request = s3_request(s3, "remove", "DELETE", key);
    AUTO(answer) HttpAnswer answer = {0};
    TRY(s3_run(&request, deadline, &answer));
    S3Error error;
    s3_error_parse(&answer, &error);
    bool done = answer.status == 204 || answer.status == 200 ||
                (answer.status == 404 && strcmp(error.code, "NoSuchKey") == 0);
    return done ? 0 : s3_failure_of(&request, &answer, &error);
}

int
s3_remove(void *store, ObjectRemoval *batch, size_t count, int64_t deadline)
{
    S3 *s3 = store;
    if (!s3->no_batches && count > 1) {
        bool unknown = false;
        int result = remove_together(s3, batch, count, deadline, &unknown);
        if (result == 0 || !unknown)
            return result;
        if (!atomic_exchange(&s3->no_batches, true))
            log_info("%s: the store removes objects one by one only", s3->name);
    }
    for (size_t i = 0; i < count; i++)
        if (remove_one(s3, batch[i].key, deadline) < 0)
            batch[i].error = mem_dup(error_last()->text);
    return 0;
}
