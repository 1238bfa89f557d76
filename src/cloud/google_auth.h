/* SPDX-License-Identifier: PostgreSQL
 * Google's application default credentials: the file that GOOGLE_APPLICATION_CREDENTIALS names,
 * that of somebody who logged in with gcloud, or the account of the machine. */
#ifndef WALDEN_CLOUD_GOOGLE_AUTH_H
#define WALDEN_CLOUD_GOOGLE_AUTH_H

#include "base/str.h"
#include "cloud/http.h"

typedef struct GoogleAuth GoogleAuth;

/* Reads the file, if there is one; nothing is asked yet. The http outlives it. ERR_CONFIG. */
int google_auth_open(Http *http, GoogleAuth **ret_auth);
void google_auth_free(GoogleAuth *auth);
AUTO_DEFINE(google_auth, GoogleAuth *, google_auth_free)

/* A token that is good now; free it. ERR_CONFIG when nobody gives one. */
int google_auth_get(GoogleAuth *auth, int64_t deadline, char **ret_token);

/* This token was refused. */
void google_auth_refused(GoogleAuth *auth, const char *token);

/* The project that new buckets belong to; free it. ERR_CONFIG when nobody says. */
int google_auth_project(GoogleAuth *auth, int64_t deadline, char **ret_project);

/* What a service account shows to get a token: a JSON Web Token for the audience, valid for an hour
 * from now on, signed with its key (PEM). Appends it to *jwt. ERR_CONFIG for a key that is none. */
int google_jwt(const char *email, const char *key_id, const char *key, const char *audience,
               time_t now, Str *jwt);

#endif
