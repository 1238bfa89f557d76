/* SPDX-License-Identifier: PostgreSQL
 * walden metrics: figures for Prometheus, once to standard output or to a file, or over HTTP for as
 * long as it runs (walden run does that). Everything is looked at when it is asked for, with a time
 * limit that is shorter than Prometheus' patience. */
#include "monitor/metrics.h"

#include "base/file.h"
#include "base/proc.h"
#include "command/command.h"
#include "report/http.h"

#include <fcntl.h>
#include <stdio.h>

enum { LOOK_MS = 8000 };

enum Option { OUTPUT, LISTEN };

static const CommandOption options[] = {
    [OUTPUT] =
        {"output", "o", "FILE",
         "write this file, for node_exporter's textfile\ncollector; it is replaced in one step"},
    [LISTEN] = {"listen", "", "ADDRESS:PORT", "answer HTTP there, under /metrics"},
};

static int
gather(const Config *config, Str *out)
{
    size_t count = 0, room = config->server_count + 1;
    AUTO(free) const ServerConfig **servers = mem_alloc(room * sizeof(*servers));
    AUTO(free) ServerState **states = mem_alloc(room * sizeof(*states));
    for (size_t i = 0; i < config->server_count; i++)
        if (config->servers[i].active && !config->servers[i].disabled)
            servers[count++] = &config->servers[i];
    TRY(state_gather_all(config, servers, count, (1U << PART_COUNT) - 1, LOOK_MS, states));
    metrics_write(states, count, out);
    while (count > 0)
        state_free(states[--count]);
    return 0;
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

static int
write_page(void *context, Str *out)
{
    const Invocation *invocation = context;
    return gather(invocation->config, out);
}

static void
tell_ready(void *context)
{
    const Invocation *invocation = context;
    report_info(invocation->report, "Metrics are at http://%s/metrics",
                invocation->options[LISTEN]);
    fflush(stdout);
}

static int
serve(const Invocation *invocation)
{
    return http_serve(invocation->options[LISTEN],
                      &(HttpPage){.path = "/metrics",
                                  .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                  .write = write_page,
                                  .context = (void *)invocation,
                                  .ready = tell_ready});
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
    stop_on_signals();
    if ((invocation->options[LISTEN] ? serve : print)(invocation) == 0)
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
