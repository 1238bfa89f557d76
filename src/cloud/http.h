/* SPDX-License-Identifier: PostgreSQL
 * One HTTP request and its answer, with deadlines, over connections that are kept. Nothing is tried
 * again here, no redirect is followed: see retry.h, and the provider who knows what an answer
 * means. Any number of threads may use one Http. */
#ifndef WALDEN_CLOUD_HTTP_H
#define WALDEN_CLOUD_HTTP_H

#include "base/error.h"
#include "base/sink.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Http Http;

typedef struct HttpLimits {
    int64_t connect_ms; /* until the connection stands, TLS and all */
    int64_t idle_ms;    /* without a byte in either direction */
    int64_t total_ms;   /* for an operation with all its tries: see http_deadline */
    int retries;        /* tries after the first */
} HttpLimits;

/* Sends nothing yet, and loads no library. ca_file: certificates to trust instead of the system's,
 * or NULL. */
Http *http_new(const char *ca_file, const HttpLimits *limits);
void http_free(Http *http);
AUTO_DEFINE(http, Http *, http_free)

const HttpLimits *http_limits(const Http *http);

/* When an operation that begins now must be over, on the clock of clock_ms(). */
int64_t http_deadline(const Http *http);

/* How many answers said that the server has too much to do: counted by retry.h. */
void http_count_busy(Http *http);
uint64_t http_busy(const Http *http);

typedef struct HttpAnswer {
    int status;
    int tries;           /* how many requests were made for it; counted by retry.h */
    StrList headers;     /* name in lower case, value, name, value... */
    Str text;            /* the body, as far as it did not go to the sink */
    int64_t retry_after; /* seconds that the server asks for, or 0 */
    bool again;          /* after a failure: it was the connection's, another try may help */
} HttpAnswer;

void http_answer_done(HttpAnswer *answer);

static inline void
auto_answer(HttpAnswer *answer)
{
    http_answer_done(answer);
}

/* The value of a header, named in lower case; NULL when the answer has none. */
const char *http_header(const HttpAnswer *answer, const char *name);

/* The number in a header, or -1. */
int64_t http_header_number(const HttpAnswer *answer, const char *name);

/* Called once when the headers of a 2xx answer are there, before its body. What it answers other
 * than 0 ends the exchange. */
typedef int HttpBegin(void *context, const HttpAnswer *answer);

typedef struct HttpRequest {
    const char *method;
    char *url;       /* owned by whoever prepared it */
    StrList headers; /* "Name: value" */
    const void *body;
    size_t body_size;
    const char *before, *after; /* texts around the body, which is not copied for them; or NULL */
    HttpBegin *begin;           /* or NULL */
    Sink *sink;                 /* gets the body of a 2xx answer; NULL: it becomes answer->text */
    void *context;              /* of begin and sink */
    size_t text_max;   /* of a 2xx answer's text: what is larger fails (ERR_DATA); 0: 64 KiB. Other
                          answers' text is cut there */
    bool local;        /* a metadata server of this machine: never through a proxy */
    bool despite_stop; /* is made, and finished, also when we are told to stop: to clean up */
    bool once;         /* its body is not sent anew, either, when a kept connection turns out to be
                          dead: the first may have arrived */
} HttpRequest;

/* Makes the request and reads its answer to the end. 0: *ret_answer is complete, whatever its
 * status. <0: ERR_IO or ERR_TIMEOUT by the connection (ret_answer->again), ERR_UNSUPPORTED
 * without libcurl, ERR_CONFIG when the server's certificate or the URL is no good, ERR_STOPPED, or
 * what begin or sink failed with. The answer must be given back in any case. Messages have neither
 * URL nor headers. */
int http_run(Http *http, const HttpRequest *request, int64_t deadline, HttpAnswer *ret_answer);

#endif
