/* SPDX-License-Identifier: PostgreSQL
 * HTTP by libcurl. Each request borrows a handle from a pool, and with it the connection that the
 * handle kept; the one that was used last is taken first, so that few stay open. Silence and the
 * deadline are watched in libcurl's progress calls, which come at least once a second; a consumer
 * that takes its time is not taken for a silent server.
 *
 * libcurl itself sends a request once more when a kept connection turns out to be dead before a
 * byte of an answer came: the server may have carried out the first one. */
#include "cloud/http.h"

#include "base/clock.h"
#include "base/proc.h"
#include "cloud/curl.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>

enum { TEXT_MAX = 64 << 10, HEADERS_MAX = 64 << 10, BUFFER_SIZE = 256 << 10 };

typedef struct Handle {
    struct Handle *next;
    CURL *curl;
} Handle;

struct Http {
    pthread_mutex_t mutex;
    Handle *idle;
    char *ca_file;
    HttpLimits limits;
    atomic_ullong busy;
};

/* What is under way on one handle. */
typedef struct Exchange {
    const Http *http;
    const HttpRequest *request;
    HttpAnswer *answer;
    CURL *curl;
    int64_t deadline, last_progress;
    curl_off_t seen; /* bytes in both directions */
    size_t header_bytes;
    size_t sent; /* of a body with texts around it */
    bool begun;  /* request->begin was called */
    bool failed; /* by us, not by the connection; the thread's error record has the reason */
    bool late;   /* ... because of a deadline */
} Exchange;

void
http_count_busy(Http *http)
{
    http->busy++;
}

uint64_t
http_busy(const Http *http)
{
    return http->busy;
}

Http *
http_new(const char *ca_file, const HttpLimits *limits)
{
    Http *http = mem_alloc(sizeof(*http));
    pthread_mutex_init(&http->mutex, NULL);
    http->ca_file = mem_dup(ca_file);
    http->limits = *limits;
    return http;
}

void
http_free(Http *http)
{
    if (!http)
        return;
    for (Handle *handle = http->idle; handle;) {
        Handle *next = handle->next;
        curl_easy_cleanup(handle->curl);
        free(handle);
        handle = next;
    }
    pthread_mutex_destroy(&http->mutex);
    free(http->ca_file);
    free(http);
}

const HttpLimits *
http_limits(const Http *http)
{
    return &http->limits;
}

int64_t
http_deadline(const Http *http)
{
    return clock_ms() + http->limits.total_ms;
}

static Handle *
handle_borrow(Http *http)
{
    pthread_mutex_lock(&http->mutex);
    Handle *handle = http->idle;
    if (handle)
        http->idle = handle->next;
    pthread_mutex_unlock(&http->mutex);
    if (handle)
        return handle;
    handle = mem_alloc(sizeof(*handle));
    handle->curl = curl_easy_init();
    if (!handle->curl) {
        mem_exhausted(0);
        abort(); /* the hook does not come back empty-handed */
    }
    return handle;
}

static void
handle_return(Http *http, Handle *handle)
{
    curl_easy_reset(handle->curl); /* keeps the connection */
    pthread_mutex_lock(&http->mutex);
    handle->next = http->idle;
    http->idle = handle;
    pthread_mutex_unlock(&http->mutex);
}

void
http_answer_done(HttpAnswer *answer)
{
    strlist_done(&answer->headers);
    str_done(&answer->text);
}

const char *
http_header(const HttpAnswer *answer, const char *name)
{
    for (size_t i = 0; i + 1 < answer->headers.count; i += 2)
        if (strcmp(answer->headers.items[i], name) == 0)
            return answer->headers.items[i + 1];
    return NULL;
}

int64_t
http_header_number(const HttpAnswer *answer, const char *name)
{
    const char *value = http_header(answer, name);
    int64_t number = -1;
    return value && int_parse(value, 0, INT64_MAX, &number) ? number : -1;
}

/* The exchange is to end, for a reason that is in the error record. */
static int
end_exchange(Exchange *exchange)
{
    exchange->failed = true;
    return -1;
}

