/* SPDX-License-Identifier: PostgreSQL
 * walden show-servers SERVER...: every option and the value that is in force, and what the server
 * says of itself. JSON has the types that Barman's has; the console has Python's spelling of them.
 */
#include "base/clock.h"
#include "command/describe.h"

/* A server that keeps silent costs so much; together they cost little more. */
enum { SERVER_MS = 5000, ALL_MS = 10000, LEAST_MS = 1000 };

/* As Python's str() */
static void
print_value(Report *report, const char *key, const json_t *value)
{
    AUTO(str) Str list = {0};
    switch (json_typeof(value)) {
    case JSON_STRING:
        report_info(report, "\t%s: %s", key, json_string_value(value));
        break;
    case JSON_INTEGER:
        report_info(report, "\t%s: %lld", key, (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        report_info(report, "\t%s: %.15g", key, json_real_value(value));
        break;
    case JSON_ARRAY:
        for (size_t i = 0; i < json_array_size(value); i++)
            str_appendf(&list, "%s'%s'", i ? ", " : "",
                        json_string_value(json_array_get(value, i)));
        report_info(report, "\t%s: [%s]", key, str_text(&list));
        break;
    default:
        report_info(report, "\t%s: %s", key,
                    json_is_null(value)   ? "None"
                    : json_is_true(value) ? "True"
                                          : "False");
    }
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
print_sorted(Report *report, json_t *object)
{
    AUTO(free) const char **keys = mem_alloc(json_object_size(object) * sizeof(*keys));
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) keys[count++] = key;
    qsort(keys, count, sizeof(*keys), by_text);
    for (size_t i = 0; i < count; i++)
        print_value(report, keys[i], json_object_get(object, keys[i]));
}

static int
show(const Invocation *invocation, const ServerConfig *server, int64_t timeout_ms)
{
    AUTO(state) ServerState *state = NULL;
    unsigned parts = server->disabled ? 0 : DESCRIBE_PARTS;
    TRY(state_gather(invocation->config, server, parts, timeout_ms, &state));
    json_t *object = describe_config(invocation->config, server);
    describe_live(state, object);
    if (!report_is_json(invocation->report)) {
        report_info(invocation->report, "Server %s:", server->name);
        print_sorted(invocation->report, object);
        report_info(invocation->report, "%s", "");
    }
    report_set(invocation->report, server->name, object);
    return 0;
}

static int
run(const Invocation *invocation)
{
    size_t count = 0;
    int64_t begun = clock_ms();
    AUTO(free) const ServerConfig **servers = command_servers(invocation, &count);
    if (!servers)
        return EXIT_FAILED;
    for (size_t i = 0; i < count; i++) {
        int64_t left = begun + ALL_MS - clock_ms();
        int64_t timeout_ms = left < LEAST_MS ? LEAST_MS : left < SERVER_MS ? left : SERVER_MS;
        if (show(invocation, servers[i], timeout_ms) < 0) {
            report_failure(invocation->report, error_last());
            return EXIT_FAILED;
        }
    }
    return EXIT_DONE;
}

const Command command_show_servers = {
    .name = "show-servers",
    .alias = "show-server",
    .arguments = "SERVER...",
    .argument_min = 1,
    .argument_max = 1000,
    .summary = "show the configuration in force and what the server says",
    .help = "Shows every option and the value that is in force, for the servers or for\n"
            "\"all\", and what PostgreSQL and the receiver say of themselves. A server that\n"
            "does not answer is waited for no longer than 5 s.",
    .run = run,
};
