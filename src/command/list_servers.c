/* SPDX-License-Identifier: PostgreSQL
 * walden list-servers: what is configured. */
#include "command/command.h"

enum Option { MINIMAL };

static const CommandOption options[] = {
    [MINIMAL] = {"minimal", "", NULL, "print the names only"},
};

static int
run(const Invocation *invocation)
{
    for (size_t i = 0; i < invocation->config->server_count; i++) {
        const ServerConfig *server = &invocation->config->servers[i];
        AUTO(str) Str text = {0};
        str_append(&text, server->description ? server->description : "");
        if (!server->active)
            str_append(&text, " (inactive)");
        if (server->disabled)
            str_append(&text, " (WARNING: disabled)");
        if (report_is_json(invocation->report))
            report_set(invocation->report, server->name,
                       json_pack("{s:o}", "description", report_text(str_text(&text))));
        else if (invocation->options[MINIMAL] || text.length == 0)
            report_info(invocation->report, "%s", server->name);
        else
            report_info(invocation->report, "%s - %s", server->name, str_text(&text));
    }
    return EXIT_DONE;
}

const Command command_list_servers = {
    .name = "list-servers",
    .alias = "list-server",
    .arguments = "",
    .summary = "list the configured servers",
    .help = "Lists the configured servers and their descriptions.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
