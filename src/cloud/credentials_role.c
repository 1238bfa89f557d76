/* SPDX-License-Identifier: PostgreSQL
 * Keys of a role, which Amazon's token service gives out for some time: for the token of a web
 * identity (Kubernetes), or for other keys that a profile names. What it answers is secret: of an
 * answer that cannot be used, messages have the status only. */
#include "cloud/credentials_parts.h"

#include "base/file.h"
#include "cloud/digest.h"
#include "cloud/provider.h"
#include "cloud/sign_v4.h"
#include "cloud/xml.h"

enum { TOKEN_MAX = 64 << 10 };

static const char service[] = "the token service";

static const char *
region_of(const AwsProfile *profile)
{
    const char *region = aws_variable("AWS_REGION");
    region = region ? region : aws_variable("AWS_DEFAULT_REGION");
    return region ? region : aws_profile_setting(profile, "region");
}

static char *
service_url(const AwsProfile *profile)
{
    const char *url = aws_variable("AWS_ENDPOINT_URL_STS");
    url = url ? url : aws_variable("AWS_ENDPOINT_URL");
    const char *region = region_of(profile);
    size_t length = url ? strlen(url) : 0;
    while (length && url[length - 1] == '/')
        length--;
    if (url)
        return mem_printf("%.*s/", (int)length, url);
    if (!region)
        return mem_dup("https://sts.amazonaws.com/");
    return mem_printf("https://sts.%s.amazonaws.com%s/", region,
                      str_starts(region, "cn-") ? ".cn" : "");
}

/* Credentials/AccessKeyId and so on, whichever the question was. */
static int
on_element(void *context, const char *path, const char *text)
{
    AwsGrant *grant = context;
    assert(grant);
    const char *name = strstr(path, "Result/Credentials/");
    if (!name)
        return 0;
    name += strlen("Result/Credentials/");
    char **field = strcmp(name, "AccessKeyId") == 0       ? &grant->keys.access_key
                   : strcmp(name, "SecretAccessKey") == 0 ? &grant->keys.secret_key
                   : strcmp(name, "SessionToken") == 0    ? &grant->keys.session_token
                                                          : NULL;
    if (field) {
        free(*field);
        *field = mem_dup(text);
    } else if (strcmp(name, "Expiration") == 0) {
        grant->expires = cloud_time_parse(text);
    }
    return 0;
}

static int
read_answer(const HttpAnswer *answer, AwsGrant *ret_grant)
{
    AwsGrant grant = {0};
    if (xml_parse(answer->text.data, answer->text.length, on_element, &grant) == 0 &&
        grant.keys.access_key && grant.keys.secret_key) {
        *ret_grant = grant;
        return 0;
    }
    aws_keys_done(&grant.keys);
    return fail(ERR_IO, "ask %s for credentials: its answer has none", service);
}

static void
add_parameter(Str *body, const char *name, const char *value)
{
    str_appendf(body, "&%s=", name);
    uri_encode(value, false, body);
}

/* Of the environment, unless a profile was given by an option; or of the profile. */
static const char *
identity_setting(const AwsProfile *profile, const char *variable, const char *name)
{
    const char *value = profile->by_option ? NULL : aws_variable(variable);
    return value ? value : aws_profile_setting(profile, name);
}

