/* SPDX-License-Identifier: PostgreSQL
 * One query for everything, so that the figures are of the same moment. Nothing is judged here. */
#include "pg/status.h"

static const struct {
    const char *name;
    PgStatusType type;
} columns[] = {
#define STATUS(key, name, type, expression) [PG_STATUS_##key] = {name, type},
#include "pg/status.def"
#undef STATUS
};

static const char query[] = "SELECT "
#define STATUS(key, name, type, expression) "(" expression ")::text, "
#include "pg/status.def"
#undef STATUS
                            "NULL"
                            " FROM pg_catalog.pg_is_in_recovery() r"
                            " CROSS JOIN pg_catalog.pg_stat_archiver a"
                            " LEFT JOIN pg_catalog.pg_replication_slots k"
                            " ON k.slot_type = 'physical' AND k.slot_name = $1"
                            " LEFT JOIN LATERAL (SELECT * FROM pg_catalog.pg_stat_replication"
                            " WHERE application_name = $2 LIMIT 1) w ON true";

const char *
pg_status_name(PgStatusKey key)
{
    return columns[key].name;
}

PgStatusType
pg_status_type(PgStatusKey key)
{
    return columns[key].type;
}

const char *
pg_status_text(const PgStatus *status, PgStatusKey key)
{
    return status->known[key] ? status->text[key] : NULL;
}

int64_t
pg_status_integer(const PgStatus *status, PgStatusKey key, int64_t fallback)
{
    return status->known[key] ? strtoll(status->text[key], NULL, 10) : fallback;
}

bool
pg_status_is(const PgStatus *status, PgStatusKey key)
{
    return status->known[key] && status->text[key][0] == 't';
}

int
pg_status_read(PgConnection *connection, const char *slot, const char *application,
               PgStatus *ret_status)
{
    AUTO(arena) Arena *arena = arena_new();
    PgTable table;
    TRY(pg_query(connection, arena, query, (const char *const[]){slot, application}, 2, &table));
    if (table.rows != 1 || table.columns != PG_STATUS_COUNT + 1)
        return fail(ERR_DATA, "the server's answer to what it does makes no sense");
    for (size_t i = 0; i < PG_STATUS_COUNT; i++) {
        ret_status->known[i] = table.values[i] != NULL;
        snprintf(ret_status->text[i], PG_STATUS_ROOM, "%s", table.values[i] ? table.values[i] : "");
    }
    return 0;
}
