/* SPDX-License-Identifier: PostgreSQL
 * Tries again, and stops trying. What a try means is the caller's business. */
#include "cloud/retry.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"

#include <sys/random.h>

enum { PAUSE_FIRST_MS = 500, PAUSE_MAX_MS = 20000, RETRY_AFTER_MAX = 24 * 60 * 60 };

Verdict
verdict_by_status(int status)
{
    switch (status) {
    case 408:
    case 425:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return VERDICT_AGAIN;
    default:
        return VERDICT_FINAL;
    }
}

int64_t
retry_pause_ms(int tries, int64_t retry_after, uint32_t random)
{
    int64_t most = PAUSE_FIRST_MS;
    for (int i = 1; i < tries && most < PAUSE_MAX_MS; i++)
        most *= 2;
    if (most > PAUSE_MAX_MS)
        most = PAUSE_MAX_MS;
    int64_t spread = (int64_t)random * (most / 2) / UINT32_MAX;
    if (retry_after > 0)
        return (retry_after < RETRY_AFTER_MAX ? retry_after : RETRY_AFTER_MAX) * 1000 + spread;
    return most / 2 + spread;
}

static int
one_try(Http *http, Call *call, HttpAnswer *ret_answer)
{
    HttpRequest request = call->request;
    int result = call->prepare(call->context, &request);
    if (result == 0)
        result = http_run(http, &request, call->deadline, ret_answer);
    free(request.url);
    strlist_done(&request.headers);
    return result;
}

int
retry_pause(int tries, int64_t retry_after, int64_t deadline, bool *ret_time)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        random = (uint32_t)clock_ms();
    int64_t pause_ms = retry_pause_ms(tries, retry_after, random);
    *ret_time = clock_ms() + pause_ms < deadline;
    if (*ret_time)
        stop_poll(NULL, 0, pause_ms);
    return stop_check();
}

int
call_run(Http *http, Call *call, HttpAnswer *ret_answer)
{
    int retries = call->retries < 0 ? http_limits(http)->retries : call->retries;
    for (int tries = 1;; tries++) {
        HttpAnswer answer = {0};
        int result = one_try(http, call, &answer);
        answer.tries = tries;
        bool again = answer.again;
        if (result == 0)
            again = (call->judge ? call->judge(call->context, &answer)
                                 : verdict_by_status(answer.status)) == VERDICT_AGAIN;
        if (result == 0 && again)
            http_count_busy(http);
        Error error = *error_last();
        bool time = false;
        if (again && tries <= retries &&
            retry_pause(tries, answer.retry_after, call->deadline, &time) < 0 &&
            !call->request.despite_stop) {
            http_answer_done(&answer);
            return -1;
        }
        if (!time) {
            if (result < 0)
                error_restore(&error);
            *ret_answer = answer;
            return result;
        }
        if (result < 0)
            log_debug("%s %s: %s; trying again", call->request.method, "object store", error.text);
        else
            log_debug("%s object store: status %d; trying again", call->request.method,
                      answer.status);
        http_answer_done(&answer);
    }
}
