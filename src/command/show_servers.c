/* SPDX-License-Identifier: PostgreSQL
 * walden show-servers SERVER...: every option and the value that is in force, and what is to be
 * known of the receiver. JSON has the types that Barman's has; the console has Python's spelling of
 * them. */
#include "base/clock.h"
#include "command/command.h"
#include "flow/intake/status.h"

/* A server that keeps silent costs so much; together they cost little more. */
enum { SERVER_MS = 5000, ALL_MS = 10000, LEAST_MS = 1000 };

/* The JSON value of an option that is written as text. */
static json_t *
typed(const OptionInfo *option, const char *text)
{
    int64_t number = 0;
    if (!text)
        return json_null();
    if (strcmp(option->kind, "BOOL") == 0)
        return json_boolean(strcmp(text, "true") == 0);
    if ((strcmp(option->kind, "COUNT") == 0 || strcmp(option->kind, "SECONDS") == 0) &&
        int_parse(text, INT64_MIN, INT64_MAX, &number))
        return json_integer(number);
    json_t *value = json_string(text);
    return value ? value : json_string("(not UTF-8)");
}

static json_t *
describe(const Invocation *invocation, const ServerConfig *server)
{
    AUTO(arena) Arena *arena = arena_new();
    size_t count = 0;
    const OptionInfo *options = option_all(&count);
    json_t *object = json_object(), *messages = json_array();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(
            object, options[i].name,
            typed(&options[i], option_value(&options[i], invocation->config, server, arena)));
    for (size_t i = 0; i < server->messages.count; i++)
        json_array_append_new(messages, json_string(server->messages.items[i]));
    json_object_set_new(object, "name", json_string(server->name));
    json_object_set_new(object, "disabled", json_boolean(server->disabled));
    json_object_set_new(object, "msg_list", messages);
    return object;
}

static void
set_text(json_t *object, const char *key, const char *text)
{
    json_t *value = text ? json_string(text) : json_null();
    json_object_set_new(object, key, value ? value : json_string("(not UTF-8)"));
}

static void
set_answer(json_t *object, const char *key, Answer answer)
{
    json_object_set_new(
        object, key, answer == ANSWER_UNKNOWN ? json_null() : json_boolean(answer == ANSWER_YES));
}

/* Under Barman's names, which are older than pg_receivewal's. */
static int
describe_receiver(const ServerConfig *server, int64_t timeout_ms, json_t *object)
{
    AUTO(arena) Arena *arena = arena_new();
    ReceiverStatus status;
    if (!server->streaming_archiver || server->disabled)
        return 0;
    TRY(receiver_status(server, timeout_ms, arena, &status));
    set_answer(object, "pg_receivexlog_installed", status.installed ? ANSWER_YES : ANSWER_NO);
    set_text(object, "pg_receivexlog_path", status.path);
    set_text(object, "pg_receivexlog_version", status.version);
    set_answer(object, "pg_receivexlog_compatible", status.compatible);
    set_answer(object, "pg_receivexlog_supports_slots", status.supports_slots);
    set_answer(object, "pg_receivexlog_synchronous", status.synchronous);
    if (status.problem)
        set_text(object, "connection_error", status.problem);
    return 0;
}

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
run(const Invocation *invocation)
{
    size_t count = 0;
    int64_t begun = clock_ms();
    AUTO(free) const ServerConfig **servers = command_servers(invocation, &count);
    if (!servers)
        return EXIT_FAILED;
    int code = EXIT_DONE;
    for (size_t i = 0; i < count; i++) {
        json_t *object = describe(invocation, servers[i]);
        int64_t left = begun + ALL_MS - clock_ms();
        int64_t timeout_ms = left < LEAST_MS ? LEAST_MS : left < SERVER_MS ? left : SERVER_MS;
        if (wrap(describe_receiver(servers[i], timeout_ms, object), "receiver of server '%s'",
                 servers[i]->name) < 0) {
            report_failure(invocation->report, error_last());
            code = EXIT_FAILED;
        }
        if (!report_is_json(invocation->report)) {
            report_info(invocation->report, "Server %s:", servers[i]->name);
            print_sorted(invocation->report, object);
            report_info(invocation->report, "%s", "");
        }
        report_set(invocation->report, servers[i]->name, object);
    }
    return code;
}

const Command command_show_servers = {
    .name = "show-servers",
    .alias = "show-server",
    .arguments = "SERVER...",
    .argument_min = 1,
    .argument_max = 1000,
    .summary = "show the configuration in force",
    .help = "Shows every option and the value that is in force, for the servers or for\n"
            "\"all\", and of those that receive WAL whether the receiver fits the server. A\n"
            "server that does not answer is waited for no longer than 5 s.",
    .run = run,
};
