/* SPDX-License-Identifier: PostgreSQL
 * An object store as the rest of the program sees it: a bucket of objects, each under a key.
 * Nothing here knows of WAL. The stores' own protocols are in s3.c, azure.c and gcs.c, each a const
 * Provider.
 *
 * "Done" is said only after an answer that was verified (status, length, checksum), "missing" only
 * when the store said so; everything else is a failure: ERR_IO or ERR_TIMEOUT when another try may
 * help, ERR_CONFIG for credentials, permissions or a bucket that is not there. Every call has
 * deadlines for connecting, for silence and for the whole, and tries again by itself within them.
 * Any number of threads may use one Bucket. */
#ifndef WALDEN_CLOUD_BUCKET_H
#define WALDEN_CLOUD_BUCKET_H

#include "base/error.h"
#include "base/mem.h"
#include "base/sink.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

typedef struct Bucket Bucket;

/* How to get there; NULL, 0 and false stand for the usual. Strings are copied. */
typedef struct BucketSettings {
    const char *provider; /* "aws-s3", "azure-blob-storage", "google-cloud-storage"; NULL: by URL */
    const char *endpoint_url; /* S3: another server than Amazon's; also "google" with HMAC keys */
    const char *region;
    const char *profile; /* S3: of the shared credentials file */
    const char *ca_file; /* certificates to trust instead of the system's */
    const char
        *addressing; /* S3: "path", "virtual" or NULL: virtual where the endpoint allows it */
    const char *credential; /* Azure: "azure-cli", "managed-identity", "default" */
    const char *storage_class;
    const char *encryption; /* S3: "AES256" or "aws:kms" */
    const char *kms_key;    /* S3: sse-kms-key-id; Google: kms-key-name; Azure: encryption scope */
    const char *customer_key_file; /* S3: SSE-C, the 32 bytes of the key, raw or in base64 */
    const char *const *tags;       /* "KEY=VALUE" pairs for objects, ended by NULL */
    int64_t part_size;             /* bytes; above it an upload goes in parts */
    int64_t connect_timeout_ms, idle_timeout_ms, total_timeout_ms;
    int retries;     /* -1: none */
    bool one_object; /* is all that this process will bring or fetch: libraries are loaded while it
                        does something else */
} BucketSettings;

/* Understands the URL (s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, azure://ACCOUNT/CONTAINER/PREFIX,
 * https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX, and the emulator's
 * http://HOST:PORT/ACCOUNT/CONTAINER/PREFIX) and finds credentials that are at hand; nothing is
 * sent yet. *ret_prefix is without slashes at its ends, "" when there is none; free it. */
int bucket_open(const char *url, const BucketSettings *settings, Bucket **ret_bucket,
                char **ret_prefix);
void bucket_free(Bucket *bucket);
AUTO_DEFINE(bucket, Bucket *, bucket_free)

/* Where the URL leads with these settings, the environment and the files of credentials: scheme,
 * host and path of the bucket, nothing secret. Free it. Sends nothing and loads no library. */
int bucket_place(const char *url, const BucketSettings *settings, char **ret_place);

/* Is the text such a URL? */
bool bucket_is_url(const char *text);

/* Whose URL it is: "aws-s3", "azure-blob-storage" or "google-cloud-storage"; "" nobody's. */
const char *bucket_provider(const char *url);

/* The bucket for messages: "s3://BUCKET". */
const char *bucket_name(const Bucket *bucket);

/* How often the store has asked for patience so far (503, 429 and the like), and was asked again.
 */
uint64_t bucket_busy(const Bucket *bucket);

/* Is the bucket there and open to us? */
enum { BUCKET_MISSING = 1 };
int bucket_check(Bucket *bucket);

/* Makes it; done, too, when it is ours already. */
int bucket_create(Bucket *bucket);

enum { OBJECT_SHA256_ROOM = 65 };

typedef struct ObjectInfo {
    int64_t size; /* bytes as stored */
    time_t mtime;
    char sha256[OBJECT_SHA256_ROOM]; /* of the plain content, as upload_finish was told; "" unknown.
                                        Listings do not have it. */
} ObjectInfo;

/* What is under the key. */
enum { OBJECT_MISSING = 1 };
int object_head(Bucket *bucket, const char *key, ObjectInfo *ret_info);

/* Its contents, in order, each byte once; a connection that breaks on the way is continued where it
 * broke, and only if the object is still the same. The sink may have had a part when it fails. */
int object_get(Bucket *bucket, const char *key, Sink *sink, void *context, ObjectInfo *ret_info);

/* Calls visit for each object whose key begins with the prefix, in byte order of the keys, from the
 * first after start_after (NULL: the first). Any number of pages; an answer cut short is a failure.
 * What visit answers other than 0 ends the listing and is returned. */
typedef int ObjectVisit(void *context, const char *key, const ObjectInfo *info);
int bucket_list(Bucket *bucket, const char *prefix, const char *start_after, ObjectVisit *visit,
                void *context);

/* One key of a batch that is to be removed. */
typedef struct ObjectRemoval {
    const char *key;
    char *error; /* set: why the object is still there, free it; NULL: it is not there any more */
} ObjectRemoval;

/* Removes these objects, in as few requests as the store allows, or several at a time. <0 only when
 * nothing can be said for sure; then no error is set. */
int bucket_remove(Bucket *bucket, ObjectRemoval *batch, size_t count);

/* A new object, from pieces of any size: nothing is seen under the key before upload_finish. What
 * is not larger than a part is sent in one request. Holds one part in memory. For one thread. */
typedef struct Upload Upload;

typedef struct UploadOptions {
    bool replace;            /* an object under the key may be replaced; else it never is */
    const char *const *tags; /* instead of the settings'; NULL: those */
} UploadOptions;

int
upload_begin(Bucket *bucket, const char *key, const UploadOptions *options, Upload **ret_upload);
int upload_write(void *context, const void *data, size_t size); /* a Sink; context is the Upload */

/* Makes the object appear, whole and verified. plain_sha256 (64 hex digits, or NULL) travels with
 * it; an upload in parts may not carry it. UPLOAD_EXISTS when the key is taken: also by our own
 * request, if its answer was lost on the way, so the caller compares. */
enum { UPLOAD_EXISTS = 1 };
int upload_finish(Upload *upload, const char *plain_sha256, int64_t *ret_size);

/* Ends it; what was not finished leaves no trace. Who dies before that leaves parts, which nobody
 * sees: Azure and Google remove them after a week, S3 only where a rule of the bucket says so. */
void upload_free(Upload *upload);
AUTO_DEFINE(upload, Upload *, upload_free)

#endif
