/* SPDX-License-Identifier: PostgreSQL
 * Uploads to Azure: a blob in one request, or block by block. What is sent carries its MD5, which
 * the store compares; what it answers is compared here. */
#include "cloud/azure_call.h"
#include "cloud/sign_v4.h"

#include <sys/random.h>

static bool
is_taken(const HttpAnswer *answer)
{
    return azure_has_code(answer, "BlobAlreadyExists") ||
           (answer->status == 412 && azure_has_code(answer, "ConditionNotMet"));
}

static int
add_md5(AzureCall *call, const void *data, size_t size)
{
    unsigned char md5[MD5_SIZE];
    TRY(digest_of(DIGEST_MD5, data, size, md5));
    AUTO(free) char *text = base64_format(md5, sizeof(md5));
    strlist_addf(&call->headers, "Content-MD5: %s", text);
    return 0;
}

static void
add_scope(AzureCall *call)
{
    if (call->store->scope)
        strlist_addf(&call->headers, "x-ms-encryption-scope: %s", call->store->scope);
}

/* Tags as a query string, "KEY=VALUE&..." encoded. */
static void
append_tag(const char *tag, Str *text)
{
    AUTO(free) char *name = mem_dup(tag);
    char *value = name + strcspn(name, "=");
    if (*value)
        *value++ = '\0';
    str_append(text, text->length ? "&" : "");
    uri_encode(name, false, text);
    str_append(text, "=");
    uri_encode(value, false, text);
}

/* What the new blob shall be, besides its bytes. */
static void
add_content(AzureCall *call, const Content *content)
{
    const AzureStore *store = call->store;
    AUTO(str) Str tags = {0};
    if (!content->replace)
        strlist_add(&call->headers, "If-None-Match: *");
    if (content->plain_sha256)
        strlist_addf(&call->headers, AZURE_SHA256_HEADER ": %s", content->plain_sha256);
    if (store->tier)
        strlist_addf(&call->headers, "x-ms-access-tier: %s", store->tier);
    add_scope(call);
    for (size_t i = 0; !content->tags && i < store->tags.count; i++)
        append_tag(store->tags.items[i], &tags);
    for (const char *const *tag = content->tags; tag && *tag; tag++)
        append_tag(*tag, &tags);
    if (tags.length)
        strlist_addf(&call->headers, "x-ms-tags: %s", tags.data);
}

/* Not taken on trust: what the store says it has, if it says so. */
static int
compare_md5(const AzureCall *call, const void *data, size_t size)
{
    const char *said = http_header(&call->answer, "content-md5");
    unsigned char md5[MD5_SIZE];
    if (!said)
        return 0;
    TRY(digest_of(DIGEST_MD5, data, size, md5));
    AUTO(free) char *text = base64_format(md5, sizeof(md5));
    if (strcmp(said, text) != 0)
        return fail(ERR_IO, "write '%s/%s': sent was the MD5 %s, the store says %s",
                    call->store->name, call->key, text, said);
    return 0;
}

int
azure_put(void *context, const Content *content, const void *data, size_t size, int64_t deadline)
{
    AUTO(azure_call)
    AzureCall call = {.store = context, .what = "write", .key = content->key, .deadline = deadline};
    strlist_add(&call.headers, "Content-Type: application/octet-stream");
    strlist_add(&call.headers, "x-ms-blob-type: BlockBlob");
    TRY(add_md5(&call, data, size));
    add_content(&call, content);
    TRY(azure_run(&call, (HttpRequest){.method = "PUT", .body = data, .body_size = size}));
    if (is_taken(&call.answer) && !content->replace)
        return UPLOAD_EXISTS;
    return call.answer.status == 201 ? compare_md5(&call, data, size) : azure_refused(&call);
}

/* Names of this upload's blocks begin with what no other upload has. */
int
azure_parts_begin(void *context, const Content *content, int64_t deadline, Parts *parts)
{
    (void)context, (void)content, (void)deadline;
    unsigned char random[8];
    char hex[2 * sizeof(random) + 1];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return fail_errno("get random bytes");
    hex_format(random, sizeof(random), hex);
    parts->id = mem_dup(hex);
    return digest_begin(DIGEST_MD5, &parts->whole);
}

int
azure_parts_put(void *context, const Content *content, Parts *parts, const void *data, size_t size,
                int64_t deadline)
{
    AUTO(azure_call)
    AzureCall call = {.store = context, .what = "write", .key = content->key, .deadline = deadline};
    AUTO(free) char *plain = mem_printf("%s-%08zu", parts->id, parts->receipts.count);
    AUTO(free) char *id = base64_format(plain, strlen(plain));
    azure_add_query(&call, "comp", "block");
    azure_add_query(&call, "blockid", id);
    strlist_add(&call.headers, "Content-Type: application/octet-stream");
    TRY(add_md5(&call, data, size));
    add_scope(&call);
    TRY(azure_run(&call, (HttpRequest){.method = "PUT", .body = data, .body_size = size}));
    if (call.answer.status != 201)
        return azure_refused(&call);
    TRY(compare_md5(&call, data, size));
    strlist_own(&parts->receipts, take(id));
    return digest_add(parts->whole, data, size);
}

int
azure_parts_finish(void *context, const Content *content, Parts *parts, int64_t deadline)
{
    AUTO(azure_call)
    AzureCall call = {.store = context, .what = "write", .key = content->key, .deadline = deadline};
    AUTO(str) Str body = {0};
    unsigned char md5[MD5_SIZE];
    TRY(digest_end(parts->whole, md5));
    AUTO(free) char *text = base64_format(md5, sizeof(md5));
    str_append(&body, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList>");
    for (size_t i = 0; i < parts->receipts.count; i++)
        str_appendf(&body, "<Latest>%s</Latest>", parts->receipts.items[i]);
    str_append(&body, "</BlockList>");
    azure_add_query(&call, "comp", "blocklist");
    strlist_add(&call.headers, "Content-Type: application/xml");
    strlist_add(&call.headers, "x-ms-blob-content-type: application/octet-stream");
    strlist_addf(&call.headers, "x-ms-blob-content-md5: %s", text); /* for whoever reads it */
    TRY(add_md5(&call, body.data, body.length));
    add_content(&call, content);
    TRY(azure_run(&call,
                  (HttpRequest){.method = "PUT", .body = body.data, .body_size = body.length}));
    if (is_taken(&call.answer) && !content->replace)
        return UPLOAD_EXISTS;
    if (call.answer.status == 201)
        return 0;
    /* Whoever writes the blob as a whole takes our blocks away with that; so does our own request,
     * if its answer was lost. */
    ObjectInfo info;
    if (azure_has_code(&call.answer, "InvalidBlockList") && !content->replace &&
        azure_head(context, content->key, deadline, &info) == 0)
        return UPLOAD_EXISTS;
    return azure_refused(&call);
}

/* Blocks that are in no list are removed by the store itself, after a week. */
void
azure_parts_abort(void *context, const Content *content, Parts *parts)
{
    (void)context, (void)content, (void)parts;
}
