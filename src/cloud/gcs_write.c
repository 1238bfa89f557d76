/* SPDX-License-Identifier: PostgreSQL
 * Uploads to Google's storage: an object in one request, with its description before it, or a
 * session into which the bytes are sent in order. After a failure the session is asked how far it
 * came, and is continued there. A checksum goes with the whole, and what the store says it has is
 * compared with what was sent. */
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/proc.h"
#include "cloud/gcs_call.h"
#include "cloud/retry.h"
#include "cloud/sign_v4.h"

#include <inttypes.h>
#include <sys/random.h>

enum { ABORT_MS = 5000 };

/* How the session of an upload ended; its receipts end with one of these. */
static const char DONE[] = "done", EXISTS[] = "exists";

static void
add_tag(json_t *metadata, const char *tag)
{
    AUTO(free) char *name = mem_dup(tag);
    char *value = name + strcspn(name, "=");
    if (*value)
        *value++ = '\0';
    json_object_set_new(metadata, name, json_string(value));
}

/* What the new object shall be, besides its bytes: a text in JSON; free it. */
static char *
describe(const GcsStore *store, const Content *content, const char *md5, const char *crc)
{
    json_t *metadata = json_object();
    for (size_t i = 0; !content->tags && i < store->tags.count; i++)
        add_tag(metadata, store->tags.items[i]);
    for (const char *const *tag = content->tags; tag && *tag; tag++)
        add_tag(metadata, *tag);
    if (content->plain_sha256)
        json_object_set_new(metadata, GCS_SHA256, json_string(content->plain_sha256));
    AUTO(json)
    json_t *root = json_pack("{ss ss ss* ss* ss* so}", "name", content->key, "contentType",
                             "application/octet-stream", "md5Hash", md5, "crc32c", crc,
                             "storageClass", store->storage_class, "metadata", metadata);
    char *text = json_dumps(root, JSON_COMPACT);
    return text ? text : mem_dup("{}");
}

/* The call that makes an object. */
static GcsCall
upload_call(const GcsStore *store, const Content *content, const char *type, int64_t deadline)
{
    AUTO(str) Str path = {0};
    str_append(&path, "/upload/storage/v1/b/");
    uri_encode(store->bucket, false, &path);
    str_append(&path, "/o");
    GcsCall call = gcs_call_to(store, "write", path.data, deadline);
    call.key = content->key;
    gcs_add_query(&call, "uploadType", type);
    gcs_add_query(&call, "fields", "generation,size,md5Hash,crc32c");
    if (!content->replace)
        gcs_add_query(&call, "ifGenerationMatch", "0"); /* there is none yet */
    if (store->kms_key)
        gcs_add_query(&call, "kmsKeyName", store->kms_key);
    return call;
}

static char *
crc_text(uint32_t crc)
{
    unsigned char bytes[] = {(unsigned char)(crc >> 24), (unsigned char)(crc >> 16),
                             (unsigned char)(crc >> 8), (unsigned char)crc};
    return base64_format(bytes, sizeof(bytes));
}

/* Is what the store says it has what was sent? */
static int
compare(const GcsCall *call, int64_t size, const char *md5, const char *crc)
{
    AUTO(json) json_t *root = NULL;
    TRY(gcs_read(call, &root));
    const char *has_md5 = json_text(root, "md5Hash"), *has_crc = json_text(root, "crc32c");
    int64_t has_size = json_number(root, "size", -1);
    if (has_size != size || strcmp(has_crc, crc) != 0 ||
        (md5 && *has_md5 && strcmp(has_md5, md5) != 0))
        return fail(ERR_IO,
                    "write '%s/%s': sent were %" PRId64 " bytes with the CRC-32C %s, the store has "
                    "%" PRId64 " with %s",
                    call->store->name, call->key, size, crc, has_size, has_crc);
    return 0;
}

static int
random_hex(char *ret_hex, size_t size)
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return fail_errno("get random bytes");
    hex_format(bytes, size / 2, ret_hex);
    return 0;
}

