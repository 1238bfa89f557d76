/* SPDX-License-Identifier: PostgreSQL
 * Keys, and the store's own operations on them. */
#include "flow/store/pieces.h"

#include "base/clock.h"
#include "flow/store/cloud.h"

static const char wals[] = "wals/", partial[] = "partial/";

/* Where the pieces of the segment are, or those of all. */
static char *
folder_of(const CloudStore *store, const char *name)
{
    int length = (int)(strlen(store->root) - strlen(wals));
    return mem_printf("%.*s%s%s%s", length, store->root, partial, name ? name : "",
                      name ? "/" : "");
}

static char *
key_of(const CloudStore *store, const Piece *piece)
{
    AUTO(free) char *folder = folder_of(store, piece->name);
    return mem_printf("%s%08X-%08X%s%s", folder, piece->offset, piece->length,
                      *piece->cipher ? "." : "", piece->cipher);
}

int
piece_put(Store *base, const Piece *piece, const void *data, size_t size)
{
    const CloudStore *store = cloud(base);
    AUTO(free) char *key = key_of(store, piece);
    AUTO(upload) Upload *upload = NULL;
    int64_t stored = 0;
    TRY(cloud_allowed(store));
    TRY(upload_begin(store->bucket, key, &(UploadOptions){0}, &upload));
    TRY(upload_write(upload, data, size));
    int result = cloud_note(store, upload_finish(upload, NULL, &stored));
    return result == UPLOAD_EXISTS ? 0 : result;
}

int
piece_get(const Store *base, const Piece *piece, Sink *sink, void *context)
{
    const CloudStore *store = cloud(base);
    AUTO(free) char *key = key_of(store, piece);
    ObjectInfo info;
    int result = object_get(store->bucket, key, sink, context, &info);
    return result == OBJECT_MISSING ? fail(ERR_BUSY, "'%s' was removed at this moment", key)
                                    : result;
}

typedef struct Listing {
    const char *folder; /* of all pieces */
    PieceVisit *visit;
    void *context;
} Listing;

static int
visit_key(void *context, const char *key, const ObjectInfo *info)
{
    const Listing *listing = context;
    const char *relative = key + strlen(listing->folder), *slash = strchr(relative, '/');
    Piece piece = {0};
    char extent[] = "OOOOOOOO/LLLLLLLL";
    Lsn numbers = 0; /* two of 32 bits, as an LSN has them */
    (void)info;
    if (!slash || (size_t)(slash - relative) >= sizeof(piece.name) ||
        strlen(slash + 1) < strlen(extent))
        return 0;
    memcpy(piece.name, relative, (size_t)(slash - relative));
    memcpy(extent, slash + 1, strlen(extent));
    const char *end = slash + 1 + strlen(extent);
    if (extent[8] != '-' || (*end && *end != '.') || strlen(end) > sizeof(piece.cipher))
        return 0;
    snprintf(piece.cipher, sizeof(piece.cipher), "%s", *end ? end + 1 : "");
    extent[8] = '/';
    if (wal_kind(piece.name) != WAL_SEGMENT || !lsn_parse(extent, &numbers))
        return 0;
    piece.offset = (uint32_t)(numbers >> 32);
    piece.length = (uint32_t)numbers;
    return listing->visit(listing->context, &piece);
}

int
piece_list(const Store *base, const char *name, PieceVisit *visit, void *context)
{
    const CloudStore *store = cloud(base);
    AUTO(free) char *folder = folder_of(store, NULL);
    AUTO(free) char *prefix = folder_of(store, name);
    Listing listing = {.folder = folder, .visit = visit, .context = context};
    TRY(cloud_allowed(store));
    return cloud_note(store, bucket_list(store->bucket, prefix, NULL, visit_key, &listing));
}

typedef struct Gathered {
    const CloudStore *store;
    StrList keys;
} Gathered;

static int
gather(void *context, const Piece *piece)
{
    Gathered *gathered = context;
    strlist_own(&gathered->keys, key_of(gathered->store, piece));
    return 0;
}

int
piece_remove_all(Store *base, const char *name)
{
    Gathered gathered = {.store = cloud(base)};
    int result = piece_list(base, name, gather, &gathered);
    size_t count = gathered.keys.count;
    AUTO(free) ObjectRemoval *batch = count ? mem_alloc(count * sizeof(*batch)) : NULL;
    for (size_t i = 0; i < count; i++)
        batch[i] = (ObjectRemoval){.key = gathered.keys.items[i]};
    if (result == 0 && count > 0)
        result = cloud_note(gathered.store, bucket_remove(gathered.store->bucket, batch, count));
    for (size_t i = 0; i < count && result == 0; i++)
        if (batch[i].error)
            result = fail(ERR_IO, "remove '%s': %s", batch[i].key, batch[i].error);
    for (size_t i = 0; i < count; i++)
        free(batch[i].error);
    strlist_done(&gathered.keys);
    return result;
}