static size_t
on_header(char *line, size_t unit, size_t count, void *context)
{
    Exchange *exchange = context;
    HttpAnswer *answer = exchange->answer;
    size_t size = unit * count, length = size;
    exchange->header_bytes += size;
    if (exchange->header_bytes > HEADERS_MAX) {
        end_exchange(exchange);
        fail(ERR_DATA, "the answer's headers are larger than %d bytes", HEADERS_MAX);
        return 0;
    }
    if (size > 5 && strncmp(line, "HTTP/", 5) == 0) { /* after a "100 Continue" another one */
        strlist_done(&answer->headers);
        return size;
    }
    while (length > 0 && isspace((unsigned char)line[length - 1]))
        length--;
    const char *colon = memchr(line, ':', length);
    if (!colon)
        return size;
    Str name = {0}, value = {0};
    str_append_part(&name, line, (size_t)(colon - line));
    for (size_t i = 0; i < name.length; i++)
        name.data[i] = (char)tolower((unsigned char)name.data[i]);
    const char *start = colon + 1;
    while (start < line + length && isspace((unsigned char)*start))
        start++;
    str_append_part(&value, start, (size_t)(line + length - start));
    strlist_own(&answer->headers, name.data);
    strlist_own(&answer->headers, value.data);
    return size;
}

static bool
succeeded(Exchange *exchange)
{
    long status = 0;
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
    exchange->answer->status = (int)status;
    return status >= 200 && status < 300;
}

/* The headers are complete. */
static int
begin(Exchange *exchange)
{
    if (exchange->begun)
        return 0;
    exchange->begun = true;
    const HttpRequest *request = exchange->request;
    return succeeded(exchange) && request->begin
               ? request->begin(request->context, exchange->answer)
               : 0;
}

static int
take_body(Exchange *exchange, const char *data, size_t size)
{
    const HttpRequest *request = exchange->request;
    Str *text = &exchange->answer->text;
    TRY(begin(exchange));
    bool success = succeeded(exchange);
    if (success && request->sink)
        return request->sink(request->context, data, size);
    size_t max = request->text_max && success ? request->text_max : TEXT_MAX;
    size_t room = max - text->length;
    if (size > room && success)
        return fail(ERR_DATA, "the answer is larger than %zu bytes", max);
    str_append_part(text, data, size < room ? size : room);
    return 0;
}

static size_t
on_body(char *data, size_t unit, size_t count, void *context)
{
    Exchange *exchange = context;
    if (take_body(exchange, data, unit * count) == 0)
        return unit * count;
    end_exchange(exchange);
    return unit * count == 0 ? 1 : 0; /* anything but the size is a failure */
}

static int
on_progress(void *context, curl_off_t download_total, curl_off_t download, curl_off_t upload_total,
            curl_off_t upload)
{
    (void)download_total, (void)upload_total;
    Exchange *exchange = context;
    int64_t now = clock_ms(), idle_ms = exchange->http->limits.idle_ms;
    if (download + upload != exchange->seen) {
        exchange->seen = download + upload;
        exchange->last_progress = now;
    }
    if (!exchange->request->despite_stop && stop_check() < 0)
        return end_exchange(exchange);
    if (now >= exchange->deadline || now - exchange->last_progress >= idle_ms) {
        fail(ERR_TIMEOUT,
             now >= exchange->deadline ? "not done within its time"
                                       : "no answer, not a byte in %.1f seconds",
             (double)idle_ms / 1000);
        exchange->late = true;
        return end_exchange(exchange);
    }
    return 0;
}

/* A body with texts around it is sent from where its three pieces are. */
static size_t
on_send(char *to, size_t unit, size_t count, void *context)
{
    Exchange *exchange = context;
    const HttpRequest *request = exchange->request;
    const struct {
        const char *data;
        size_t size;
    } pieces[] = {{request->before, request->before ? strlen(request->before) : 0},
                  {request->body, request->body_size},
                  {request->after, request->after ? strlen(request->after) : 0}};
    size_t start = exchange->sent, done = 0, room = unit * count;
    for (size_t i = 0; i < COUNT_OF(pieces) && done < room; i++) {
        if (start >= pieces[i].size) {
            start -= pieces[i].size;
            continue;
        }
        size_t left = pieces[i].size - start, size = left < room - done ? left : room - done;
        memcpy(to + done, pieces[i].data + start, size);
        done += size;
        start = 0;
    }
    exchange->sent += done;
    return done;
}

