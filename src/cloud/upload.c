/* SPDX-License-Identifier: PostgreSQL
 * A new object from a stream of unknown length: collected in memory up to the size of a part, then
 * sent whole, or in parts when there is more. Never more than one part is held. */
#include "cloud/internal.h"

#include <inttypes.h>

enum { BUFFER_FIRST = 1 << 20 };

struct Upload {
    Bucket *bucket;
    Content content;
    char *key;
    StrList tags; /* ended by NULL in tag_items */
    const char **tag_items;
    int64_t deadline;
    char *buffer;
    size_t used, room;
    bool in_parts;
    Parts parts;
};

int
upload_begin(Bucket *bucket, const char *key, const UploadOptions *options, Upload **ret_upload)
{
    Upload *upload = mem_alloc(sizeof(*upload));
    upload->bucket = bucket;
    upload->key = mem_dup(key);
    upload->deadline = http_deadline(bucket->http);
    upload->content = (Content){.key = upload->key, .replace = options && options->replace};
    if (options && options->tags) {
        for (const char *const *tag = options->tags; *tag; tag++)
            strlist_add(&upload->tags, *tag);
        upload->tag_items = mem_alloc((upload->tags.count + 1) * sizeof(char *));
        for (size_t i = 0; i < upload->tags.count; i++)
            upload->tag_items[i] = upload->tags.items[i];
        upload->content.tags = upload->tag_items;
    }
    *ret_upload = upload;
    return 0;
}

/* Sends what was collected as the next part. */
static int
send_part(Upload *upload)
{
    const Provider *provider = upload->bucket->provider;
    void *store = upload->bucket->store;
    if (!upload->in_parts) {
        TRY(provider->parts_begin(store, &upload->content, upload->deadline, &upload->parts));
        upload->in_parts = true;
    }
    if (upload->parts.receipts.count == provider->parts_most)
        return hint(fail(ERR_UNSUPPORTED,
                         "write '%s/%s': too large for %zu parts of %" PRId64 " bytes",
                         upload->bucket->name, upload->key, provider->parts_most,
                         upload->bucket->part_size),
                    "make the parts larger");
    TRY(provider->parts_put(store, &upload->content, &upload->parts, upload->buffer, upload->used,
                            upload->deadline));
    upload->parts.size += (int64_t)upload->used;
    upload->used = 0;
    return 0;
}

static void
make_room(Upload *upload, size_t size)
{
    size_t most = (size_t)upload->bucket->part_size;
    size_t room = upload->room ? upload->room : BUFFER_FIRST;
    while (room < upload->used + size && room < most)
        room *= 2;
    room = room < most ? room : most;
    if (room > upload->room) {
        upload->buffer = mem_resize(upload->buffer, room, 1);
        upload->room = room;
    }
}

int
upload_write(void *context, const void *data, size_t size)
{
    Upload *upload = context;
    const char *from = data;
    while (size > 0) {
        make_room(upload, size);
        if (upload->used == upload->room) { /* a whole part, and there is more */
            TRY(send_part(upload));
            continue;
        }
        size_t count = upload->room - upload->used < size ? upload->room - upload->used : size;
        memcpy(upload->buffer + upload->used, from, count);
        upload->used += count;
        from += count;
        size -= count;
    }
    return 0;
}

int
upload_finish(Upload *upload, const char *plain_sha256, int64_t *ret_size)
{
    const Provider *provider = upload->bucket->provider;
    void *store = upload->bucket->store;
    upload->content.plain_sha256 = plain_sha256;
    int64_t size = upload->parts.size + (int64_t)upload->used;
    int result = 0;
    if (upload->in_parts) {
        if (upload->used)
            TRY(send_part(upload));
        result = provider->parts_finish(store, &upload->content, &upload->parts, upload->deadline);
        if (result == 0)
            upload->in_parts = false; /* nothing to throw away any more */
    } else {
        result =
            provider->put(store, &upload->content, upload->buffer, upload->used, upload->deadline);
    }
    if (result == 0)
        *ret_size = size;
    return result;
}

void
upload_free(Upload *upload)
{
    if (!upload)
        return;
    if (upload->in_parts) {
        Error error = *error_last(); /* the reason for this must not be lost */
        upload->bucket->provider->parts_abort(upload->bucket->store, &upload->content,
                                              &upload->parts);
        error_restore(&error);
    }
    free(upload->parts.id);
    free(upload->parts.digest);
    digest_free(upload->parts.whole);
    strlist_done(&upload->parts.receipts);
    strlist_done(&upload->tags);
    free(upload->tag_items);
    free(upload->key);
    free(upload->buffer);
    free(upload);
}
