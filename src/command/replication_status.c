/* SPDX-License-Identifier: PostgreSQL
 * walden replication-status SERVER...: who receives WAL from the server, and how far each is. Words
 * and JSON are Barman's, for scripts read them. Writes nothing anywhere. */
#include "base/proc.h"
#include "command/command.h"
#include "pg/clients.h"
#include "pg/facts.h"

enum { SERVER_TIMEOUT_MS = 30 * 1000, TITLE_MAX = 32 };

enum Option { MINIMAL, TARGET, SOURCE };

static const CommandOption options[] = {
    [MINIMAL] = {"minimal", "", NULL, "one line for each client"},
    [TARGET] = {"target", "", "KIND", "all, hot-standby or wal-streamer. Default: all"},
    [SOURCE] = {"source", "", "HOST",
                "ask the server of conninfo (backup-host), or the\none that WAL is received from "
                "(wal-host).\nDefault: backup-host"},
};

static const struct {
    const char *name, *title, *capital, *key;
} targets[] = {
    [PG_CLIENT_ANY] = {"all", "streaming clients", "Streaming clients", "streaming_clients"},
    [PG_CLIENT_STANDBY] = {"hot-standby", "hot standby servers", "Hot standby servers",
                           "hot_standby_servers"},
    [PG_CLIENT_STREAMER] = {"wal-streamer", "WAL streamers", "Wal streamers", "wal_streamers"},
};

static const struct {
    const char *label, *key;
} stages[] = {
    [PG_SENT] = {"Sent LSN  ", "sent_lsn"},
    [PG_WRITTEN] = {"Write LSN ", "write_lsn"},
    [PG_FLUSHED] = {"Flush LSN ", "flush_lsn"},
    [PG_REPLAYED] = {"Replay LSN", "replay_lsn"},
};

typedef struct View {
    const Invocation *invocation;
    PgClientKind target;
    bool wal_host;
} View;

static bool
has_reached(const PgClient *client, PgStage stage)
{
    return client->position[stage] && client->behind[stage] == 0;
}

static bool
is_standby(const PgClient *client)
{
    return client->position[PG_REPLAYED] != NULL;
}

/* How safe is what the server has just written? */
static const char *
sync_stage(const PgClient *client)
{
    bool standby = is_standby(client);
    if (standby && has_reached(client, PG_REPLAYED))
        return "5/5 Hot standby (max)";
    if (standby && has_reached(client, PG_FLUSHED))
        return "4/5 2-safe";
    if (has_reached(client, PG_WRITTEN))
        return standby ? "3/5 Remote write" : "3/3 Remote write";
    if (has_reached(client, PG_SENT))
        return standby ? "2/5 WAL Sent (min)" : "2/3 WAL Sent (min)";
    return standby ? "1/5 1-safe" : "1/3 1-safe";
}

static const char *
or_none(const char *text)
{
    return text ? text : "None";
}

static char
upper(char letter)
{
    return (char)(letter >= 'a' && letter <= 'z' ? letter - 'a' + 'A' : letter);
}

/* "#1 Sync standby"; free it. */
static char *
client_name(const PgClient *client)
{
    const char *state = or_none(client->sync_state);
    const char *kind = is_standby(client) ? "standby" : "WAL streamer";
    return client->priority > 0
               ? mem_printf("#%lld %c%s %s", (long long)client->priority, upper(*state),
                            *state ? state + 1 : "", kind)
               : mem_printf("%c%s %s", upper(*state), *state ? state + 1 : "", kind);
}

static void
print_minimal(Report *report, size_t number, const PgClient *client)
{
    const char *from = client->address ? client->address : "socket";
    if (!is_standby(client))
        report_info(report, "  %zu. W) %s@%s S:%s W:%s P:%lld AN:%s", number, or_none(client->user),
                    from, or_none(client->position[PG_SENT]), or_none(client->position[PG_WRITTEN]),
                    (long long)client->priority, or_none(client->application));
    else
        report_info(report, "  %zu. %c) %s@%s S:%s F:%s R:%s P:%lld AN:%s", number,
                    upper(*or_none(client->sync_state)), or_none(client->user), from,
                    or_none(client->position[PG_SENT]), or_none(client->position[PG_FLUSHED]),
                    client->position[PG_REPLAYED], (long long)client->priority,
                    or_none(client->application));
}

