/* SPDX-License-Identifier: PostgreSQL
 * The answers that monitoring knows under Barman's names, for either receiver. Only asks; what is
 * good or bad about an answer is not said here. */
#include "flow/intake/status.h"

#include "base/proc.h"
#include "flow/intake/client.h"
#include "version.h"

static int
find_program(const ServerConfig *server, Arena *arena, WalClient *client,
             ReceiverStatus *ret_status)
{
    if (strcmp(server->receiver, "walden") == 0) {
        AUTO(free) char *path = NULL;
        TRY(proc_own_path(&path));
        ret_status->installed = true;
        ret_status->path = arena_dup(arena, path);
        ret_status->version = WALDEN_VERSION;
        ret_status->compatible = ANSWER_YES;
        ret_status->supports_slots = ANSWER_YES;
        return 0;
    }
    int found = client_find(server->path_prefix, arena, client);
    if (found < 0)
        return found;
    ret_status->installed = found != CLIENT_NONE;
    ret_status->path = client->path;
    ret_status->version = client->version;
    return 0;
}

static int
ask_server(const ServerConfig *server, int64_t timeout_ms, int *ret_version, bool *ret_synchronous)
{
    AUTO(pg) PgConnection *connection = NULL;
    TRY(receiver_connect_any(server, timeout_ms, &connection));
    TRY(receiver_is_synchronous(server, connection, ret_synchronous));
    *ret_version = pg_version(connection);
    return 0;
}

int
receiver_status(const ServerConfig *server, int64_t timeout_ms, Arena *arena,
                ReceiverStatus *ret_status)
{
    WalClient client = {0};
    int version = 0;
    bool synchronous = false;
    ReceiverStatus status = {.compatible = ANSWER_UNKNOWN,
                             .supports_slots = ANSWER_UNKNOWN,
                             .synchronous = ANSWER_UNKNOWN};
    TRY(find_program(server, arena, &client, &status));
    if (ask_server(server, timeout_ms, &version, &synchronous) < 0) {
        TRY(stop_check());
        status.problem = arena_dup(arena, error_last()->text);
    } else if (status.installed) {
        if (client.path) {
            status.compatible = client_fits(&client, version) ? ANSWER_YES : ANSWER_NO;
            status.supports_slots = ANSWER_YES; /* all versions that are still spoken to */
        }
        status.synchronous = synchronous ? ANSWER_YES : ANSWER_NO;
    }
    *ret_status = status;
    return 0;
}
