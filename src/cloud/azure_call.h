/* SPDX-License-Identifier: PostgreSQL
 * What the files of the Azure provider share: the store, and a call to it. */
#ifndef WALDEN_CLOUD_AZURE_CALL_H
#define WALDEN_CLOUD_AZURE_CALL_H

#include "cloud/azure_auth.h"
#include "cloud/provider.h"

#define AZURE_SHA256_HEADER "x-ms-meta-waldensha256" /* C would take the name, so Azure does */

typedef struct AzureStore {
    Http *http;
    AzureAccount *account;
    char *origin; /* "https://HOST:PORT" */
    char *path;   /* of the container, encoded, with a slash before it */
    char *name;   /* for messages */
    char *tier, *scope;
    StrList tags;
} AzureStore;

/* One operation, from its first try to its last. */
typedef struct AzureCall {
    const AzureStore *store;
    const char *what; /* is tried, for messages */
    const char *key;  /* NULL: the container */
    StrList query;    /* name, value... */
    StrList headers;
    Fetch *fetch; /* of a download */
    int64_t deadline;
    char *token; /* of the last try */
    bool renewed;
    HttpAnswer answer;
} AzureCall;

void azure_call_done(AzureCall *call);

static inline void
auto_azure_call(AzureCall *call)
{
    azure_call_done(call);
}

void azure_add_query(AzureCall *call, const char *name, const char *value);

/* Makes the call; the answer is call->answer, whatever its status. */
int azure_run(AzureCall *call, HttpRequest request);

/* Does the answer carry this error code? */
bool azure_has_code(const HttpAnswer *answer, const char *code);

/* The store itself says that the blob is not there; the container is. */
bool azure_is_missing(const HttpAnswer *answer);

/* Fails with what the answer says, which is no success and none of the call's own outcomes. */
int azure_refused(const AzureCall *call);

/* azure_write.c: see Provider. */
int azure_put(void *store, const Content *content, const void *data, size_t size, int64_t deadline);
int azure_parts_begin(void *store, const Content *content, int64_t deadline, Parts *parts);
int azure_parts_put(void *store, const Content *content, Parts *parts, const void *data,
                    size_t size, int64_t deadline);
int azure_parts_finish(void *store, const Content *content, Parts *parts, int64_t deadline);
void azure_parts_abort(void *store, const Content *content, Parts *parts);

/* azure.c: see Provider. */
int azure_head(void *store, const char *key, int64_t deadline, ObjectInfo *ret_info);

#endif
