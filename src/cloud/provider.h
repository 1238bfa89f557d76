/* SPDX-License-Identifier: PostgreSQL
 * What a store's protocol must be able to do: s3.c, azure.c and gcs.c each end with a const
 * Provider. bucket.c puts them behind bucket.h, and has what is the same for all: resuming, paging,
 * batches, parts.
 *
 * Each function makes its requests by retry.h until the deadline (of clock_ms). Failures name the
 * object, what was tried and what the store said, with a hint where there is one; nothing secret.
 * Any number of threads may use one store at the same time. */
#ifndef WALDEN_CLOUD_PROVIDER_H
#define WALDEN_CLOUD_PROVIDER_H

#include "cloud/bucket.h"
#include "cloud/fetch.h"
#include "cloud/http.h"

/* What an opened URL led to. */
typedef struct Opened {
    void *store;  /* the provider's own */
    char *name;   /* for messages: "s3://BUCKET"; the caller frees it */
    char *prefix; /* what follows in the URL, without slashes at its ends; the caller frees it */
} Opened;

/* A new object. */
typedef struct Content {
    const char *key;
    bool replace;             /* else never in the place of another */
    const char *const *tags;  /* "KEY=VALUE", ended by NULL; or NULL: the settings' */
    const char *plain_sha256; /* or NULL */
} Content;

/* An upload in parts. */
typedef struct Parts {
    char *id;         /* the store's; whatever else parts_begin wants to remember */
    StrList receipts; /* of each part in order: what parts_finish must show (ETag, block id) */
    int64_t size;     /* of all parts so far */
    char *digest;     /* of the provider's own use */
    Digest *whole;    /* of all parts so far, if the provider keeps one */
} Parts;

typedef struct ListEntry {
    char *key;
    ObjectInfo info;
} ListEntry;

typedef struct ListPage {
    ListEntry *entries;
    size_t count, room;
    char *token; /* in: where to go on, NULL for the first page; out: the same, NULL after the last.
                    Replaced by the provider, freed by the caller */
} ListPage;

typedef struct Provider {
    const char *name;        /* as the option cloud_provider has it: "aws-s3" */
    const char *ca_variable; /* of the environment: names a CA file when the settings do not */

    /* Is this URL one of ours? */
    bool (*is_url)(const char *url);

    /* bucket_open. Copies of the settings what it keeps; http lives longer than the store. */
    int (*open)(const char *url, const BucketSettings *settings, Http *http, Opened *ret_opened);
    void (*close)(void *store);
    char *(*place)(const void *store); /* bucket_place */

    int (*check)(void *store, int64_t deadline);  /* bucket_check */
    int (*create)(void *store, int64_t deadline); /* bucket_create */
    int (*head)(void *store, const char *key, int64_t deadline, ObjectInfo *ret_info);

    /* Feeds the fetch: fetch_begin for each 2xx answer, then fetch_take as sink. Each try asks for
     * what follows fetch->offset, and for fetch->version only. OBJECT_MISSING. Whether all came is
     * checked by the caller. */
    int (*get)(void *store, Fetch *fetch, int64_t deadline);

    /* The whole object in one request; UPLOAD_EXISTS. */
    int (*put)(void *store, const Content *content, const void *data, size_t size,
               int64_t deadline);

    /* The same in parts. parts_put adds a receipt; parts_finish may answer UPLOAD_EXISTS;
     * parts_abort throws them away and reports nothing. */
    int64_t part_min;  /* bytes; only the last part may be smaller */
    int64_t part_unit; /* ... or no multiple of this many bytes; 0: of any size */
    size_t parts_most; /* how many there may be */
    int (*parts_begin)(void *store, const Content *content, int64_t deadline, Parts *parts);
    int (*parts_put)(void *store, const Content *content, Parts *parts, const void *data,
                     size_t size, int64_t deadline);
    int (*parts_finish)(void *store, const Content *content, Parts *parts, int64_t deadline);
    void (*parts_abort)(void *store, const Content *content, Parts *parts);

    /* One page of bucket_list: list_add for each object, and the token. start_after counts for the
     * first page; a provider without such a thing may begin earlier. */
    int (*list)(void *store, const char *prefix, const char *start_after, ListPage *page,
                int64_t deadline);

    /* bucket_remove of at most batch_max keys. */
    size_t batch_max;
    int (*remove)(void *store, ObjectRemoval *batch, size_t count, int64_t deadline);
} Provider;

extern const Provider s3_provider, azure_provider, gcs_provider;

/* For providers: appends to the page, and returns the entry to be completed. Copies the key. */
ListEntry *list_add(ListPage *page, const char *key);

/* "2026-11-21T13:11:33.000Z" or "Sat, 21 Nov 2026 13:11:33 GMT"; 0 when it is neither. */
time_t cloud_time_parse(const char *text);

/* Takes over a SHA-256 that an object carries, if it is one: 64 hexadecimal digits. */
void cloud_sha256_copy(const char *text, ObjectInfo *info);

#endif
