/* SPDX-License-Identifier: PostgreSQL
 * Keys that a service gives out for some time: Amazon's token service for a web identity, the
 * metadata services of containers and of machines. What they answer is secret: of an answer that
 * cannot be used, messages have the status only. */
#include "cloud/credentials_parts.h"

#include "base/clock.h"
#include "base/file.h"
#include "cloud/provider.h"
#include "cloud/retry.h"
#include "cloud/sign_v4.h"
#include "cloud/xml.h"

#include <jansson.h>

enum { TOKEN_MAX = 64 << 10 };

static const char machine_url[] = "http://169.254.169.254";
static const char container_url[] = "http://169.254.170.2";

/* A request as it is, whatever its try. */
typedef struct Question {
    const char *method, *url;
    const char *header; /* or NULL */
    const char *body;   /* or NULL */
    bool local;
} Question;

static int
prepare(void *context, HttpRequest *request)
{
    const Question *question = context;
    request->url = mem_dup(question->url);
    if (question->header)
        strlist_add(&request->headers, question->header);
    if (question->body)
        strlist_add(&request->headers, "Content-Type: application/x-www-form-urlencoded");
    return 0;
}

static int
ask(Http *http, Question *question, const char *service, int64_t deadline, HttpAnswer *ret_answer)
{
    Call call = {.request = {.method = question->method,
                             .body = question->body,
                             .body_size = question->body ? strlen(question->body) : 0,
                             .local = question->local},
                 .prepare = prepare,
                 .context = question,
                 .deadline = deadline,
                 .retries = -1};
    TRY(wrap(call_run(http, &call, ret_answer), "ask %s for credentials", service));
    if (ret_answer->status == 200)
        return 0;
    return fail(ret_answer->status >= 500 ? ERR_IO : ERR_CONFIG,
                "ask %s for credentials: it answered with status %d", service, ret_answer->status);
}

static const char *
variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* {"AccessKeyId": ..., "SecretAccessKey": ..., "Token": ..., "Expiration": ...} */
static int
read_json(const HttpAnswer *answer, const char *service, AwsGrant *ret_grant)
{
    json_t *root = json_loadb(str_text(&answer->text), answer->text.length, 0, NULL);
    const char *access_key = json_string_value(json_object_get(root, "AccessKeyId"));
    const char *secret_key = json_string_value(json_object_get(root, "SecretAccessKey"));
    const char *token = json_string_value(json_object_get(root, "Token"));
    const char *expires = json_string_value(json_object_get(root, "Expiration"));
    bool good = access_key && secret_key;
    if (good)
        *ret_grant = (AwsGrant){.keys = {.access_key = mem_dup(access_key),
                                         .secret_key = mem_dup(secret_key),
                                         .session_token = mem_dup(token)},
                                .expires = expires ? cloud_time_parse(expires) : 0};
    json_decref(root);
    return good ? 0 : fail(ERR_IO, "ask %s for credentials: its answer has none", service);
}

static char *
token_service_url(const AwsProfile *profile)
{
    const char *url = variable("AWS_ENDPOINT_URL_STS");
    url = url ? url : variable("AWS_ENDPOINT_URL");
    if (url)
        return mem_dup(url);
    const char *region = variable("AWS_REGION");
    region = region ? region : variable("AWS_DEFAULT_REGION");
    region = region ? region : aws_profile_setting(profile, "region");
    if (!region)
        return mem_dup("https://sts.amazonaws.com");
    return mem_printf("https://sts.%s.amazonaws.com%s", region,
                      str_starts(region, "cn-") ? ".cn" : "");
}

static int
on_grant_element(void *context, const char *path, const char *text)
{
    static const char root[] =
        "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/";
    AwsGrant *grant = context;
    assert(grant);
    if (!str_starts(path, root))
        return 0;
    path += strlen(root);
    char **field = strcmp(path, "AccessKeyId") == 0       ? &grant->keys.access_key
                   : strcmp(path, "SecretAccessKey") == 0 ? &grant->keys.secret_key
                   : strcmp(path, "SessionToken") == 0    ? &grant->keys.session_token
                                                          : NULL;
    if (field) {
        free(*field);
        *field = mem_dup(text);
    } else if (strcmp(path, "Expiration") == 0) {
        grant->expires = cloud_time_parse(text);
    }
    return 0;
}

