/* SPDX-License-Identifier: PostgreSQL
 * walden show-servers SERVER...: every option and the value that is in force. JSON
 * has the types that Barman's has; the console has Python's spelling of them. */
#include "command/command.h"

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
    AUTO(free) const ServerConfig **servers = command_servers(invocation, &count);
    if (!servers)
        return EXIT_FAILED;
    for (size_t i = 0; i < count; i++) {
        json_t *object = describe(invocation, servers[i]);
        if (!report_is_json(invocation->report)) {
            report_info(invocation->report, "Server %s:", servers[i]->name);
            print_sorted(invocation->report, object);
            report_info(invocation->report, "%s", "");
        }
        report_set(invocation->report, servers[i]->name, object);
    }
    return EXIT_DONE;
}

const Command command_show_servers = {
    .name = "show-servers",
    .alias = "show-server",
    .arguments = "SERVER...",
    .argument_min = 1,
    .argument_max = 1000,
    .summary = "show the configuration in force",
    .help = "Shows every option and the value that is in force, for the servers or for\n"
            "\"all\".",
    .run = run,
};
