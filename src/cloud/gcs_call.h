/* SPDX-License-Identifier: PostgreSQL
 * What the files of the Google provider share: the store, and a call to it. */
#ifndef WALDEN_CLOUD_GCS_CALL_H
#define WALDEN_CLOUD_GCS_CALL_H

#include "cloud/google_auth.h"
#include "cloud/json.h"
#include "cloud/provider.h"

#define GCS_SHA256 "walden-sha256" /* among an object's metadata */

typedef struct GcsStore {
    Http *http;
    GoogleAuth *auth; /* NULL: nobody asks who we are */
    char *origin;     /* "https://storage.googleapis.com" */
    char *bucket;
    char *name; /* for messages */
    char *storage_class, *kms_key;
    StrList tags;
} GcsStore;

/* One operation, from its first try to its last. */
typedef struct GcsCall {
    const GcsStore *store;
    const char *what; /* is tried, for messages */
    const char *key;  /* for messages, or NULL */
    Str url;          /* without query; or all of it: */
    bool session;     /* an upload's own URL: whoever has it is let in */
    StrList query;    /* name, value... */
    StrList headers;
    Fetch *fetch; /* of a download */
    int64_t deadline;
    int retries; /* as Call's */
    char *token; /* of the last try */
    bool renewed;
    HttpAnswer answer;
} GcsCall;

/* A call to a resource of the bucket: its objects' list, or the object under the key. */
GcsCall gcs_call(const GcsStore *store, const char *what, const char *key, int64_t deadline);

/* A call to another place: "/storage/v1/b". */
GcsCall gcs_call_to(const GcsStore *store, const char *what, const char *path, int64_t deadline);
void gcs_call_done(GcsCall *call);

static inline void
auto_gcs_call(GcsCall *call)
{
    gcs_call_done(call);
}

void gcs_add_query(GcsCall *call, const char *name, const char *value);

/* Makes the call; the answer is call->answer, whatever its status. */
int gcs_run(GcsCall *call, HttpRequest request);

/* Fails with what the answer says, which is no success and none of the call's own outcomes. */
int gcs_refused(const GcsCall *call);

/* The object in the answer to a call; json_decref it. */
int gcs_read(const GcsCall *call, json_t **ret_root);

/* gcs_write.c: see Provider. */
enum { GCS_UNIT = 256 << 10 }; /* parts are multiples of it */
int gcs_put(void *store, const Content *content, const void *data, size_t size, int64_t deadline);
int gcs_parts_begin(void *store, const Content *content, int64_t deadline, Parts *parts);
int gcs_parts_put(void *store, const Content *content, Parts *parts, const void *data, size_t size,
                  int64_t deadline);
int gcs_parts_finish(void *store, const Content *content, Parts *parts, int64_t deadline);
void gcs_parts_abort(void *store, const Content *content, Parts *parts);

#endif