static void
print_full(Report *report, size_t number, const PgClient *client)
{
    AUTO(free) char *name = client_name(client);
    report_info(report, "%s", "");
    report_info(report, "  %zu. %s", number, name);
    report_info(report, "     Application name: %s", or_none(client->application));
    report_info(report, "     Sync stage      : %s", sync_stage(client));
    if (client->address) {
        report_info(report, "     Communication   : TCP/IP");
        report_info(report, "     IP Address      : %s / Port: %s / Host: %s", client->address,
                    or_none(client->port), client->host ? client->host : "-");
    } else {
        report_info(report, "     Communication   : Unix domain socket");
    }
    report_info(report, "     User name       : %s", or_none(client->user));
    report_info(report, "     Current state   : %s (%s)", or_none(client->state),
                or_none(client->sync_state));
    if (client->slot)
        report_info(report, "     Replication slot: %s", client->slot);
    report_info(report, "     WAL sender PID  : %lld", (long long)client->pid);
    report_info(report, "     Started at      : %s", or_none(client->started));
    if (client->xmin)
        report_info(report, "     Standby's xmin  : %s", client->xmin);
    for (int i = 0; i < PG_STAGES; i++) {
        char size[SIZE_ROOM];
        size_format(client->behind[i], size);
        if (client->position[i])
            report_info(report, "     %s : %s (diff: %s)", stages[i].label, client->position[i],
                        size);
    }
}

static void
print_clients(const View *view, const char *server, const PgClients *clients)
{
    Report *report = view->invocation->report;
    const char *title = targets[view->target].title;
    bool minimal = view->invocation->options[MINIMAL];
    if (minimal) {
        report_info(report, "%s for master '%s' (LSN @ %s):", targets[view->target].capital, server,
                    clients->position);
    } else {
        report_info(report, "Status of %s for server '%s':", title, server);
        report_info(report, "  Current LSN on master: %s", clients->position);
    }
    if (clients->count == 0)
        report_info(report, "  No %s attached", title);
    else if (!minimal)
        report_info(report, "  Number of %s: %zu", title, clients->count);
    for (size_t i = 0; i < clients->count; i++)
        (minimal ? print_minimal : print_full)(report, i + 1, &clients->items[i]);
}

static void
set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, text ? report_text(text) : json_null());
}

static json_t *
describe_minimal(const PgClient *client)
{
    json_t *object = json_object();
    const char state[] = {upper(*or_none(client->sync_state)), '\0'};
    set_text(object, "user_name", client->user);
    set_text(object, "client_addr", client->address ? client->address : "socket");
    set_text(object, "application_name", client->application);
    json_object_set_new(object, "sync_priority", json_integer(client->priority));
    set_text(object, "sent_lsn", client->position[PG_SENT]);
    if (is_standby(client)) {
        set_text(object, "sync_state", state);
        set_text(object, "flush_lsn", client->position[PG_FLUSHED]);
        set_text(object, "replay_lsn", client->position[PG_REPLAYED]);
    } else {
        set_text(object, "write_lsn", client->position[PG_WRITTEN]);
    }
    return object;
}

static void
describe_positions(const PgClient *client, json_t *object)
{
    for (int i = 0; i < PG_STAGES; i++) {
        char size[SIZE_ROOM], key[TITLE_MAX];
        if (!client->position[i])
            continue;
        size_format(client->behind[i], size);
        set_text(object, stages[i].key, client->position[i]);
        snprintf(key, sizeof(key), "%s_diff", stages[i].key);
        set_text(object, key, size);
        snprintf(key, sizeof(key), "%s_diff_bytes", stages[i].key);
        json_object_set_new(object, key, json_integer(client->behind[i]));
    }
}

static json_t *
describe_full(const PgClient *client)
{
    json_t *object = json_object();
    AUTO(free) char *name = client_name(client);
    int64_t number = 0;
    set_text(object, "name", name);
    set_text(object, "application_name", client->application);
    set_text(object, "sync_stage", sync_stage(client));
    set_text(object, "communication", client->address ? "TCP/IP" : "Unix domain socket");
    if (client->address) {
        set_text(object, "ip_address", client->address);
        set_text(object, "host", client->host);
        if (client->port && int_parse(client->port, INT32_MIN, INT32_MAX, &number))
            json_object_set_new(object, "port", json_integer(number));
    }
    set_text(object, "user_name", client->user);
    set_text(object, "current_state", client->state);
    set_text(object, "current_sync_state", client->sync_state);
    if (client->slot)
        set_text(object, "replication_slot", client->slot);
    json_object_set_new(object, "wal_sender_pid", json_integer(client->pid));
    set_text(object, "started_at", client->started);
    if (client->xmin)
        set_text(object, "standbys_xmin", client->xmin);
    describe_positions(client, object);
    return object;
}

