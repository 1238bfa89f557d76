/* SPDX-License-Identifier: PostgreSQL
 * walden show-servers SERVER...: every option and the value that is in force (interface 6.13). */
#include "command/command.h"

typedef struct Row {
    const char *key;
    const char *value;
} Row;

static int
by_key(const void *a, const void *b)
{
    return strcmp(((const Row *)a)->key, ((const Row *)b)->key);
}

static const char *
messages_text(const ServerConfig *server, Arena *arena)
{
    AUTO(str) Str text = {0};
    for (size_t i = 0; i < server->messages.count; i++)
        str_appendf(&text, "%s'%s'", i ? ", " : "", server->messages.items[i]);
    return arena_printf(arena, "[%s]", str_text(&text));
}

static void
show(const Invocation *invocation, const ServerConfig *server)
{
    AUTO(arena) Arena *arena = arena_new();
    size_t count = 0;
    const OptionInfo *all = option_all(&count);
    Row *rows = arena_alloc(arena, (count + 3) * sizeof(Row));
    for (size_t i = 0; i < count; i++)
        rows[i] = (Row){all[i].name, option_value(&all[i], invocation->config, server, arena)};
    rows[count++] = (Row){"name", server->name};
    rows[count++] = (Row){"disabled", server->disabled ? "True" : "False"};
    rows[count++] = (Row){"msg_list", messages_text(server, arena)};
    qsort(rows, count, sizeof(Row), by_key);

    json_t *object = json_object();
    if (!report_is_json(invocation->report))
        report_info(invocation->report, "Server %s:", server->name);
    for (size_t i = 0; i < count; i++) {
        json_object_set_new(object, rows[i].key,
                            rows[i].value ? json_string(rows[i].value) : json_null());
        if (!report_is_json(invocation->report))
            report_info(invocation->report, "\t%s: %s", rows[i].key,
                        rows[i].value ? rows[i].value : "None");
    }
    if (!report_is_json(invocation->report))
        report_info(invocation->report, "%s", "");
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
