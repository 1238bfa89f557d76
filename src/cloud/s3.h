/* SPDX-License-Identifier: PostgreSQL
 * What the files of the S3 provider share: the opened bucket, and a signed request. */
#ifndef WALDEN_CLOUD_S3_H
#define WALDEN_CLOUD_S3_H

#include "cloud/credentials.h"
#include "cloud/digest.h"
#include "cloud/provider.h"
#include "cloud/sign_v4.h"

#include <pthread.h>
#include <stdatomic.h>

/* Where requests go, and for which region they are signed. */
typedef struct S3Place {
    const char *region;
    const char *origin; /* "https://HOST:PORT", with the bucket in it for the virtual style */
    const char *host;   /* the same for the Host header */
} S3Place;

typedef struct S3 {
    Arena *arena; /* of all the strings */
    Http *http;
    Credentials *credentials;
    const char *name; /* "s3://BUCKET" */
    const char *bucket;
    _Atomic(const S3Place *) place; /* may be another one when the store says so: see s3_move */
    pthread_mutex_t moving;         /* held by whoever makes a new place */
    const char *path;               /* what comes before the key, encoded: "/BUCKET/" or "/" */
    const char *endpoint;           /* scheme and host of another server; NULL: Amazon's */
    bool virtual_style;             /* the bucket is part of the host's name */
    bool google;                    /* Google's interface, with HMAC keys */
    const SignDialect *dialect;     /* ... takes its own signatures and headers */
    const char *storage_class, *encryption, *kms_key;
    const char *customer_key, *customer_key_md5; /* base64 */
    const char *tags;                            /* encoded for the header */
    atomic_bool no_conditions;                   /* If-None-Match is not implemented there */
    atomic_bool no_batches;                      /* nor is the removal of many */
    atomic_bool wants_md5;                       /* ahead of each body, as it has said */
} S3;

/* What a store says when it refuses. */
typedef struct S3Error {
    char code[64];
    char message[512];
    char region[64]; /* where the bucket is, if that is the matter */
} S3Error;

typedef struct S3Request {
    S3 *s3;
    const char *what; /* for messages: "write" */
    const char *method;
    const char *key; /* NULL: the bucket itself */
    StrList query;   /* name, value, name, value... */
    StrList headers; /* "Name: value" */
    const void *body;
    size_t body_size;
    bool sums_body;    /* makes its MD5, too */
    bool sends_md5;    /* ... as a header ahead of it; also set by s3_run, where it must be */
    Fetch *fetch;      /* gets the body; or NULL */
    size_t text_max;   /* see HttpRequest */
    bool judges_200;   /* an error may come with the status 200 */
    int retries;       /* as Call's; set to -1 by s3_request */
    bool despite_stop; /* as HttpRequest's */
    bool looks;        /* whether the key is free, before each try: where that is no condition */
    /* set by s3_run */
    int looked;                        /* how often */
    bool taken;                        /* it was not free, by which s3_run has failed */
    unsigned char sha256[SHA256_SIZE]; /* of the body */
    char payload[SHA256_HEX_ROOM];     /* the same, for the signature */
    unsigned char md5[MD5_SIZE];       /* of the body, if sums_body */
    pthread_t summer;                  /* makes it, while summing */
    bool summing, summed;
    int64_t deadline;
    AwsKeys keys;
    const S3Place *place;
    bool renewed, moved;
} S3Request;

/* A request to be filled in further. */
S3Request s3_request(S3 *s3, const char *what, const char *method, const char *key);
void s3_request_done(S3Request *request);

static inline void
auto_s3_request(S3Request *request)
{
    s3_request_done(request);
}

void s3_query(S3Request *request, const char *name, const char *value);

/* Signs, sends, tries again. 0: ret_answer is there, whatever its status; <0 with the object named.
 * The answer must be given back in any case. */
int s3_run(S3Request *request, int64_t deadline, HttpAnswer *ret_answer);

/* Code, message and region of an answer's body; empty where it has none. */
void s3_error_parse(const HttpAnswer *answer, S3Error *ret_error);

/* Records the failure that the answer tells of. Returns <0. */
int s3_failure(const S3Request *request, const HttpAnswer *answer);

/* The same for a code that came in another way. */
int s3_failure_of(const S3Request *request, const HttpAnswer *answer, const S3Error *error);

/* Appends "'s3://BUCKET/KEY'". Free it. */
char *s3_object_name(const S3 *s3, const char *key);

/* One of the store's own headers, x-amz-NAME or x-goog-NAME: of a request (nothing is added for
 * NULL), of an answer. */
void s3_add_header(const S3 *s3, const char *name, const char *value, StrList *headers);
const char *s3_header(const S3 *s3, const char *name, const HttpAnswer *answer);

/* Headers of requests that make an object, and of those that need the customer's key to read it. */
int s3_write_headers(S3Request *request, const Content *content);
void s3_customer_headers(S3Request *request);

/* Is the ETag of this answer the MD5 of what was sent or is read? Then copies it, without quotes.
 * MD5_HEX_ROOM bytes. */
bool s3_etag_md5(const S3 *s3, const HttpAnswer *answer, char *ret_md5);

/* Fails if the store says that it has something else (`what`) than the request's body. */
int s3_compare_etag(const S3Request *request, const HttpAnswer *answer, const char *what);

/* The bucket is in another region than `from` takes it to be: true when there is another place to
 * ask now. At Amazon that is another host, whose name is made here; elsewhere the same host, with
 * other signatures. */
bool s3_move(S3 *s3, const S3Place *from, const char *region);

/* Makes the request conditional on the key being free. */
void s3_condition(S3Request *request);

/* The store does not know such a thing: remembered, and logged once. */
void s3_without_conditions(S3 *s3);

/* Is the key free? UPLOAD_EXISTS when not. By one HEAD, which takes a missing bucket for a free
 * key: whoever writes next is told. */
int s3_look_before(S3 *s3, const char *key, int64_t deadline);

/* Provider's functions that are in files of their own. */
int s3_open(const char *url, const BucketSettings *settings, Http *http, Opened *ret_opened);
void s3_close(void *store);
char *s3_place(const void *store);
int s3_head(void *store, const char *key, int64_t deadline, ObjectInfo *ret_info);
int
s3_list(void *store, const char *prefix, const char *start_after, ListPage *page, int64_t deadline);
int s3_remove(void *store, ObjectRemoval *batch, size_t count, int64_t deadline);
int s3_parts_begin(void *store, const Content *content, int64_t deadline, Parts *parts);
int s3_parts_put(void *store, const Content *content, Parts *parts, const void *data, size_t size,
                 int64_t deadline);
int s3_parts_finish(void *store, const Content *content, Parts *parts, int64_t deadline);
void s3_parts_abort(void *store, const Content *content, Parts *parts);

#endif
