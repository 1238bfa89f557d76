/* SPDX-License-Identifier: PostgreSQL
 * Faults of the set-up that are better told before anything is received than found out later.
 * Receiving itself needs no SQL: whether that works, or what its user may see, never keeps WAL from
 * being received. */
#include "flow/intake/preflight.h"

#include "base/log.h"
#include "pg/facts.h"
#include "wal/identity.h"

#include <inttypes.h>
#include <stdarg.h>

enum { ASK_MS = 5000 };

static void warn(const ReceiverSpec *spec, const char *format, ...) PRINTF_LIKE(2, 3);

static void
warn(const ReceiverSpec *spec, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *line = mem_vprintf(format, args);
    va_end(args);
    log_warning("server '%s': %s", spec->server->name, line);
    spec->tell(spec->context, line);
}

static int
read_facts(const char *conninfo, Arena *arena, PgFacts *ret_facts)
{
    AUTO(pg) PgConnection *connection = NULL;
    TRY(wrap(pg_connect(conninfo, PG_SQL, "walden", ASK_MS, &connection), "connect for SQL"));
    return pg_facts_read(connection, arena, ret_facts);
}

int
preflight_ask(const ReceiverSpec *spec, uint64_t *ret_system_id)
{
    const char *conninfo = server_wal_conninfo(spec->server);
    AUTO(arena) Arena *arena = arena_new();
    PgFacts facts;
    *ret_system_id = 0;
    if (!conninfo)
        return 0;
    if (read_facts(conninfo, arena, &facts) < 0) {
        ErrorClass class = error_last()->class;
        if (class == ERR_STOPPED || class == ERR_UNSUPPORTED || class == ERR_CONFIG)
            return -1;
        warn(spec, "the server was not asked for its settings: %s", error_last()->text);
        return 0;
    }
    if (strcmp(facts.wal_level, "minimal") == 0)
        return hint(fail(ERR_CONFIG, "the server's wal_level is 'minimal'"),
                    "set wal_level = replica and max_wal_senders, and restart the server");
    if (!facts.may_monitor)
        warn(spec,
             "user '%s' may not see the server's statistics and settings (GRANT pg_monitor TO the "
             "user); WAL is received all the same",
             facts.user);
    *ret_system_id = facts.system_id;
    return 0;
}

int
preflight_system(const ServerConfig *server, uint64_t asked_id, const PgSystem *system, int version)
{
    if (asked_id && asked_id != system->id)
        return hint(fail(ERR_DATA,
                         "the connection for streaming leads to the cluster %" PRIu64
                         ", and the one for SQL to the cluster %" PRIu64,
                         system->id, asked_id),
                    "check the connection strings of the server");
    return identity_check(server->backup_directory, system->id, version / 10000);
}
