/* SPDX-License-Identifier: PostgreSQL
 * Azure's Shared Key: what of a request is signed, and how. */
#ifndef WALDEN_CLOUD_AZURE_SIGN_H
#define WALDEN_CLOUD_AZURE_SIGN_H

#include "base/error.h"
#include "base/str.h"

typedef struct AzureSigned {
    const char *account;
    const char *method;
    const char *path;       /* of the URL, percent-encoded as it is sent */
    const StrList *query;   /* name, value, name, value..., not encoded */
    const StrList *headers; /* "Name: value"; x-ms-date and x-ms-version are among them */
    size_t body_size;
} AzureSigned;

/* Appends the text whose signature goes into the header. */
void azure_text_to_sign(const AzureSigned *request, Str *text);

/* Appends "SharedKey ACCOUNT:SIGNATURE" for it. key: as Azure shows it, in base64. ERR_CONFIG. */
int azure_sign(const AzureSigned *request, const char *key, Str *value);

#endif