static int
ask_with_token(Http *http, const AwsProfile *profile, const char *role, const char *token,
               int64_t deadline, AwsGrant *ret_grant)
{
    const char *session = identity_setting(profile, "AWS_ROLE_SESSION_NAME", "role_session_name");
    AUTO(free) char *url = service_url(profile);
    AUTO(str) Str body = {0};
    AUTO(answer) HttpAnswer answer = {0};
    str_append(&body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
    add_parameter(&body, "RoleArn", role);
    add_parameter(&body, "RoleSessionName", session ? session : "walden");
    add_parameter(&body, "WebIdentityToken", token);
    AUTO(aws_question) AwsQuestion question = {.method = "POST", .url = url, .body = body.data};
    strlist_add(&question.headers, "Content-Type: application/x-www-form-urlencoded");
    TRY(hint(aws_ask(http, &question, service, deadline, &answer),
             "check the role and whether it trusts the identity in the token file"));
    return read_answer(&answer, ret_grant);
}

int
grant_from_web_identity(const AwsProfile *profile, Http *http, int64_t deadline,
                        AwsGrant *ret_grant)
{
    const char *file =
        identity_setting(profile, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
    const char *role = identity_setting(profile, "AWS_ROLE_ARN", "role_arn");
    if (!file)
        return GRANT_NONE;
    if (!role)
        return fail(ERR_CONFIG, "there is a web identity, but no role to assume (AWS_ROLE_ARN)");
    AUTO(str) Str token = {0};
    TRY(wrap(file_read_text(file, TOKEN_MAX, &token), "credentials by web identity"));
    while (token.length && strchr(" \t\r\n", token.data[token.length - 1]))
        token.data[--token.length] = '\0';
    return ask_with_token(http, profile, role, str_text(&token), deadline, ret_grant);
}

/* The keys with which the role is asked for. */
static int
find_source(const AwsProfile *profile, Http *local, int64_t deadline, AwsGrant *ret_grant)
{
    const char *name = aws_profile_setting(profile, "source_profile");
    const char *place = aws_profile_setting(profile, "credential_source");
    if (!name && !place)
        return fail(ERR_CONFIG, "the profile '%s' has a role, but no source_profile",
                    profile->name);
    if (!name)
        return strcasecmp(place, "Environment") == 0 ? grant_from_environment(ret_grant)
               : strcasecmp(place, "EcsContainer") == 0
                   ? grant_from_container(local, deadline, ret_grant)
               : strcasecmp(place, "Ec2InstanceMetadata") == 0
                   ? grant_from_machine(local, deadline, ret_grant)
                   : fail(ERR_CONFIG, "there is no credential_source '%s'", place);
    AwsProfile source = {.name = mem_dup(name)};
    int result = aws_profile_read(&source);
    if (result == 0)
        result = grant_from_profile(&source, ret_grant);
    if (result == GRANT_NONE)
        result = grant_from_program(&source, deadline, ret_grant);
    aws_profile_done(&source);
    return result;
}

/* Signs the question for the token service. */
static int
sign_question(const AwsProfile *profile, const AwsKeys *keys, AwsQuestion *question)
{
    const char *region = region_of(profile);
    const SignV4 with = {.dialect = &sign_amazon,
                         .access_key = keys->access_key,
                         .secret_key = keys->secret_key,
                         .region = region ? region : "us-east-1",
                         .service = "sts",
                         .now = time(NULL)};
    char hash[SHA256_HEX_ROOM];
    TRY(digest_hex_of(DIGEST_SHA256, question->body, strlen(question->body), hash));
    const char *scheme = strstr(question->url, "://");
    const char *host = scheme ? scheme + strlen("://") : question->url;
    const char *path = strchrnul(host, '/'); /* service_url has made one */
    AUTO(free) char *name = strndup(host, (size_t)(path - host));
    if (keys->session_token)
        strlist_addf(&question->headers, "X-Amz-Security-Token: %s", keys->session_token);
    return sign_v4(&with, question->method, name, path, "", hash, &question->headers);
}

static int
ask_with_keys(Http *http, const AwsProfile *profile, const AwsKeys *keys, int64_t deadline,
              AwsGrant *ret_grant)
{
    const char *session = aws_profile_setting(profile, "role_session_name");
    const char *external = aws_profile_setting(profile, "external_id");
    AUTO(free) char *url = service_url(profile);
    AUTO(str) Str body = {0};
    AUTO(answer) HttpAnswer answer = {0};
    str_append(&body, "Action=AssumeRole&Version=2011-06-15");
    add_parameter(&body, "RoleArn", aws_profile_setting(profile, "role_arn"));
    add_parameter(&body, "RoleSessionName", session ? session : "walden");
    if (external)
        add_parameter(&body, "ExternalId", external);
    AUTO(aws_question) AwsQuestion question = {.method = "POST", .url = url, .body = body.data};
    strlist_add(&question.headers, "Content-Type: application/x-www-form-urlencoded");
    TRY(sign_question(profile, keys, &question));
    TRY(hint(aws_ask(http, &question, service, deadline, &answer),
             "check the role and whether it trusts the user whose keys ask for it"));
    return read_answer(&answer, ret_grant);
}

int
grant_from_role(const AwsProfile *profile, Http *http, Http *local, int64_t deadline,
                AwsGrant *ret_grant)
{
    if (!aws_profile_setting(profile, "role_arn") ||
        aws_profile_setting(profile, "web_identity_token_file"))
        return GRANT_NONE;
    if (aws_profile_setting(profile, "mfa_serial"))
        return fail(ERR_CONFIG, "the role of the profile '%s' wants a code from somebody's device",
                    profile->name);
    AwsGrant source = {0};
    int result = find_source(profile, local, deadline, &source);
    if (result == GRANT_NONE)
        result = fail(ERR_CONFIG,
                      "there are no keys with which the role of the profile '%s' could "
                      "be asked for",
                      profile->name);
    if (result == 0)
        result = ask_with_keys(http, profile, &source.keys, deadline, ret_grant);
    aws_keys_done(&source.keys);
    return result;
}
