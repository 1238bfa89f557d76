/* SPDX-License-Identifier: PostgreSQL
 * libmicrohttpd speaks HTTP; it is loaded when it is needed. No thread is started, so that a page
 * may be made by forked processes. Requests with another method or path change nothing here. */
#include "report/http.h"

#include "base/library.h"
#include "base/proc.h"

#include <arpa/inet.h>
#include <microhttpd.h>

enum { IDLE_S = 5, POLL_MS = 1000, CONNECTIONS_MAX = 256 };

#define FUNCTIONS(X)                                                                               \
    X(MHD_add_response_header)                                                                     \
    X(MHD_create_response_from_buffer)                                                             \
    X(MHD_destroy_response)                                                                        \
    X(MHD_get_daemon_info)                                                                         \
    X(MHD_queue_response)                                                                          \
    X(MHD_run)                                                                                     \
    X(MHD_start_daemon)                                                                            \
    X(MHD_stop_daemon)

static struct {
    FUNCTIONS(LIBRARY_FIELD)
} http;

static Library library = {LIBRARY("libmicrohttpd.so.12", "libmicrohttpd12", FUNCTIONS, http)};

static unsigned
make_page(const HttpPage *page, const char *method, const char *url, Str *out)
{
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        str_append(out, "only GET and HEAD are known here\n");
        return MHD_HTTP_METHOD_NOT_ALLOWED;
    }
    if (strcmp(url, page->path) != 0) {
        str_appendf(out, "what there is, is at %s\n", page->path);
        return MHD_HTTP_NOT_FOUND;
    }
    if (page->write(page->context, out) == 0)
        return MHD_HTTP_OK;
    str_clear(out);
    str_appendf(out, "%s\n", error_last()->text);
    return MHD_HTTP_INTERNAL_SERVER_ERROR;
}

static enum MHD_Result
answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
       const char *version, const char *data, size_t *data_size, void **state)
{
    const HttpPage *page = context;
    AUTO(str) Str text = {0};
    (void)version, (void)data, (void)state;
    *data_size = 0; /* whatever was sent with it */
    unsigned code = make_page(page, method, url, &text);
    struct MHD_Response *response = http.MHD_create_response_from_buffer(
        text.length, (void *)str_text(&text), MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    http.MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page->content_type);
    enum MHD_Result queued = http.MHD_queue_response(connection, code, response);
    http.MHD_destroy_response(response);
    return queued;
}

static bool
parse_host(const char *host, uint16_t port, struct sockaddr_storage *ret_address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;
    size_t length = strlen(host);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return true;
    }
    if (length < 2 || host[0] != '[' || host[length - 1] != ']')
        return false;
    AUTO(free) char *inner = mem_printf("%.*s", (int)length - 2, host + 1);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return inet_pton(AF_INET6, inner, &v6->sin6_addr) == 1;
}

static int
parse_address(const char *text, struct sockaddr_storage *ret_address)
{
    const char *colon = strrchr(text, ':');
    int64_t port = 0;
    memset(ret_address, 0, sizeof(*ret_address));
    if (colon && int_parse(colon + 1, 1, UINT16_MAX, &port)) {
        AUTO(free) char *host = mem_printf("%.*s", (int)(colon - text), text);
        if (parse_host(host, (uint16_t)port, ret_address))
            return 0;
    }
    return hint(fail(ERR_USAGE, "'%s' is no address to listen at", text),
                "write an IP address and a port, as 127.0.0.1:9187 or [::1]:9187");
}

int
http_serve(const char *address, const HttpPage *page)
{
    struct sockaddr_storage where;
    TRY(library_need(&library));
    TRY(parse_address(address, &where));
    unsigned flags = MHD_USE_EPOLL | (where.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    struct MHD_Daemon *daemon = http.MHD_start_daemon(
        flags, 0, NULL, NULL, answer, (void *)page, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&where,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_END);
    if (!daemon)
        return hint(fail_errno("listen at '%s'", address), "is another program listening there?");
    const union MHD_DaemonInfo *info = http.MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    page->ready(page->context);
    while (stop_check() == 0) {
        struct pollfd polled = {.fd = info->epoll_fd, .events = POLLIN};
        stop_poll(&polled, 1, POLL_MS);
        http.MHD_run(daemon);
    }
    http.MHD_stop_daemon(daemon);
    return 0;
}
