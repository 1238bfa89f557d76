/* SPDX-License-Identifier: PostgreSQL
 * Which source of keys is used, and for how long its keys are good. The first source that is set up
 * is the one; if it fails, that is the failure: no other account is tried in its place. The order
 * is botocore's. */
#include "cloud/credentials_parts.h"

#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>

enum {
    RENEW_BEFORE = 5 * 60,      /* seconds before they expire */
    RENEW_PAUSE_MS = 60 * 1000, /* between tries to renew keys that are still good */
    LOCAL_CONNECT_MS = 1000,
    LOCAL_IDLE_MS = 5000,
    LOCAL_TOTAL_MS = 20000,
    LOCAL_RETRIES = 1
};

struct Credentials {
    Http *http;
    Http *local; /* for metadata services: they are near, or not there */
    AwsProfile profile;
    pthread_mutex_t mutex;
    AwsGrant grant;
    bool known, lasting; /* there is a grant; it is of the environment, and there is no other */
    int64_t renew_after; /* clock_ms() of the next try to renew */
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
    const HttpLimits limits = {.connect_ms = LOCAL_CONNECT_MS,
                               .idle_ms = LOCAL_IDLE_MS,
                               .total_ms = LOCAL_TOTAL_MS,
                               .retries = LOCAL_RETRIES};
    AUTO(credentials) Credentials *credentials = mem_alloc(sizeof(*credentials));
    pthread_mutex_init(&credentials->mutex, NULL);
    credentials->http = http;
    credentials->local = http_new(NULL, &limits);
    const char *name = profile ? profile : getenv("AWS_PROFILE");
    credentials->profile.by_option = profile != NULL;
    credentials->profile.named = name && *name;
    credentials->profile.name = mem_dup(name && *name ? name : "default");
    int found = aws_profile_read(&credentials->profile);
    if (found < 0)
        return found;
    if (found == PROFILE_MISSING && credentials->profile.named)
        return fail(ERR_CONFIG, "the shared files of AWS have no profile '%s'",
                    credentials->profile.name);
    *ret_credentials = take(credentials);
    return 0;
}

void
credentials_free(Credentials *credentials)
{
    if (!credentials)
        return;
    aws_keys_done(&credentials->grant.keys);
    aws_profile_done(&credentials->profile);
    http_free(credentials->local);
    pthread_mutex_destroy(&credentials->mutex);
    free(credentials);
}

const char *
credentials_setting(const Credentials *credentials, const char *name)
{
    return aws_profile_setting(&credentials->profile, name);
}

static int
no_credentials(const char *also)
{
    return hint(
        fail(ERR_CONFIG, "there are no credentials for S3%s%s", also ? "; " : "", also ? also : ""),
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to "
        "~/.aws/credentials");
}

static int
find_grant(Credentials *credentials, int64_t deadline, AwsGrant *ret_grant)
{
    const AwsProfile *profile = &credentials->profile;
    int64_t soon = http_deadline(credentials->local);
    soon = soon < deadline ? soon : deadline;
    int result = profile->by_option ? GRANT_NONE : grant_from_environment(ret_grant);
    credentials->lasting = result == 0;
    if (result == GRANT_NONE)
        result =
            grant_from_role(profile, credentials->http, credentials->local, deadline, ret_grant);
    if (result == GRANT_NONE)
        result = grant_from_web_identity(profile, credentials->http, deadline, ret_grant);
    if (result == GRANT_NONE)
        result = grant_from_profile(profile, ret_grant);
    if (result == GRANT_NONE)
        result = grant_from_program(profile, deadline, ret_grant);
    if (result == GRANT_NONE)
        result = grant_from_container(credentials->local, soon, ret_grant);
    if (result != GRANT_NONE)
        return result;
    result = grant_from_machine(credentials->local, soon, ret_grant);
    if (result == GRANT_NONE)
        return no_credentials(NULL);
    bool silent = result < 0 && !credentials->known && error_last()->class != ERR_STOPPED;
    return silent ? no_credentials(error_last()->text) : result; /* most machines have no such */
}

/* The profile may have got new keys from some other program. */
static int
renew(Credentials *credentials, int64_t deadline)
{
    AwsProfile fresh = {.name = mem_dup(credentials->profile.name),
                        .named = credentials->profile.named};
    if (credentials->known && aws_profile_read(&fresh) == 0) {
        StrList old = credentials->profile.settings; /* settings that were handed out stay */
        credentials->profile.settings = fresh.settings;
        fresh.settings = old;
    }
    AwsGrant grant = {0};
    int result = find_grant(credentials, deadline, &grant);
    if (result == 0) {
        aws_keys_done(&credentials->grant.keys);
        credentials->grant = grant;
        credentials->known = true;
    }
    aws_profile_done(&fresh);
    return result;
}

static int
make_current(Credentials *credentials, int64_t deadline)
{
    time_t now = time(NULL), expires = credentials->grant.expires;
    if (credentials->known && (!expires || now < expires - RENEW_BEFORE ||
                               (now < expires && clock_ms() < credentials->renew_after)))
        return 0;
    credentials->renew_after = clock_ms() + RENEW_PAUSE_MS;
    int result = renew(credentials, deadline);
    if (result < 0 && credentials->known && now < expires) {
        log_warning("credentials for S3 expire soon and cannot be renewed yet: %s",
                    error_last()->text);
        return 0;
    }
    return result;
}

int
credentials_get(Credentials *credentials, int64_t deadline, AwsKeys *ret_keys)
{
    pthread_mutex_lock(&credentials->mutex);
    int result = make_current(credentials, deadline);
    if (result == 0) {
        const AwsKeys *keys = &credentials->grant.keys;
        *ret_keys = (AwsKeys){.access_key = mem_dup(keys->access_key),
                              .secret_key = mem_dup(keys->secret_key),
                              .session_token = mem_dup(keys->session_token)};
    }
    pthread_mutex_unlock(&credentials->mutex);
    return result;
}

bool
credentials_renew(Credentials *credentials, const AwsKeys *expired)
{
    pthread_mutex_lock(&credentials->mutex);
    const AwsKeys *keys = &credentials->grant.keys;
    bool others = !credentials->lasting;
    if (others && credentials->known && strcmp(keys->access_key, expired->access_key) == 0) {
        credentials->grant.expires = 1; /* long ago */
        credentials->renew_after = 0;
    }
    pthread_mutex_unlock(&credentials->mutex);
    return others;
}
