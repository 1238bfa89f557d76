/* SPDX-License-Identifier: PostgreSQL
 * Amazon's keys, from the places where its own tools look, in their order: environment, web
 * identity, shared files with profiles and roles, a program that the profile names, the container's
 * and the machine's metadata service. Keys that expire are fetched anew in time. Messages never
 * have a secret in them. */
#ifndef WALDEN_CLOUD_CREDENTIALS_H
#define WALDEN_CLOUD_CREDENTIALS_H

#include "cloud/http.h"

typedef struct Credentials Credentials;

typedef struct AwsKeys {
    char *access_key, *secret_key;
    char *session_token; /* or NULL */
} AwsKeys;

void aws_keys_done(AwsKeys *keys);

static inline void
auto_aws_keys(AwsKeys *keys)
{
    aws_keys_done(keys);
}

/* Reads the shared files; nothing is asked yet. profile: NULL for AWS_PROFILE, or "default"; a
 * profile that is given here counts for more than keys in the environment. The http, which outlives
 * it, is for Amazon's token service. ERR_CONFIG for a profile that was named and is nowhere. */
int credentials_open(const char *profile, Http *http, Credentials **ret_credentials);
void credentials_free(Credentials *credentials);
AUTO_DEFINE(credentials, Credentials *, credentials_free)

/* A setting of the profile in the shared files ("region", "endpoint_url"), or NULL. */
const char *credentials_setting(const Credentials *credentials, const char *name);

/* Keys that are good now; give them back. Waits until the deadline for a service that has to be
 * asked. ERR_CONFIG when there are none anywhere. */
int credentials_get(Credentials *credentials, int64_t deadline, AwsKeys *ret_keys);

/* The store says that these have expired: true when others may be had. */
bool credentials_renew(Credentials *credentials, const AwsKeys *expired);

#endif
