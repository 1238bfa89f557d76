/* SPDX-License-Identifier: PostgreSQL
 * The single sources of Amazon's keys, for credentials.c. */
#ifndef WALDEN_CLOUD_CREDENTIALS_PARTS_H
#define WALDEN_CLOUD_CREDENTIALS_PARTS_H

#include "cloud/credentials.h"

/* What a profile says: "name" and "value" in turn, names in lower case. */
typedef struct AwsProfile {
    char *name;
    bool named;     /* somebody asked for it: then it must be there */
    bool by_option; /* ... on the command line or in the configuration: then the environment's keys
                       and identity do not count */
    StrList settings;
} AwsProfile;

void aws_profile_done(AwsProfile *profile);

/* ~/.aws/credentials and ~/.aws/config, or those named by the environment; the former counts for
 * more. PROFILE_MISSING when neither has it. */
enum { PROFILE_MISSING = 1 };
int aws_profile_read(AwsProfile *profile);
const char *aws_profile_setting(const AwsProfile *profile, const char *name);

/* Keys, and until when they are good: 0 for ever. */
typedef struct AwsGrant {
    AwsKeys keys;
    time_t expires;
} AwsGrant;

/* Each of these answers GRANT_NONE when the source is not set up here. */
enum { GRANT_NONE = 1 };
int grant_from_environment(AwsGrant *ret_grant);
int grant_from_profile(const AwsProfile *profile, AwsGrant *ret_grant);
int grant_from_program(const AwsProfile *profile, int64_t deadline, AwsGrant *ret_grant);
int grant_from_role(const AwsProfile *profile, Http *http, Http *local, int64_t deadline,
                    AwsGrant *ret_grant);
int grant_from_web_identity(const AwsProfile *profile, Http *http, int64_t deadline,
                            AwsGrant *ret_grant);
int grant_from_container(Http *http, int64_t deadline, AwsGrant *ret_grant);
int grant_from_machine(Http *http, int64_t deadline, AwsGrant *ret_grant);

/* A variable of the environment; NULL also when it is empty. */
const char *aws_variable(const char *name);

/* A question to a service that gives out keys, and its answer with status 200. `service` is for
 * messages. */
typedef struct AwsQuestion {
    const char *method, *url;
    const char *body; /* or NULL */
    bool local;       /* as in HttpRequest */
    StrList headers;
} AwsQuestion;

int aws_ask(Http *http, AwsQuestion *question, const char *service, int64_t deadline,
            HttpAnswer *ret_answer);

static inline void
auto_aws_question(AwsQuestion *question)
{
    strlist_done(&question->headers);
}

#endif
