/* SPDX-License-Identifier: PostgreSQL
 * A request to Azure's storage, signed anew for each try, and what its answers mean. Keys, tokens
 * and signatures are in no message. */
#include "cloud/azure_call.h"

#include "cloud/retry.h"
#include "cloud/sign_v4.h"
#include "cloud/xml.h"

void
azure_call_done(AzureCall *call)
{
    strlist_done(&call->query);
    strlist_done(&call->headers);
    free(call->token);
    http_answer_done(&call->answer);
}

void
azure_add_query(AzureCall *call, const char *name, const char *value)
{
    strlist_add(&call->query, name);
    strlist_add(&call->query, value);
}

static int
prepare(void *context, HttpRequest *request)
{
    AzureCall *call = context;
    const AzureStore *store = call->store;
    AUTO(str) Str path = {0};
    AUTO(strlist) StrList query = {0};
    str_append(&path, store->path);
    if (call->key) {
        str_append(&path, "/");
        uri_encode(call->key, true, &path);
    }
    for (size_t i = 0; i < call->query.count; i++)
        strlist_add(&query, call->query.items[i]);
    for (size_t i = 0; i < call->headers.count; i++)
        strlist_add(&request->headers, call->headers.items[i]);
    if (call->fetch)
        fetch_headers(call->fetch, &request->headers);
    free(take(call->token));
    TRY(azure_authorize(store->account, request->method, path.data, &query, &request->headers,
                        request->body_size, call->deadline, &call->token));
    Str url = {0};
    str_appendf(&url, "%s%s%s", store->origin, path.data, query.count ? "?" : "");
    sign_v4_query(&query, &url);
    request->url = url.data;
    return 0;
}

bool
azure_has_code(const HttpAnswer *answer, const char *code)
{
    const char *found = http_header(answer, "x-ms-error-code");
    return found && strcmp(found, code) == 0;
}

/* A token that is no good any more is replaced, once; bytes that changed on their way are sent
 * again. */
static Verdict
judge(void *context, const HttpAnswer *answer)
{
    AzureCall *call = context;
    if (answer->status == 401 && call->token && !call->renewed) {
        call->renewed = true;
        azure_tokens_refused(call->store->account->tokens, call->token);
        return VERDICT_AGAIN;
    }
    return azure_has_code(answer, "Md5Mismatch") ? VERDICT_AGAIN
                                                 : verdict_by_status(answer->status);
}

int
azure_run(AzureCall *call, HttpRequest request)
{
    Call attempts = {.request = request,
                     .prepare = prepare,
                     .judge = judge,
                     .context = call,
                     .deadline = call->deadline,
                     .retries = -1};
    return wrap(call_run(call->store->http, &attempts, &call->answer), "%s '%s%s%s'", call->what,
                call->store->name, call->key ? "/" : "", call->key ? call->key : "");
}

static int
take_message(void *context, const char *path, const char *text)
{
    if (strcmp(path, "Error/Message") == 0)
        str_append_part(context, text, strcspn(text, "\r\n"));
    return 0;
}

/* What an answer means that is no success and none of the operation's own outcomes. */
int
azure_refused(const AzureCall *call)
{
    const HttpAnswer *answer = &call->answer;
    const char *code = http_header(answer, "x-ms-error-code");
    bool passing = verdict_by_status(answer->status) == VERDICT_AGAIN || answer->status == 409 ||
                   answer->status == 412 || azure_has_code(answer, "Md5Mismatch");
    AUTO(str) Str message = {0};
    if (xml_parse(answer->text.data, answer->text.length, take_message, &message) < 0)
        str_clear(&message);
    int result =
        fail(passing ? ERR_IO : ERR_CONFIG, "%s '%s%s%s': status %d%s%s%s%.300s", call->what,
             call->store->name, call->key ? "/" : "", call->key ? call->key : "", answer->status,
             code ? ", " : "", code ? code : "", message.length ? ": " : "", str_text(&message));
    if (azure_has_code(answer, "ContainerNotFound"))
        return hint(result, "create the container, or look for a typing error in its name");
    if (azure_has_code(answer, "AuthenticationFailed"))
        return hint(result,
                    "are key or signature right, and not expired? Is this machine's clock?");
    if (answer->status == 401 || answer->status == 403)
        return hint(result, "what these credentials allow does not suffice for this");
    return result;
}

bool
azure_is_missing(const HttpAnswer *answer)
{
    return answer->status == 404 && azure_has_code(answer, "BlobNotFound");
}
