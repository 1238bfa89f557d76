/* SPDX-License-Identifier: PostgreSQL
 * Which source of keys is used, and for how long its keys are good. */
#include "cloud/credentials.h"

struct Credentials {
    Http *http;
};

void
aws_keys_done(AwsKeys *keys)
{
    free(keys->access_key);
    free(keys->secret_key);
    free(keys->session_token);
    *keys = (AwsKeys){0};
}

int
credentials_open(const char *profile, Http *http, Credentials **ret_credentials)
{
    (void)profile;
    Credentials *credentials = mem_alloc(sizeof(*credentials));
    credentials->http = http;
    *ret_credentials = credentials;
    return 0;
}

void
credentials_free(Credentials *credentials)
{
    free(credentials);
}

const char *
credentials_setting(const Credentials *credentials, const char *name)
{
    (void)credentials, (void)name;
    return NULL;
}

int
credentials_get(Credentials *credentials, int64_t deadline, AwsKeys *ret_keys)
{
    (void)credentials, (void)deadline;
    const char *access_key = getenv("AWS_ACCESS_KEY_ID");
    const char *secret_key = getenv("AWS_SECRET_ACCESS_KEY");
    if (!access_key || !secret_key)
        return hint(fail(ERR_CONFIG, "no credentials for S3"),
                    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    ret_keys->access_key = mem_dup(access_key);
    ret_keys->secret_key = mem_dup(secret_key);
    ret_keys->session_token = mem_dup(getenv("AWS_SESSION_TOKEN"));
    return 0;
}

bool
credentials_renew(Credentials *credentials, const AwsKeys *expired)
{
    (void)credentials, (void)expired;
    return false;
}
