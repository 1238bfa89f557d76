/* SPDX-License-Identifier: PostgreSQL
 * A download under way: what has come so far, and whether what comes is its continuation. */
#ifndef WALDEN_CLOUD_FETCH_H
#define WALDEN_CLOUD_FETCH_H

#include "base/sink.h"
#include "cloud/bucket.h"
#include "cloud/digest.h"
#include "cloud/http.h"

typedef struct Fetch Fetch;

struct Fetch {
    const char *key;
    int64_t offset;             /* bytes that the sink has had: where the next try begins */
    int64_t size;               /* of the whole object; -1 before the first answer */
    const char *version_header; /* the store's, in lower case; NULL: "etag" */
    char *version;              /* in the first answer; NULL before, or when the store gives none */
    char md5[MD5_HEX_ROOM];     /* of the whole, as the store says; "" when it does not */
    Digest *digest;             /* of what has come, if there is an MD5 to compare */
    ObjectInfo info;            /* of the first answer */
    /* The provider's: reads the first answer's headers into info and md5. */
    void (*on_first)(Fetch *fetch, const HttpAnswer *answer);
    void *provider; /* its own, for on_first */
    Sink *sink;
    void *context;
};

void fetch_done(Fetch *fetch);

/* As HttpBegin, context is the Fetch: an answer's headers are there. A first one is remembered, a
 * later one must continue exactly where the first broke off, of the same object. */
int fetch_begin(void *fetch, const HttpAnswer *answer);

/* A Sink; context is the Fetch. */
int fetch_take(void *fetch, const void *data, size_t size);

/* All is there, and it is what the store says it has? */
int fetch_finish(Fetch *fetch);

/* Adds Range for the next try, if there was one before, and If-Match where the version is the ETag.
 */
void fetch_headers(const Fetch *fetch, StrList *headers);

#endif