int
gcs_put(void *context, const Content *content, const void *data, size_t size, int64_t deadline)
{
    const GcsStore *store = context;
    AUTO(gcs_call) GcsCall call = upload_call(store, content, "multipart", deadline);
    unsigned char digest[MD5_SIZE];
    char boundary[33];
    TRY(digest_of(DIGEST_MD5, data, size, digest));
    TRY(random_hex(boundary, sizeof(boundary)));
    AUTO(free) char *md5 = base64_format(digest, sizeof(digest));
    AUTO(free) char *crc = crc_text(crc32c(0, data, size));
    AUTO(free) char *description = describe(store, content, md5, crc);
    AUTO(free)
    char *before = mem_printf("--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%s\r\n"
                              "--%s\r\nContent-Type: application/octet-stream\r\n\r\n",
                              boundary, description, boundary);
    AUTO(free) char *after = mem_printf("\r\n--%s--\r\n", boundary);
    strlist_addf(&call.headers, "Content-Type: multipart/related; boundary=%s", boundary);
    TRY(gcs_run(
        &call,
        (HttpRequest){
            .method = "POST", .body = data, .body_size = size, .before = before, .after = after}));
    if (call.answer.status == 412 && !content->replace)
        return UPLOAD_EXISTS;
    return call.answer.status / 100 == 2 ? compare(&call, (int64_t)size, md5, crc)
                                         : gcs_refused(&call);
}

static bool
has_ended(const Parts *parts)
{
    const char *last =
        parts->receipts.count ? parts->receipts.items[parts->receipts.count - 1] : "";
    return strcmp(last, DONE) == 0 || strcmp(last, EXISTS) == 0;
}

int
gcs_parts_begin(void *context, const Content *content, int64_t deadline, Parts *parts)
{
    const GcsStore *store = context;
    AUTO(gcs_call) GcsCall call = upload_call(store, content, "resumable", deadline);
    AUTO(free) char *description = describe(store, content, NULL, NULL);
    strlist_add(&call.headers, "Content-Type: application/json; charset=UTF-8");
    strlist_add(&call.headers, "X-Upload-Content-Type: application/octet-stream");
    TRY(gcs_run(
        &call,
        (HttpRequest){.method = "POST", .body = description, .body_size = strlen(description)}));
    parts->digest = mem_dup("0");
    if (call.answer.status == 412 && !content->replace) { /* told at the end */
        strlist_add(&parts->receipts, EXISTS);
        return 0;
    }
    const char *session = http_header(&call.answer, "location");
    if (call.answer.status / 100 != 2)
        return gcs_refused(&call);
    if (!session)
        return fail(ERR_DATA, "write '%s/%s': the store began an upload without a location",
                    store->name, content->key);
    parts->id = mem_dup(session);
    return 0;
}

/* A piece on its way into the session. */
typedef struct Piece {
    const GcsStore *store;
    const Content *content;
    Parts *parts;
    const char *data;
    int64_t start, end, total; /* of the piece in the object; -1: the end is not known yet */
    int64_t sent;              /* as far as the session has it */
    char *crc;                 /* of the whole, for the last piece */
    int64_t retry_after;       /* as the last answer says, in seconds */
    int64_t deadline;
} Piece;

/* What the session answered. 0: understood; ret_final: it has the piece. */
static int
take_answer(Piece *piece, const GcsCall *call, bool *ret_final)
{
    const char *range = http_header(&call->answer, "range");
    int64_t last = -1;
    switch (call->answer.status) {
    case 200:
    case 201:
        TRY(compare(call, piece->end, NULL, piece->crc));
        strlist_add(&piece->parts->receipts, DONE);
        *ret_final = true;
        return 0;
    case 412:
        strlist_add(&piece->parts->receipts, EXISTS);
        *ret_final = true;
        return 0;
    case 308:
        if (range && !(str_starts(range, "bytes=0-") &&
                       int_parse(range + strlen("bytes=0-"), 0, INT64_MAX - 1, &last)))
            return fail(ERR_DATA, "write '%s/%s': the store answers with the range '%s'",
                        piece->store->name, piece->content->key, range);
        if (last + 1 < piece->start || last + 1 > piece->end)
            return fail(ERR_IO,
                        "write '%s/%s': the store has %" PRId64 " bytes, sent were %" PRId64,
                        piece->store->name, piece->content->key, last + 1, piece->start);
        piece->sent = last + 1;
        *ret_final = piece->sent == piece->end && piece->total < 0;
        return 0;
    default:
        return gcs_refused(call);
    }
}

