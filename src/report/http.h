/* SPDX-License-Identifier: PostgreSQL
 * One page of text over HTTP, for monitoring systems. */
#ifndef WALDEN_REPORT_HTTP_H
#define WALDEN_REPORT_HTTP_H

#include "base/error.h"
#include "base/str.h"

typedef struct HttpPage {
    const char *path; /* "/metrics" */
    const char *content_type;
    int (*write)(void *context, Str *out); /* makes the page, for each request; a failure is told to
                                              who asked */
    void *context;
    void (*ready)(void *context); /* called once when it listens */
} HttpPage;

/* Serves until we are told to stop. address: "127.0.0.1:9187" or "[::1]:9187". One request after
 * the other, in this thread. ERR_USAGE when the address cannot be read. */
int http_serve(const char *address, const HttpPage *page);

#endif
