/* SPDX-License-Identifier: PostgreSQL
 * walden check SERVER...: is archiving healthy? For people, as JSON, and as a Nagios plugin; words,
 * keys and exit codes are Barman's. The checks themselves are those of monitor/check.c. */
#include "monitor/check.h"

#include "command/command.h"

#include <ctype.h>
#include <stdio.h>

enum { NAGIOS_OK = 0, NAGIOS_CRITICAL = 2, ROWS_MAX = 64 };

enum Option { NAGIOS, TIMEOUT };

static const CommandOption options[] = {
    [NAGIOS] = {"nagios", "", NULL, "answer as a Nagios plugin: one line, exit code 0\nor 2"},
    [TIMEOUT] = {"check-timeout", "", "SECONDS",
                 "how long to wait for an answer; 0: for ever.\nDefault: the option check_timeout"},
};

/* What was found out about one server */
typedef struct Result {
    const ServerConfig *server;
    bool good;
    int64_t wal_bytes;
    CheckRow rows[ROWS_MAX];
    size_t count;
} Result;

static void
keep_row(void *context, const CheckRow *row)
{
    Result *result = context;
    if (result->count < ROWS_MAX)
        result->rows[result->count++] = *row;
}

/* Everything is asked of a server but the disabled one, whose configuration is not known. */
static int
check(const Invocation *invocation, const ServerConfig *server, int64_t timeout, Result *result)
{
    AUTO(state) ServerState *state = NULL;
    unsigned parts = server->disabled ? 0 : (1U << PART_COUNT) - 1;
    TRY(state_gather(invocation->config, server, parts, timeout * 1000, &state));
    result->server = server;
    result->good = check_state(state, keep_row, result);
    result->wal_bytes = state->archive.stored;
    return 0;
}

/* "pg_receivexlog compatible" becomes "pg_receivexlog_compatible". */
static char *
row_key(const char *name)
{
    char *key = mem_alloc(strlen(name) + 1), *end = key;
    for (; *name; name++)
        if (*name != '.')
            *end++ = (char)(*name == ' ' || *name == '-' ? '_' : tolower((unsigned char)*name));
    return key;
}

static void
print_result(const Invocation *invocation, const Result *result)
{
    json_t *object = json_object();
    const char *mark = result->server->disabled  ? " (WARNING: disabled)"
                       : !result->server->active ? " (inactive)"
                                                 : "";
    if (!report_is_json(invocation->report))
        report_info(invocation->report, "Server %s%s:", result->server->name, mark);
    for (size_t i = 0; i < result->count; i++) {
        const CheckRow *row = &result->rows[i];
        const char *status = row->good ? "OK" : "FAILED";
        AUTO(free) char *key = row_key(row->name);
        json_object_set_new(
            object, key, json_pack("{s:s, s:o}", "status", status, "hint", report_text(row->hint)));
        if (!report_is_json(invocation->report))
            report_check(invocation->report, row->name, row->good, row->hint);
    }
    report_set(invocation->report, result->server->name, object);
}

static size_t
count_bad(const Result *results, size_t count, bool active)
{
    size_t bad = 0;
    for (size_t i = 0; i < count; i++)
        bad += !results[i].good && results[i].server->active == active;
    return bad;
}

/* " * main FAILED: PostgreSQL, disk space" */
static void
add_failures(Str *line, const Result *result)
{
    bool first = true;
    str_appendf(line, " * %s FAILED: ", result->server->name);
    for (size_t i = 0; i < result->count; i++)
        if (!result->rows[i].good) {
            str_appendf(line, "%s%s", first ? "" : ", ", result->rows[i].name);
            first = false;
        }
}

static void
print_failure(const char *server, const CheckRow *row)
{
    AUTO(free) char *hint = row->hint[0] ? mem_printf(" (%s)", row->hint) : mem_dup("");
    AUTO(free) char *line = mem_printf("%s.%s: FAILED%s", server, row->name, hint);
    for (char *p = line; *p; p++)
        if (iscntrl((unsigned char)*p))
            *p = '?';
    puts(line);
}

