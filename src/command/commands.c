/* SPDX-License-Identifier: PostgreSQL
 * The table of commands, and how they choose their servers. */
#include "command/command.h"

#include "base/log.h"
#include "config/secret.h"

/* clang-format off */
static const Command *const commands[] = {
    &command_archive_wal,
    &command_check,
    &command_check_wal_archive,
    &command_cloud_wal_archive,
    &command_cloud_wal_restore,
    &command_cron,
    &command_delete_wals,
    &command_diagnose,
    &command_get_wal,
    &command_list_servers,
    &command_metrics,
    &command_put_wal,
    &command_rebuild_xlogdb,
    &command_receive_wal,
    &command_rekey,
    &command_replication_status,
    &command_run,
    &command_show_servers,
    &command_show_wals,
    &command_status,
    &command_switch_wal,
    &command_sync_info,
    &command_verify,
};
/* clang-format on */

const Command *const *
command_all(size_t *ret_count)
{
    *ret_count = COUNT_OF(commands);
    return commands;
}

const Command *
command_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(name, commands[i]->name) == 0 ||
            (commands[i]->alias && strcmp(name, commands[i]->alias) == 0))
            return commands[i];
    return NULL;
}

static const ServerConfig *
known_server(const Invocation *invocation, const char *name)
{
    const ServerConfig *server = config_find_server(invocation->config, name);
    if (!server)
        report_error(invocation->report, "Unknown server '%s'", name);
    return server;
}

const ServerConfig *
command_server(const Invocation *invocation, const char *name)
{
    if (strcmp(name, "all") == 0) {
        report_error(invocation->report, "You cannot use 'all' in a single server context");
        return NULL;
    }
    const ServerConfig *server = known_server(invocation, name);
    if (!server || !server->disabled)
        return server;
    report_error(invocation->report, "Disabled server '%s': %s", name,
                 server->messages.count ? server->messages.items[0] : "its configuration is wrong");
    return NULL;
}

const ServerConfig **
command_servers(const Invocation *invocation, size_t *ret_count)
{
    const Config *config = invocation->config;
    bool all = invocation->argument_count == 1 && strcmp(invocation->arguments[0], "all") == 0;
    size_t count = all ? config->server_count : (size_t)invocation->argument_count;
    AUTO(free) const ServerConfig **servers = mem_alloc((count + 1) * sizeof(*servers));
    for (size_t i = 0; i < count; i++) {
        servers[i] = all ? &config->servers[i] : known_server(invocation, invocation->arguments[i]);
        if (!servers[i])
            return NULL;
    }
    *ret_count = count;
    return take(servers);
}

char *
command_lock_path(const Invocation *invocation, const ServerConfig *server, const char *task)
{
    return mem_printf("%s/.%s-%s.lock", invocation->config->barman_lock_directory, server->name,
                      task);
}

void
command_open_log(const Invocation *invocation, const Config *config)
{
    Report *report = invocation->report;
    int level = LOG_INFO;
    if (!log_level_parse(invocation->log_level ? invocation->log_level : config->log_level, &level))
        level = LOG_INFO;
    if (log_open(config->log_file, level) < 0)
        report_warning(report, "%s; logging to standard error", error_last()->text);
    for (size_t i = 0; i < config->warnings.count; i++)
        report_warning(report, "%s", config->warnings.items[i]);
}

void
command_tell_overrides(const Invocation *invocation, const ServerConfig *server)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(str) Str line = {0};
    const char *streaming = server->wal_streaming_conninfo, *sql = server->wal_conninfo;
    if (streaming)
        str_appendf(&line, "wal_streaming_conninfo (%s) in place of streaming_conninfo%s",
                    conninfo_redact(streaming, arena), sql ? "" : " and conninfo");
    if (sql)
        str_appendf(&line, "%swal_conninfo (%s) in place of conninfo", streaming ? ", " : "",
                    conninfo_redact(sql, arena));
    if (line.length)
        report_info(invocation->report, "WAL of server %s: using %s", server->name,
                    str_text(&line));
}

bool
command_skips_inactive(const Invocation *invocation, const ServerConfig *server)
{
    if (!server->active)
        report_info(invocation->report, "Skipping inactive server '%s'", server->name);
    return !server->active;
}
