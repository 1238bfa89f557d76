/* SPDX-License-Identifier: PostgreSQL
 * walden metrics: figures for Prometheus, once to standard output or to a file, or over HTTP for as
 * long as it runs (walden run does that). Everything is looked at when it is asked for, with a time
 * limit that is shorter than Prometheus' patience. */
#include "monitor/metrics.h"

#include "base/file.h"
#include "base/proc.h"
#include "command/command.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>

enum { LOOK_MS = 8000, IDLE_S = 15, POLL_MS = 1000 };

enum Option { OUTPUT, LISTEN };

static const CommandOption options[] = {
    [OUTPUT] = {"output", "o", "FILE",
                "write this file, for node_exporter's textfile\ncollector; it is replaced in one step"},
    [LISTEN] = {"listen", "", "ADDRESS:PORT", "answer HTTP there, under /metrics"},
};

static int
gather(const Config *config, Str *out)
{
    size_t count = 0;
    int result = 0;
    AUTO(free) ServerState **states = mem_alloc((config->server_count + 1) * sizeof(*states));
    for (size_t i = 0; i < config->server_count && result == 0; i++) {
        const ServerConfig *server = &config->servers[i];
        if (!server->active || server->disabled)
            continue;
        result = state_gather(config, server, (1U << PART_COUNT) - 1, LOOK_MS, &states[count]);
        count += result == 0;
    }
    if (result == 0)
        metrics_write(states, count, out);
    while (count > 0)
        state_free(states[--count]);
    return result;
}

/* Readers of the file see the old or the new figures, never half of them. */
static int
write_file(const char *path, const Str *text)
{
    AUTO(free) char *temporary = mem_printf("%s.%d.tmp", path, (int)getpid());
    AUTO(close) int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail_errno("create '%s'", temporary);
    int result = file_write(fd, str_text(text), text->length, temporary);
    if (result == 0 && rename(temporary, path) < 0)
        result = fail_errno("rename '%s' to '%s'", temporary, path);
    if (result < 0)
        unlink(temporary);
    return result;
}

static enum MHD_Result
answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
       const char *version, const char *data, size_t *data_size, void **state)
{
    static const char nothing[] = "The metrics are at /metrics\n";
    const Config *config = context;
    AUTO(str) Str text = {0};
    unsigned code = MHD_HTTP_OK;
    (void)version, (void)data, (void)data_size, (void)state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        code = MHD_HTTP_METHOD_NOT_ALLOWED;
    } else if (strcmp(url, "/metrics") != 0) {
        code = MHD_HTTP_NOT_FOUND;
        str_append(&text, nothing);
    } else if (gather(config, &text) < 0) {
        code = MHD_HTTP_INTERNAL_SERVER_ERROR;
        str_clear(&text);
        str_appendf(&text, "%s\n", error_last()->text);
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(
        text.length, (void *)str_text(&text), MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            "text/plain; version=0.0.4; charset=utf-8");
    enum MHD_Result queued = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return queued;
}

/* "127.0.0.1:9187" or "[::1]:9187" */
static int
parse_address(const char *text, struct sockaddr_storage *ret_address)
{
    const char *colon = strrchr(text, ':');
    int64_t port = 0;
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;
    memset(ret_address, 0, sizeof(*ret_address));
    if (colon && int_parse(colon + 1, 1, UINT16_MAX, &port)) {
        AUTO(free) char *host = mem_printf("%.*s", (int)(colon - text), text);
        size_t length = strlen(host);
        if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            v4->sin_port = htons((uint16_t)port);
            return 0;
        }
        if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
            host[length - 1] = '\0';
            if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
                v6->sin6_family = AF_INET6;
                v6->sin6_port = htons((uint16_t)port);
                return 0;
            }
        }
    }
    return hint(fail(ERR_USAGE, "'%s' is no address to listen at", text),
                "write an IP address and a port, as 127.0.0.1:9187 or [::1]:9187");
}

/* One thread, for probes are forked. */
static int
serve(const Invocation *invocation, const char *address)
{
    struct sockaddr_storage where;
    TRY(parse_address(address, &where));
    unsigned flags = MHD_USE_EPOLL | (where.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, answer, (void *)invocation->config,
                         MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&where,
                         MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned)IDLE_S, MHD_OPTION_CONNECTION_LIMIT, 32U, MHD_OPTION_END);
    if (!daemon)
        return hint(fail_errno("listen at '%s'", address), "is another program listening there?");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    report_info(invocation->report, "Metrics are at http://%s/metrics", address);
    fflush(stdout);
    while (stop_check() == 0) {
        struct pollfd polled = {.fd = info->epoll_fd, .events = POLLIN};
        stop_poll(&polled, 1, POLL_MS);
        MHD_run(daemon);
    }
    MHD_stop_daemon(daemon);
    return 0;
}

static int
print(const Invocation *invocation)
{
    AUTO(str) Str text = {0};
    TRY(gather(invocation->config, &text));
    if (invocation->options[OUTPUT])
        return write_file(invocation->options[OUTPUT], &text);
    report_leave_stdout(invocation->report);
    if (fputs(str_text(&text), stdout) < 0 || fflush(stdout) != 0)
        return fail_errno("write the metrics to standard output");
    return 0;
}

static int
run(const Invocation *invocation)
{
    const char *address = invocation->options[LISTEN];
    if ((address ? serve(invocation, address) : print(invocation)) == 0)
        return EXIT_DONE;
    report_failure(invocation->report, error_last());
    return error_last()->class == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

const Command command_metrics = {
    .name = "metrics",
    .arguments = "",
    .summary = "print figures for Prometheus, or serve them",
    .help = "Prints the state of all active servers in the Prometheus text format.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
