/* SPDX-License-Identifier: PostgreSQL
 * One query, so that the positions of all clients and that of the server are of the same moment:
 * what a client is behind would else be made up. It always has a row, with the server's position.
 * How clients are shown is not decided here. */
#include "pg/clients.h"

#include "base/str.h"
#include "wal/name.h"

enum Column {
    POSITION,
    PID,
    APPLICATION,
    USER,
    STATE,
    SYNC_STATE,
    PRIORITY,
    ADDRESS,
    PORT,
    HOST,
    SLOT,
    XMIN,
    STARTED,
    FIRST_STAGE,
    COLUMNS = FIRST_STAGE + PG_STAGES,
};

static const char query[] =
    "SELECT s.position, c.pid, c.application_name, c.usename, c.state, c.sync_state,"
    " c.sync_priority, pg_catalog.host(c.client_addr), c.client_port, c.client_hostname,"
    " c.slot_name, c.backend_xmin,"
    " pg_catalog.to_char(c.backend_start, 'YYYY-MM-DD HH24:MI:SS.US')"
    " || pg_catalog.rpad(pg_catalog.to_char(c.backend_start, 'OF'), 6, ':00'),"
    " c.sent_lsn, c.write_lsn, c.flush_lsn, c.replay_lsn"
    " FROM (SELECT CASE WHEN pg_catalog.pg_is_in_recovery()"
    " THEN coalesce(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn(),"
    " '0/0') ELSE pg_catalog.pg_current_wal_lsn() END AS position) s"
    " LEFT JOIN (SELECT r.*, slots.slot_name FROM pg_catalog.pg_stat_replication r"
    " LEFT JOIN pg_catalog.pg_replication_slots slots ON slots.active_pid = r.pid"
    " WHERE slots.slot_type IS DISTINCT FROM 'logical'"
    " AND ($1 = '' OR (r.replay_lsn IS NOT NULL) = ($1 = 'standby'))) c ON true"
    " ORDER BY c.sync_state DESC, c.sync_priority, c.pid";

static bool
parse_client(const char *const *row, Lsn position, PgClient *ret_client)
{
    PgClient client = {
        .application = row[APPLICATION],
        .user = row[USER],
        .state = row[STATE],
        .sync_state = row[SYNC_STATE],
        .address = row[ADDRESS],
        .port = row[PORT],
        .host = row[HOST],
        .slot = row[SLOT],
        .xmin = row[XMIN],
        .started = row[STARTED],
    };
    for (int i = 0; i < PG_STAGES; i++) {
        Lsn lsn = 0;
        client.position[i] = row[FIRST_STAGE + i];
        if (client.position[i] && !lsn_parse(client.position[i], &lsn))
            return false;
        client.behind[i] = client.position[i] ? (int64_t)(lsn - position) : 0;
    }
    *ret_client = client;
    return int_parse(row[PID], 0, INT32_MAX, &ret_client->pid) &&
           (!row[PRIORITY] || int_parse(row[PRIORITY], 0, INT32_MAX, &ret_client->priority));
}

int
pg_clients_read(PgConnection *connection, Arena *arena, PgClientKind kind, PgClients *ret_clients)
{
    static const char *const kinds[] = {
        [PG_CLIENT_ANY] = "", [PG_CLIENT_STANDBY] = "standby", [PG_CLIENT_STREAMER] = "streamer"};
    PgTable table;
    Lsn position = 0;
    TRY(pg_query(connection, arena, query, &kinds[kind], 1, &table));
    if (table.rows == 0 || table.columns != COLUMNS || !table.values[POSITION] ||
        !lsn_parse(table.values[POSITION], &position))
        return fail(ERR_DATA, "the server's answer to who receives WAL makes no sense");

    PgClients clients = {.position = table.values[POSITION]};
    clients.items = arena_alloc(arena, table.rows * sizeof(PgClient));
    for (size_t i = 0; i < table.rows; i++) {
        const char *const *row = table.values + i * COLUMNS;
        if (!row[PID]) /* the row of the server, when there are no clients */
            continue;
        if (!parse_client(row, position, &clients.items[clients.count++]))
            return fail(ERR_DATA, "the server's answer to who receives WAL makes no sense");
    }
    *ret_clients = clients;
    return 0;
}
