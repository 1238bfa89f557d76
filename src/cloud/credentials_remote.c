/* SPDX-License-Identifier: PostgreSQL
 * Keys that a metadata service gives out for some time: a container's, or a machine's. What they
 * answer is secret: of an answer that cannot be used, messages have the status only. */
#include "cloud/credentials_parts.h"

#include "base/clock.h"
#include "base/file.h"
#include "cloud/provider.h"
#include "cloud/retry.h"
#include "cloud/sign_v4.h"

#include <jansson.h>

enum { TOKEN_MAX = 64 << 10 };

static const char machine_url[] = "http://169.254.169.254";
static const char container_url[] = "http://169.254.170.2";

static int
prepare(void *context, HttpRequest *request)
{
    const AwsQuestion *question = context;
    request->url = mem_dup(question->url);
    for (size_t i = 0; i < question->headers.count; i++)
        strlist_add(&request->headers, question->headers.items[i]);
    return 0;
}

int
aws_ask(Http *http, AwsQuestion *question, const char *service, int64_t deadline,
        HttpAnswer *ret_answer)
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
container_header(StrList *headers)
{
    const char *file = aws_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    AUTO(str) Str text = {0};
    if (file) {
        TRY(wrap(file_read_text(file, TOKEN_MAX, &text), "credentials of the container"));
        token = str_text(&text);
    }
    if (token && token[strcspn(token, "\r\n")])
        return fail(ERR_CONFIG, "the authorization token of the container has a line end in it");
    if (token)
        strlist_addf(headers, "Authorization: %s", token);
    return 0;
}

int
grant_from_container(Http *http, int64_t deadline, AwsGrant *ret_grant)
{
    static const char service[] = "the container's metadata service";
    const char *relative = aws_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative && !full)
        return GRANT_NONE;
    AUTO(free) char *url = relative ? mem_printf("%s%s", container_url, relative) : mem_dup(full);
    AUTO(aws_question) AwsQuestion question = {.method = "GET", .url = url, .local = true};
    AUTO(answer) HttpAnswer answer = {0};
    if (!may_be_asked(url))
        return fail(ERR_CONFIG, "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor near");
    TRY(container_header(&question.headers));
    TRY(aws_ask(http, &question, service, deadline, &answer));
    return read_json(&answer, service, ret_grant);
}

/* One answer of the machine's metadata service as text, without what follows its first line. */
static int
ask_machine(Http *http, const char *method, const char *path, const char *header, int64_t deadline,
            HttpAnswer *ret_answer)
{
    const char *base = aws_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    AUTO(free) char *place = mem_dup(base ? base : machine_url);
    if (str_ends(place, "/"))
        place[strlen(place) - 1] = '\0';
    AUTO(free) char *url = mem_printf("%s/latest/%s", place, path);
    AUTO(aws_question) AwsQuestion question = {.method = method, .url = url, .local = true};
    strlist_add(&question.headers, header);
    return aws_ask(http, &question, "the machine's metadata service", deadline, ret_answer);
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
    const char *disabled = aws_variable("AWS_EC2_METADATA_DISABLED");
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
