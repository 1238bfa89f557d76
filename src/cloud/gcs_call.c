/* SPDX-License-Identifier: PostgreSQL
 * A request to Google's storage, and what its answers mean. Tokens are in no message. */
#include "cloud/gcs_call.h"

#include "cloud/retry.h"
#include "cloud/sign_v4.h"

GcsCall
gcs_call_to(const GcsStore *store, const char *what, const char *path, int64_t deadline)
{
    GcsCall call = {.store = store, .what = what, .deadline = deadline, .retries = -1};
    str_appendf(&call.url, "%s%s", store->origin, path);
    return call;
}

GcsCall
gcs_call(const GcsStore *store, const char *what, const char *key, int64_t deadline)
{
    GcsCall call = gcs_call_to(store, what, "/storage/v1/b/", deadline);
    uri_encode(store->bucket, false, &call.url);
    str_append(&call.url, "/o");
    if (key) {
        call.key = key;
        str_append(&call.url, "/");
        uri_encode(key, false, &call.url);
    }
    return call;
}

void
gcs_call_done(GcsCall *call)
{
    str_done(&call->url);
    strlist_done(&call->query);
    strlist_done(&call->headers);
    free(call->token);
    http_answer_done(&call->answer);
}

void
gcs_add_query(GcsCall *call, const char *name, const char *value)
{
    strlist_add(&call->query, name);
    strlist_add(&call->query, value);
}

/* A download goes on where it broke off, and only in the same generation of the object. */
static int
prepare(void *context, HttpRequest *request)
{
    GcsCall *call = context;
    AUTO(strlist) StrList query = {0};
    for (size_t i = 0; i < call->query.count; i++)
        strlist_add(&query, call->query.items[i]);
    for (size_t i = 0; i < call->headers.count; i++)
        strlist_add(&request->headers, call->headers.items[i]);
    if (call->fetch) {
        fetch_headers(call->fetch, &request->headers);
        if (call->fetch->offset > 0 && call->fetch->version) {
            strlist_add(&query, "ifGenerationMatch");
            strlist_add(&query, call->fetch->version);
        }
    }
    free(take(call->token));
    if (call->store->auth && !call->session) {
        TRY(google_auth_get(call->store->auth, call->deadline, &call->token));
        strlist_addf(&request->headers, "Authorization: Bearer %s", call->token);
    }
    Str url = {0};
    str_appendf(&url, "%s%s", call->url.data, query.count ? "?" : "");
    sign_v4_query(&query, &url);
    request->url = url.data;
    return 0;
}

/* A token that is no good any more is replaced, once. Requests beyond somebody's rate were refused
 * with 403 before there was 429. */
static Verdict
judge(void *context, const HttpAnswer *answer)
{
    GcsCall *call = context;
    if (answer->status == 401 && call->token && !call->renewed) {
        call->renewed = true;
        google_auth_refused(call->store->auth, call->token);
        return VERDICT_AGAIN;
    }
    if (answer->status == 403 && strstr(str_text(&answer->text), "ateLimitExceeded"))
        return VERDICT_AGAIN;
    return verdict_by_status(answer->status);
}

int
gcs_run(GcsCall *call, HttpRequest request)
{
    Call attempts = {.request = request,
                     .prepare = prepare,
                     .judge = judge,
                     .context = call,
                     .deadline = call->deadline,
                     .retries = call->retries};
    return wrap(call_run(call->store->http, &attempts, &call->answer), "%s '%s%s%s'", call->what,
                call->store->name, call->key ? "/" : "", call->key ? call->key : "");
}

int
gcs_refused(const GcsCall *call)
{
    const HttpAnswer *answer = &call->answer;
    int status = answer->status;
    bool passing = verdict_by_status(status) == VERDICT_AGAIN || status == 409 || status == 410 ||
                   status == 412;
    AUTO(free) char *reason = json_reason(answer->text.data, answer->text.length);
    int result =
        fail(passing ? ERR_IO : ERR_CONFIG, "%s '%s%s%s': status %d%s", call->what,
             call->store->name, call->key ? "/" : "", call->key ? call->key : "", status, reason);
    if (status == 401 || status == 403)
        return hint(result, "may this account do that in this bucket?");
    if (status == 404)
        return hint(result, "create the bucket, or look for a typing error in its name");
    return result;
}

int
gcs_read(const GcsCall *call, json_t **ret_root)
{
    return wrap(json_read(call->answer.text.data, call->answer.text.length, "the store", ret_root),
                "%s '%s%s%s'", call->what, call->store->name, call->key ? "/" : "",
                call->key ? call->key : "");
}