static void
set_clients(const View *view, const char *server, const PgClients *clients)
{
    json_t *object = json_object(), *array = json_array();
    bool minimal = view->invocation->options[MINIMAL];
    set_text(object, "server_lsn", clients->position);
    if (clients->count == 0) {
        AUTO(free) char *none = mem_printf("No %s attached", targets[view->target].title);
        set_text(object, "standby_info", none);
    }
    for (size_t i = 0; i < clients->count; i++)
        json_array_append_new(array,
                              (minimal ? describe_minimal : describe_full)(&clients->items[i]));
    json_object_set_new(object, targets[view->target].key, array);
    report_set(view->invocation->report, server, object);
}

static int
show_server(const View *view, const ServerConfig *server)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(pg) PgConnection *connection = NULL;
    PgFacts facts;
    PgClients clients;
    if (server->disabled)
        return fail(ERR_CONFIG, "disabled: %s", server->messages.items[0]);
    const char *conninfo = view->wal_host ? server_wal_conninfo(server) : server->conninfo;
    if (view->wal_host)
        command_tell_overrides(view->invocation, server);
    if (!conninfo)
        return fail(ERR_CONFIG, "'conninfo' is not set");
    TRY(pg_connect(conninfo, PG_SQL, "walden", SERVER_TIMEOUT_MS, &connection));
    TRY(pg_facts_read(connection, arena, &facts));
    if (!facts.may_monitor)
        return hint(fail(ERR_CONFIG, "user '%s' may not see who receives WAL", facts.user),
                    "GRANT pg_monitor TO the user");
    TRY(pg_clients_read(connection, arena, view->target, &clients));
    if (report_is_json(view->invocation->report))
        set_clients(view, server->name, &clients);
    else
        print_clients(view, server->name, &clients);
    return 0;
}

static int
parse_view(const Invocation *invocation, View *ret_view)
{
    const char *target = invocation->options[TARGET], *source = invocation->options[SOURCE];
    View view = {.invocation = invocation};
    size_t found = 0;
    while (target && found < COUNT_OF(targets) && strcmp(targets[found].name, target) != 0)
        found++;
    if (found == COUNT_OF(targets))
        return fail(ERR_USAGE, "--target is all, hot-standby or wal-streamer, not '%s'", target);
    view.target = (PgClientKind)found;
    view.wal_host = source && strcmp(source, "wal-host") == 0;
    if (source && !view.wal_host && strcmp(source, "backup-host") != 0)
        return fail(ERR_USAGE, "--source is backup-host or wal-host, not '%s'", source);
    *ret_view = view;
    return 0;
}

static int
run(const Invocation *invocation)
{
    View view = {0};
    if (parse_view(invocation, &view) < 0) {
        report_failure(invocation->report, error_last());
        return EXIT_USAGE;
    }
    size_t count = 0;
    int code = EXIT_DONE;
    AUTO(free) const ServerConfig **servers = command_servers(invocation, &count);
    if (!servers)
        return EXIT_FAILED;
    stop_on_signals();
    for (size_t i = 0; i < count && !stop_signal(); i++) {
        if (command_skips_inactive(invocation, servers[i]))
            continue;
        if (wrap(show_server(&view, servers[i]), "replication-status of server '%s'",
                 servers[i]->name) < 0) {
            report_failure(invocation->report, error_last());
            code = EXIT_FAILED;
        }
    }
    return stop_signal() ? 128 + stop_signal() : code;
}

const Command command_replication_status = {
    .name = "replication-status",
    .arguments = "SERVER...",
    .argument_min = 1,
    .argument_max = 1000,
    .summary = "show who receives WAL from PostgreSQL",
    .help = "Shows the standbys and receivers that are connected to the servers, or to\n"
            "\"all\", and how far each of them is.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