/* From the beginning once more: a connection that was kept turned out to be dead. */
static int
on_rewind(void *context, curl_off_t offset, int origin)
{
    Exchange *exchange = context;
    if (exchange->request->once)
        return CURL_SEEKFUNC_FAIL;
    exchange->sent = (size_t)offset;
    return origin == SEEK_SET ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_CANTSEEK;
}

static void
set_body(Exchange *exchange)
{
    CURL *curl = exchange->curl;
    const HttpRequest *request = exchange->request;
    size_t around = (request->before ? strlen(request->before) : 0) +
                    (request->after ? strlen(request->after) : 0);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(request->body_size + around));
    if (around == 0 && !request->once) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body ? request->body : "");
        return;
    }
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
    curl_easy_setopt(curl, CURLOPT_READDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_rewind);
    curl_easy_setopt(curl, CURLOPT_SEEKDATA, exchange);
}

static void
set_options(Exchange *exchange, struct curl_slist *headers, char *error)
{
    CURL *curl = exchange->curl;
    const Http *http = exchange->http;
    const HttpRequest *request = exchange->request;
    int64_t left = exchange->deadline - clock_ms();
    int64_t connect_ms = http->limits.connect_ms < left ? http->limits.connect_ms : left;
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L); /* as it was signed */
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a resolver that hangs */
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE);
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_SIZE);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_ms > 0 ? connect_ms : 1));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
    if (http->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca_file);
    if (request->local)
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    bool sends = request->body || strcmp(request->method, "PUT") == 0 ||
                 strcmp(request->method, "POST") == 0; /* perhaps nothing, but says so */
    if (sends)
        set_body(exchange);
    if (strcmp(request->method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

/* Not the connection's fault, and not mended by time. */
static bool
is_lasting(CURLcode code)
{
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ENGINE_INITFAILED:
        return true;
    default:
        return false;
    }
}

static int
transport_failure(Exchange *exchange, CURLcode code, const char *error)
{
    HttpAnswer *answer = exchange->answer;
    answer->again = exchange->late;
    if (exchange->failed)
        return -1;
    const char *text = error[0] ? error : curl_easy_strerror(code);
    answer->again = !is_lasting(code);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return hint(fail(ERR_CONFIG, "the server's certificate is not accepted: %s", text),
                    "is it the right host? Name the authority that signed it by a CA file");
    if (code == CURLE_SSL_CACERT_BADFILE)
        return fail(ERR_CONFIG, "the CA file '%s' cannot be used: %s",
                    exchange->http->ca_file ? exchange->http->ca_file : "of the system", text);
    return fail(is_lasting(code)                   ? ERR_CONFIG
                : code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT
                                                   : ERR_IO,
                "%s", text);
}

static struct curl_slist *
header_list(const HttpRequest *request)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* would cost a round trip */
    bool typed = false;
    for (size_t i = 0; i < request->headers.count; i++) {
        typed = typed || strncasecmp(request->headers.items[i], "content-type:", 13) == 0;
        list = curl_slist_append(list, request->headers.items[i]);
    }
    return typed ? list : curl_slist_append(list, "Content-Type:");
}

int
http_run(Http *http, const HttpRequest *request, int64_t deadline, HttpAnswer *ret_answer)
{
    *ret_answer = (HttpAnswer){0};
    TRY(curl_load());
    char error[CURL_ERROR_SIZE] = "";
    Handle *handle = handle_borrow(http);
    Exchange exchange = {.http = http,
                         .request = request,
                         .answer = ret_answer,
                         .curl = handle->curl,
                         .deadline = deadline,
                         .last_progress = clock_ms()};
    struct curl_slist *headers = header_list(request);
    set_options(&exchange, headers, error);
    CURLcode code = curl_easy_perform(handle->curl);
    curl_off_t retry_after = 0;
    int result = 0;
    if (code != CURLE_OK)
        result = transport_failure(&exchange, code, error);
    else
        result = begin(&exchange); /* if there was no body */
    (void)succeeded(&exchange);
    curl_easy_getinfo(handle->curl, CURLINFO_RETRY_AFTER, &retry_after);
    ret_answer->retry_after = retry_after;
    curl_slist_free_all(headers);
    handle_return(http, handle);
    return result;
}
