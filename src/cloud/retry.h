/* SPDX-License-Identifier: PostgreSQL
 * A request that is made until its answer is final or its time is over. Each try is prepared anew:
 * dates and signatures do not keep. */
#ifndef WALDEN_CLOUD_RETRY_H
#define WALDEN_CLOUD_RETRY_H

#include "cloud/http.h"

typedef enum Verdict {
    VERDICT_FINAL, /* whatever it says */
    VERDICT_AGAIN, /* the store is busy or out of order for the moment */
} Verdict;

/* By the status alone: 408, 425, 429, 500, 502, 503 and 504 are worth another try. */
Verdict verdict_by_status(int status);

typedef struct Call {
    HttpRequest request; /* all but what prepare sets */
    /* Sets url and headers (both are empty) for the next try. */
    int (*prepare)(void *context, HttpRequest *request);
    /* What a complete answer means; NULL: verdict_by_status. May itself do something about it:
     * renew credentials, set a clock right. */
    Verdict (*judge)(void *context, const HttpAnswer *answer);
    void *context;
    int64_t deadline;
    int retries; /* tries after the first; -1: as many as the limits say */
} Call;

/* 0: *ret_answer is the last answer: a final one, or one that asks for another try for which there
 * was no time or number left. <0: as http_run, after the last try, or as prepare. */
int call_run(Http *http, Call *call, HttpAnswer *ret_answer);

/* The pause before the next try in ms, of `tries` that have been made: grows from about half a
 * second to about 20, spread by a random number so that many clients do not come back together; at
 * least what the server asked for (in seconds). */
int64_t retry_pause_ms(int tries, int64_t retry_after, uint32_t random);

/* Makes this pause. *ret_time is false, and no pause made, when the next try would come after the
 * deadline. Fails when we are told to stop. */
int retry_pause(int tries, int64_t retry_after, int64_t deadline, bool *ret_time);

#endif
