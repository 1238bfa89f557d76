/* SPDX-License-Identifier: PostgreSQL
 * What bucket.c and upload.c share. */
#ifndef WALDEN_CLOUD_INTERNAL_H
#define WALDEN_CLOUD_INTERNAL_H

#include "cloud/provider.h"

struct Bucket {
    const Provider *provider;
    void *store; /* the provider's */
    Http *http;
    char *name;
    int64_t part_size;
    pthread_t loader; /* of libcurl, while loading */
    bool loading;
};

#endif
