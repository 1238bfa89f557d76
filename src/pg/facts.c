/* SPDX-License-Identifier: PostgreSQL
 * One query for all facts, so that they are of the same moment; it reads the same on all versions
 * from 10 on, so that nothing here has to know what changed when. What the answer means for a
 * command is decided there. */
#include "pg/facts.h"

#include "base/log.h"
#include "wal/name.h"

const char *
server_wal_streaming_conninfo(const ServerConfig *server)
{
    return server->wal_streaming_conninfo ? server->wal_streaming_conninfo
                                          : server->streaming_conninfo;
}

const char *
server_wal_conninfo(const ServerConfig *server)
{
    if (server->wal_conninfo)
        return server->wal_conninfo;
    return server->wal_streaming_conninfo ? server->wal_streaming_conninfo : server->conninfo;
}

const char *
server_primary_conninfo(const ServerConfig *server)
{
    return server->primary_conninfo ? server->primary_conninfo : server->conninfo;
}

const char *
server_wal_application(const ServerConfig *server, Arena *arena)
{
    const char *conninfo = server_wal_streaming_conninfo(server);
    const char *name = server->streaming_archiver_name;
    /* Of a string that cannot be read, connecting tells. */
    if (conninfo && pg_conninfo_application(conninfo, name, arena, &name) < 0)
        log_debug("server '%s': %s", server->name, error_last()->text);
    return name;
}

enum Column {
    USER,
    RECOVERY,
    TIMELINE,
    POSITION,
    SEGMENT,
    SWITCH,
    CHECKPOINT,
    MONITOR,
    SYSTEM,
    LEVEL,
    COLUMNS
};

/* Roles are looked for by name, since not all of them exist: pg_checkpoint is known from version 15
 * on. A superuser has all of them. */
static const char query[] =
    "SELECT current_user, r,"
    " CASE WHEN r THEN (SELECT timeline_id::text FROM pg_catalog.pg_control_checkpoint())"
    " ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) END,"
    " CASE WHEN r THEN coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0')"
    " ELSE pg_catalog.pg_current_wal_insert_lsn() END,"
    " pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')),"
    " pg_catalog.has_function_privilege('pg_catalog.pg_switch_wal()', 'EXECUTE'),"
    " (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)"
    " OR EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pg_checkpoint'"
    " AND pg_catalog.pg_has_role(oid, 'USAGE')),"
    " (SELECT count(*) = 2 FROM pg_catalog.pg_roles"
    " WHERE rolname IN ('pg_read_all_settings', 'pg_read_all_stats')"
    " AND pg_catalog.pg_has_role(oid, 'USAGE')),"
    " (SELECT system_identifier FROM pg_catalog.pg_control_system()),"
    " pg_catalog.current_setting('wal_level')"
    " FROM pg_catalog.pg_is_in_recovery() r";

static bool
is_true(const char *value)
{
    return strcmp(value, "t") == 0;
}

static bool
parse_row(const char *const *row, PgFacts *facts)
{
    int64_t size = 0, system = 0;
    char *end = NULL;
    for (int i = 0; i < COLUMNS; i++)
        if (!row[i])
            return false;
    facts->user = row[USER];
    facts->in_recovery = is_true(row[RECOVERY]);
    facts->timeline = (Timeline)strtoul(row[TIMELINE], &end, facts->in_recovery ? 10 : 16);
    facts->may_switch = is_true(row[SWITCH]);
    facts->may_checkpoint = is_true(row[CHECKPOINT]);
    facts->may_monitor = is_true(row[MONITOR]);
    if (*end || !int_parse(row[SEGMENT], WAL_SEGMENT_MIN, WAL_SEGMENT_MAX, &size) ||
        !wal_segment_size_valid((uint64_t)size))
        return false;
    facts->segment_size = (uint32_t)size;
    facts->wal_level = row[LEVEL];
    if (!int_parse(row[SYSTEM], INT64_MIN, INT64_MAX, &system) || system == 0)
        return false;
    facts->system_id = (uint64_t)system; /* SQL has no unsigned numbers */
    return facts->timeline != 0 && lsn_parse(row[POSITION], &facts->lsn);
}

int
pg_facts_read(PgConnection *connection, Arena *arena, PgFacts *ret_facts)
{
    enum { OLDEST = 100000 };
    PgFacts facts = {.version = pg_version(connection)};
    if (facts.version < OLDEST)
        return fail(ERR_UNSUPPORTED, "the server is of version %d.%d, PostgreSQL 10 is needed",
                    facts.version / 10000, facts.version / 100 % 100);
    PgTable table;
    TRY(pg_query(connection, arena, query, NULL, 0, &table));
    if (table.rows != 1 || table.columns != COLUMNS || !parse_row(table.values, &facts))
        return fail(ERR_DATA, "the server's answer to what it is makes no sense");
    *ret_facts = facts;
    return 0;
}
