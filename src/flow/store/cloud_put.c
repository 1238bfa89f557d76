/* SPDX-License-Identifier: PostgreSQL
 * Putting files into an object store's archive: what is written goes straight into an upload, which
 * creates the object only if nothing has its key. So finishing a put is what archives it, on
 * the thread that compressed it; publishing only tells what came of that. An object that was
 * finished and never published (its archiver died) is found by the next run and compared. */
#include "flow/store/cloud.h"

typedef struct CloudPut {
    StorePut base;
    Upload *upload; /* NULL once it is finished */
    bool has_turn;
    bool exists; /* the key was taken */
} CloudPut;

static const CloudStore *
store_of(const CloudPut *put)
{
    return cloud(put->base.store);
}

/* What the store answers. That this makes no sense is not said of the WAL that is sent there: that
 * waits, and does not go to errors/. */
static int
note_put(const CloudPut *put, int result)
{
    Error error = *error_last();
    if (result < 0 && error.class == ERR_DATA) {
        error.class = ERR_IO;
        error_restore(&error);
    }
    return cloud_note(store_of(put), result);
}

static void
end_turn(CloudPut *put, int64_t bytes, bool failed)
{
    if (put->has_turn)
        throttle_leave(&store_of(put)->live->throttle, bytes, failed);
    put->has_turn = false;
}

int
cloud_put_begin(Store *base, const char *name, const char *compression, StorePut **ret_put)
{
    const CloudStore *store = cloud(base);
    const char *extension = store_extension(compression);
    if (!extension)
        return hint(fail(ERR_CONFIG, "a file with compression '%s' cannot be in an object store",
                         compression),
                    "use one of gzip, bzip2, xz, zstd, lz4, snappy, none");
    AUTO(free) char *key = cloud_key(store, name, extension);
    AUTO(store_put) StorePut *keep = NULL;
    bool own_tags = wal_kind(name) == WAL_HISTORY && store->history_tags;
    UploadOptions options = {.tags = own_tags ? (const char *const *)store->history_tags : NULL};
    CloudPut *put = mem_alloc(sizeof(*put));
    put->base.store = base;
    keep = &put->base;
    throttle_enter(&store->live->throttle);
    put->has_turn = true;
    TRY(cloud_allowed(store));
    int result = upload_begin(store->bucket, key, &options, &put->upload);
    if (result < 0)
        return cloud_note(store, result);
    *ret_put = take(keep);
    return 0;
}

int
cloud_put_write(StorePut *base, const void *data, size_t size)
{
    CloudPut *put = (CloudPut *)base;
    int result = upload_write(put->upload, data, size);
    /* What is only remembered for later says nothing of the store. */
    return result < 0 ? note_put(put, result) : 0;
}

/* Has it asked for patience since somebody looked? Whoever finds that out slows down for all. */
static bool
has_asked_for_patience(const CloudStore *store)
{
    uint64_t busy = bucket_busy(store->bucket);
    return atomic_exchange(&store->live->busy, busy) < busy;
}

int
cloud_put_finish(StorePut *base, int source_fd, const struct stat *source, const char *sha256,
                 int64_t *ret_size)
{
    CloudPut *put = (CloudPut *)base;
    int64_t size = source->st_size;
    (void)source_fd;
    int result = note_put(put, upload_finish(put->upload, sha256, &size));
    put->exists = result == UPLOAD_EXISTS;
    end_turn(put, size, result < 0 || has_asked_for_patience(store_of(put)));
    upload_free(take(put->upload)); /* its memory is wanted by the next one */
    if (result < 0)
        return result;
    *ret_size = size;
    return 0;
}

int
cloud_put_publish(StorePut *put)
{
    return ((const CloudPut *)put)->exists ? STORE_EXISTS : 0;
}

void
cloud_put_free(StorePut *base)
{
    CloudPut *put = (CloudPut *)base;
    Error error = *error_last();
    upload_free(put->upload);
    error_restore(&error);
    end_turn(put, 0, false);
    free(put);
}
