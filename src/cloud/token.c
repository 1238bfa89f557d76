/* SPDX-License-Identifier: PostgreSQL
 * Tokens with an end. They are renewed a few minutes before it, so that no request is under way
 * with one that ends, and a short disturbance of the place where they are fetched is not noticed.
 */
#include "cloud/token.h"

#include "base/clock.h"
#include "cloud/json.h"
#include "cloud/retry.h"

/* Renewed this long before its end, or when a quarter of its time is left. A machine without
 * metadata server has nobody at its address, and nothing says so. */
enum { MARGIN_MS = 300 * 1000, RETRY_MS = 10 * 1000, PROBE_MS = 2000 };

void
token_init(Token *token, TokenFetch *fetch, void *context)
{
    *token = (Token){.fetch = fetch, .context = context};
    pthread_mutex_init(&token->mutex, NULL);
}

void
token_done(Token *token)
{
    pthread_mutex_destroy(&token->mutex);
    free(token->value);
}

static int
renew(Token *token, int64_t deadline)
{
    char *value = NULL;
    int64_t seconds = 0, start = clock_ms();
    int result = token->fetch(token->context, deadline, &value, &seconds);
    if (result < 0) { /* the old one may still do */
        token->renew = clock_ms() + RETRY_MS;
        return token->value && clock_ms() < token->ends ? 0 : result;
    }
    free(token->value);
    token->value = value;
    int64_t life = seconds * 1000;
    token->ends = start + life;
    token->renew = token->ends - (life / 4 < MARGIN_MS ? life / 4 : MARGIN_MS);
    return 0;
}

int
token_get(Token *token, int64_t deadline, char **ret_value)
{
    pthread_mutex_lock(&token->mutex);
    int result = token->value && clock_ms() < token->renew ? 0 : renew(token, deadline);
    if (result == 0)
        *ret_value = mem_dup(token->value);
    pthread_mutex_unlock(&token->mutex);
    return result;
}

void
token_refused(Token *token, const char *value)
{
    pthread_mutex_lock(&token->mutex);
    if (token->value && strcmp(token->value, value) == 0) {
        free(token->value);
        token->value = NULL;
    }
    pthread_mutex_unlock(&token->mutex);
}

static int
prepare(void *context, HttpRequest *request)
{
    const TokenRequest *asked = context;
    request->url = mem_dup(asked->url);
    if (asked->header)
        strlist_add(&request->headers, asked->header);
    if (asked->form)
        strlist_add(&request->headers, "Content-Type: application/x-www-form-urlencoded");
    return 0;
}

static int
read_answer(const TokenRequest *request, const HttpAnswer *answer, char **ret_value,
            int64_t *ret_seconds)
{
    enum { LONGEST = 365 * 24 * 60 * 60 };
    AUTO(json) json_t *root = NULL;
    if (answer->status != 200) {
        AUTO(free) char *reason = json_reason(answer->text.data, answer->text.length);
        bool passing = verdict_by_status(answer->status) == VERDICT_AGAIN;
        return fail(passing ? ERR_IO : ERR_CONFIG, "%s gives no token: status %d%s", request->who,
                    answer->status, reason);
    }
    TRY(json_read(answer->text.data, answer->text.length, request->who, &root));
    const char *value = json_text(root, "access_token");
    int64_t seconds = json_number(root, "expires_in", -1);
    if (!*value || strpbrk(value, "\r\n") || seconds < 0)
        return fail(ERR_DATA, "%s answered without a token", request->who);
    *ret_value = mem_dup(value);
    *ret_seconds = seconds < LONGEST ? seconds : LONGEST;
    return 0;
}

int
token_request(Http *http, const TokenRequest *request, int64_t deadline, char **ret_value,
              int64_t *ret_seconds)
{
    Call call = {.request = {.method = request->form ? "POST" : "GET",
                             .body = request->form,
                             .body_size = request->form ? strlen(request->form) : 0,
                             .local = request->local},
                 .prepare = prepare,
                 .context = (void *)request,
                 .deadline = deadline,
                 .retries = -1};
    if (request->probe) {
        AUTO(answer) HttpAnswer answer = {0};
        int64_t probe = clock_ms() + PROBE_MS;
        call.deadline = probe < deadline ? probe : deadline;
        call.retries = 0;
        int result = call_run(http, &call, &answer);
        if (result < 0)
            return answer.again ? TOKEN_NOBODY : result;
        if (answer.status == 200)
            return read_answer(request, &answer, ret_value, ret_seconds);
        if (verdict_by_status(answer.status) == VERDICT_FINAL)
            return TOKEN_NOBODY; /* somebody else's metadata server, or one without our account */
        call.deadline = deadline;
        call.retries = -1;
    }
    AUTO(answer) HttpAnswer answer = {0};
    TRY(wrap(call_run(http, &call, &answer), "%s", request->who));
    return read_answer(request, &answer, ret_value, ret_seconds);
}
