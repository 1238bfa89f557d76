/* SPDX-License-Identifier: PostgreSQL
 * walden show-servers SERVER...: every option and the value that is in force (interface 6.13). */
#include "command/command.h"

typedef struct Row {
    const char *key;
    json_t *value; /* typed as Barman's: true, 3, "gzip", null */
} Row;

static int
by_key(const void *a, const void *b)
{
    return strcmp(((const Row *)a)->key, ((const Row *)b)->key);
}

static json_t *
value_of(const OptionInfo *option, const Invocation *invocation, const ServerConfig *server,
         Arena *arena)
{
    const char *text = option_value(option, invocation->config, server, arena);
    if (!text)
        return json_null();
    if (strcmp(option->kind, "BOOL") == 0)
        return json_boolean(strcmp(text, "true") == 0);
    if (strcmp(option->kind, "COUNT") == 0 || strcmp(option->kind, "SECONDS") == 0)
        return json_integer(strtoll(text, NULL, 10));
    json_t *value = json_string(text);
    return value ? value : json_string("?"); /* not UTF-8 */
}

static json_t *
messages_of(const ServerConfig *server)
{
    json_t *list = json_array();
    for (size_t i = 0; i < server->messages.count; i++)
        json_array_append_new(list, json_string(server->messages.items[i]));
    return list;
}

/* As Python would print it */
static void
append_text(Str *line, const json_t *value)
{
    const json_t *item;
    size_t i;
    if (json_is_string(value)) {
        str_append(line, json_string_value(value));
    } else if (json_is_integer(value)) {
        str_appendf(line, "%lld", (long long)json_integer_value(value));
    } else if (json_is_array(value)) {
        str_append(line, "[");
        json_array_foreach(value, i, item)
            str_appendf(line, "%s'%s'", i ? ", " : "", json_string_value(item));
        str_append(line, "]");
    } else {
        str_append(line, json_is_null(value) ? "None" : json_is_true(value) ? "True" : "False");
    }
}

static void
show(const Invocation *invocation, const ServerConfig *server)
{
    AUTO(arena) Arena *arena = arena_new();
    size_t count = 0;
    const OptionInfo *all = option_all(&count);
    Row *rows = arena_alloc(arena, (count + 3) * sizeof(Row));
    for (size_t i = 0; i < count; i++)
        rows[i] = (Row){all[i].name, value_of(&all[i], invocation, server, arena)};
    rows[count++] = (Row){"name", json_string(server->name)};
    rows[count++] = (Row){"disabled", json_boolean(server->disabled)};
    rows[count++] = (Row){"msg_list", messages_of(server)};
    qsort(rows, count, sizeof(Row), by_key);

    json_t *object = json_object();
    bool console = !report_is_json(invocation->report);
    if (console)
        report_info(invocation->report, "Server %s:", server->name);
    for (size_t i = 0; i < count; i++) {
        AUTO(str) Str line = {0};
        str_appendf(&line, "\t%s: ", rows[i].key);
        append_text(&line, rows[i].value);
        if (console)
            report_info(invocation->report, "%s", str_text(&line));
        json_object_set_new(object, rows[i].key, rows[i].value);
    }
    report_set(invocation->report, server->name, object);
}

static int
run(const Invocation *invocation)
{
    size_t count = 0;
    AUTO(free) const ServerConfig **servers = command_servers(invocation, &count);
    if (!servers)
        return EXIT_FAILED;
    for (size_t i = 0; i < count; i++)
        show(invocation, servers[i]);
    return EXIT_DONE;
}

const Command command_show_servers = {
    .name = "show-servers",
    .alias = "show-server",
    .arguments = "SERVER...",
    .argument_min = 1,
    .argument_max = 1000,
    .summary = "show the configuration in force",
    .help = "Shows every option and the value that is in force for the servers, or for\n"
            "\"all\".",
    .run = run,
};
