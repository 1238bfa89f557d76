/* SPDX-License-Identifier: PostgreSQL
 * Amazon's Signature Version 4 and Google's dialect of it: pure functions. A request is signed as
 * it will be sent, so path and query are written here, too, in the one form that every verifier
 * agrees on. */
#ifndef WALDEN_CLOUD_SIGN_V4_H
#define WALDEN_CLOUD_SIGN_V4_H

#include "base/error.h"
#include "base/str.h"

/* Appends the text with everything percent-encoded but A-Z a-z 0-9 - _ . ~ and, with keep_slash,
 * the slash. */
void uri_encode(const char *text, bool keep_slash, Str *out);

/* Decodes %XX; what is no such thing is left alone. In place. */
void uri_decode(char *text);

/* The query string in the order of its names, each "name=value" encoded; "" for none. pairs: name,
 * value, name, value... */
void sign_v4_query(const StrList *pairs, Str *out);

/* What differs: the names. */
typedef struct SignDialect {
    const char *name;    /* before "-HMAC-SHA256" and before the secret */
    const char *request; /* ends the scope */
    const char *headers; /* what the store's own headers begin with */
} SignDialect;

extern const SignDialect sign_amazon, sign_google;

typedef struct SignV4 {
    const SignDialect *dialect;
    const char *access_key, *secret_key;
    const char *region, *service;
    time_t now;
} SignV4;

/* Adds x-amz-date or x-goog-date and Authorization to the headers ("Name: value"; all of them are
 * signed). path is encoded, query as sign_v4_query writes it, host is what the Host header will be
 * (with the port unless it is the usual one), payload the value of x-amz-content-sha256. */
int sign_v4(const SignV4 *with, const char *method, const char *host, const char *path,
            const char *query, const char *payload, StrList *headers);

/* Parts of the above, for tests against the published vectors. headers: with host and date. */
void sign_v4_canonical(const char *method, const char *path, const char *query,
                       const StrList *headers, const char *payload, Str *out, Str *signed_names);
int sign_v4_signature(const SignV4 *with, const char *canonical, char *ret_hex);

#endif