static int
assume_role(Http *http, const AwsProfile *profile, const char *role, const char *token,
            int64_t deadline, AwsGrant *ret_grant)
{
    static const char service[] = "the token service";
    const char *session = variable("AWS_ROLE_SESSION_NAME");
    AUTO(free) char *url = token_service_url(profile);
    AUTO(str) Str body = {0};
    AUTO(answer) HttpAnswer answer = {0};
    str_append(&body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=");
    uri_encode(role, false, &body);
    str_append(&body, "&RoleSessionName=");
    uri_encode(session ? session : "walden", false, &body);
    str_append(&body, "&WebIdentityToken=");
    uri_encode(token, false, &body);
    Question question = {.method = "POST", .url = url, .body = body.data};
    TRY(hint(ask(http, &question, service, deadline, &answer),
             "check the role and whether it trusts the identity in the token file"));
    AwsGrant grant = {0};
    if (xml_parse(answer.text.data, answer.text.length, on_grant_element, &grant) == 0 &&
        grant.keys.access_key && grant.keys.secret_key) {
        *ret_grant = grant;
        return 0;
    }
    aws_keys_done(&grant.keys);
    return fail(ERR_IO, "ask %s for credentials: its answer has none", service);
}

int
grant_from_web_identity(const AwsProfile *profile, Http *http, int64_t deadline,
                        AwsGrant *ret_grant)
{
    const char *file = variable("AWS_WEB_IDENTITY_TOKEN_FILE"), *role = variable("AWS_ROLE_ARN");
    if (!file) {
        file = aws_profile_setting(profile, "web_identity_token_file");
        role = aws_profile_setting(profile, "role_arn");
    }
    if (!file)
        return GRANT_NONE;
    if (!role)
        return fail(ERR_CONFIG, "there is a web identity, but no role to assume (AWS_ROLE_ARN)");
    AUTO(str) Str token = {0};
    TRY(wrap(file_read_text(file, TOKEN_MAX, &token), "credentials by web identity"));
    while (token.length && strchr(" \t\r\n", token.data[token.length - 1]))
        token.data[--token.length] = '\0';
    return assume_role(http, profile, role, str_text(&token), deadline, ret_grant);
}

/* The token for it must not go to just any place in the clear. */
static bool
may_be_asked(const char *url)
{
    static const char *const near[] = {"http://127.0.0.", "http://localhost", "http://[::1]",
                                       "http://169.254.170.2", "http://[fd00:ec2::23]"};
    if (str_starts(url, "https://"))
        return true;
    for (size_t i = 0; i < COUNT_OF(near); i++) {
        const char *rest = str_starts(url, near[i]) ? url + strlen(near[i]) : NULL;
        size_t digits = rest ? strspn(rest, "0123456789") : 0;
        if (rest && (!rest[digits] || strchr(":/", rest[digits])))
            return true;
    }
    return false;
}

static int
container_header(char **ret_header)
{
    const char *file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    AUTO(str) Str text = {0};
    if (file) {
        TRY(wrap(file_read_text(file, TOKEN_MAX, &text), "credentials of the container"));
        token = str_text(&text);
    }
    if (token && token[strcspn(token, "\r\n")])
        return fail(ERR_CONFIG, "the authorization token of the container has a line end in it");
    *ret_header = token ? mem_printf("Authorization: %s", token) : NULL;
    return 0;
}

int
grant_from_container(Http *http, int64_t deadline, AwsGrant *ret_grant)
{
    static const char service[] = "the container's metadata service";
    const char *relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative && !full)
        return GRANT_NONE;
    AUTO(free) char *url = relative ? mem_printf("%s%s", container_url, relative) : mem_dup(full);
    AUTO(free) char *header = NULL;
    AUTO(answer) HttpAnswer answer = {0};
    if (!may_be_asked(url))
        return fail(ERR_CONFIG, "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor near");
    TRY(container_header(&header));
    Question question = {.method = "GET", .url = url, .header = header, .local = true};
    TRY(ask(http, &question, service, deadline, &answer));
    return read_json(&answer, service, ret_grant);
}

/* One answer of the machine's metadata service as text, without what follows its first line. */
static int
ask_machine(Http *http, const char *method, const char *path, const char *header, int64_t deadline,
            HttpAnswer *ret_answer)
{
    const char *base = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    AUTO(free) char *place = mem_dup(base ? base : machine_url);
    if (str_ends(place, "/"))
        place[strlen(place) - 1] = '\0';
    AUTO(free) char *url = mem_printf("%s/latest/%s", place, path);
    Question question = {.method = method, .url = url, .header = header, .local = true};
    return ask(http, &question, "the machine's metadata service", deadline, ret_answer);
}

static void
first_line(HttpAnswer *answer)
{
    if (answer->text.data)
        answer->text.data[strcspn(answer->text.data, "\r\n")] = '\0';
}

int
grant_from_machine(Http *http, int64_t deadline, AwsGrant *ret_grant)
{
    static const char service[] = "the machine's metadata service";
    static const char roles[] = "meta-data/iam/security-credentials/";
    const char *disabled = variable("AWS_EC2_METADATA_DISABLED");
    if (disabled && strcasecmp(disabled, "true") == 0)
        return GRANT_NONE;
    AUTO(answer) HttpAnswer token = {0};
    AUTO(answer) HttpAnswer role = {0};
    AUTO(answer) HttpAnswer answer = {0};
    TRY(ask_machine(http, "PUT", "api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600",
                    deadline, &token));
    first_line(&token);
    AUTO(free) char *header = mem_printf("X-Aws-Ec2-Metadata-Token: %s", str_text(&token.text));
    int result = ask_machine(http, "GET", roles, header, deadline, &role);
    if (result < 0)
        return role.status == 404 ? GRANT_NONE : result; /* a machine without a role */
    first_line(&role);
    AUTO(str) Str path = {0};
    str_append(&path, roles);
    uri_encode(str_text(&role.text), false, &path);
    TRY(ask_machine(http, "GET", path.data, header, deadline, &answer));
    return read_json(&answer, service, ret_grant);
}