/* Sends what the session does not have, or asks how much that is. */
static int
send_once(Piece *piece, bool asking, bool *ret_final, bool *ret_again)
{
    AUTO(gcs_call)
    GcsCall call = {.store = piece->store,
                    .what = "write",
                    .key = piece->content->key,
                    .session = true,
                    .deadline = piece->deadline,
                    .retries = 0};
    HttpRequest request = {.method = "PUT"};
    char total[24] = "*";
    if (piece->total >= 0)
        snprintf(total, sizeof(total), "%" PRId64, piece->total);
    str_append(&call.url, piece->parts->id);
    if (asking || piece->sent == piece->end) {
        strlist_addf(&call.headers, "Content-Range: bytes */%s", total);
    } else {
        strlist_addf(&call.headers, "Content-Range: bytes %" PRId64 "-%" PRId64 "/%s", piece->sent,
                     piece->end - 1, total);
        request.body = piece->data + (piece->sent - piece->start);
        request.body_size = (size_t)(piece->end - piece->sent);
    }
    int result = gcs_run(&call, request);
    piece->retry_after = call.answer.retry_after;
    *ret_again =
        result < 0 ? call.answer.again : verdict_by_status(call.answer.status) == VERDICT_AGAIN;
    return result < 0 ? result : take_answer(piece, &call, ret_final);
}

/* Until the session has the piece. Each failure that may pass is followed by a pause and the
 * question how far it came; a try that brought nothing forward counts as one. */
static int
send_piece(Piece *piece)
{
    bool final = false, asking = false;
    for (int tries = 1; !final;) {
        bool again = false;
        int64_t before = piece->sent;
        int result = send_once(piece, asking, &final, &again);
        if (result < 0 && !again)
            return result;
        if (result == 0 && (final || asking || piece->sent > before)) {
            tries = piece->sent > before ? 1 : tries;
            asking = false;
            continue;
        }
        if (result == 0)
            result = fail(ERR_IO, "write '%s/%s': the store takes nothing more", piece->store->name,
                          piece->content->key);
        Error error = *error_last();
        bool time = false;
        TRY(retry_pause(tries, piece->retry_after, piece->deadline, &time));
        if (!time || tries++ > http_limits(piece->store->http)->retries) {
            error_restore(&error);
            return result;
        }
        asking = true;
    }
    return 0;
}

int
gcs_parts_put(void *store, const Content *content, Parts *parts, const void *data, size_t size,
              int64_t deadline)
{
    if (has_ended(parts))
        return 0;
    /* Only the last one may have an odd size: with it the object comes into being. */
    bool last = size % GCS_UNIT != 0;
    uint32_t crc = crc32c((uint32_t)strtoul(parts->digest, NULL, 16), data, size);
    AUTO(free) char *text = crc_text(crc);
    Piece piece = {.store = store,
                   .content = content,
                   .parts = parts,
                   .data = data,
                   .start = parts->size,
                   .end = parts->size + (int64_t)size,
                   .total = last ? parts->size + (int64_t)size : -1,
                   .sent = parts->size,
                   .crc = text,
                   .deadline = deadline};
    TRY(send_piece(&piece));
    free(parts->digest);
    parts->digest = mem_printf("%08x", crc);
    return 0;
}

int
gcs_parts_finish(void *store, const Content *content, Parts *parts, int64_t deadline)
{
    AUTO(free) char *text = crc_text((uint32_t)strtoul(parts->digest, NULL, 16));
    Piece piece = {.store = store,
                   .content = content,
                   .parts = parts,
                   .start = parts->size,
                   .end = parts->size,
                   .total = parts->size,
                   .sent = parts->size,
                   .crc = text,
                   .deadline = deadline};
    if (!has_ended(parts))
        TRY(send_piece(&piece));
    return strcmp(parts->receipts.items[parts->receipts.count - 1], EXISTS) == 0 ? UPLOAD_EXISTS
                                                                                 : 0;
}

void
gcs_parts_abort(void *store, const Content *content, Parts *parts)
{
    if (!parts->id || has_ended(parts))
        return;
    AUTO(gcs_call)
    GcsCall call = {.store = store,
                    .what = "cancel",
                    .key = content->key,
                    .session = true,
                    .deadline = clock_ms() + ABORT_MS,
                    .retries = 0};
    str_append(&call.url, parts->id);
    (void)gcs_run(&call, (HttpRequest){.method = "DELETE", .despite_stop = true});
}