static void
add_ignored(Str *line, const Result *results, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!results[i].good && !results[i].server->active)
            str_appendf(line, " * IGNORING: %s", results[i].server->name);
}

static void
add_figures(Str *line, const Result *results, size_t count)
{
    str_append(line, "|");
    for (size_t i = 0; i < count; i++)
        str_appendf(line, "%s%s=0B %s_wals=%lldB", i ? " " : "", results[i].server->name,
                    results[i].server->name, (long long)results[i].wal_bytes);
}

/* One line that Nagios reads, and below it what failed */
static int
print_nagios(const Result *results, size_t count)
{
    AUTO(str) Str line = {0};
    size_t bad = count_bad(results, count, true);
    if (bad == 0 && count == 1)
        str_appendf(&line, "BARMAN OK - the archive of %s is healthy", results[0].server->name);
    else if (bad == 0)
        str_appendf(&line, "BARMAN OK - the archives of %zu servers are healthy", count);
    else if (count == 1)
        str_appendf(&line, "BARMAN CRITICAL - server %s has issues", results[0].server->name);
    else
        str_appendf(&line, "BARMAN CRITICAL - %zu server out of %zu have issues", bad, count);
    for (size_t i = 0; i < count; i++)
        if (!results[i].good && results[i].server->active)
            add_failures(&line, &results[i]);
    if (bad == 0)
        add_ignored(&line, results, count);
    add_figures(&line, results, count);
    puts(str_text(&line));
    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; r < results[i].count; r++)
            if (!results[i].rows[r].good && results[i].server->active)
                print_failure(results[i].server->name, &results[i].rows[r]);
    return bad ? NAGIOS_CRITICAL : NAGIOS_OK;
}

static int
parse_timeout(const Invocation *invocation, int64_t *ret_timeout)
{
    const char *text = invocation->options[TIMEOUT];
    *ret_timeout = -1;
    if (!text || int_parse(text, 0, INT32_MAX, ret_timeout))
        return 0;
    return fail(ERR_USAGE, "--check-timeout wants a number of seconds, not '%s'", text);
}

static int
check_servers(const Invocation *invocation, const ServerConfig *const *servers, Result *results,
              size_t count)
{
    int64_t timeout = -1;
    TRY(parse_timeout(invocation, &timeout));
    for (size_t i = 0; i < count; i++) {
        TRY(check(invocation, servers[i], timeout < 0 ? servers[i]->check_timeout : timeout,
                  &results[i]));
        if (!invocation->options[NAGIOS])
            print_result(invocation, &results[i]);
    }
    return 0;
}

static int
run(const Invocation *invocation)
{
    size_t count = 0;
    bool nagios = invocation->options[NAGIOS] != NULL;
    if (nagios)
        report_leave_stdout(invocation->report);
    AUTO(free) const ServerConfig **servers = command_servers(invocation, &count);
    if (!servers && nagios)
        puts("BARMAN CRITICAL - Global configuration errors");
    if (!servers)
        return nagios ? NAGIOS_CRITICAL : EXIT_FAILED;
    AUTO(free) Result *results = mem_alloc((count + 1) * sizeof(*results));
    if (check_servers(invocation, servers, results, count) < 0) {
        report_failure(invocation->report, error_last());
        return nagios ? NAGIOS_CRITICAL : EXIT_FAILED;
    }
    if (nagios)
        return print_nagios(results, count);
    return count_bad(results, count, true) ? EXIT_FAILED : EXIT_DONE;
}

const Command command_check = {
    .name = "check",
    .arguments = "SERVER...",
    .argument_min = 1,
    .argument_max = 1000,
    .summary = "check that archiving is healthy",
    .help = "Checks for the servers, or for \"all\", that WAL arrives, is archived and can be\n"
            "relied on. Exits with 1 when a check of an active server fails. Everything is\n"
            "looked at with a time limit, so that check itself never hangs.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
