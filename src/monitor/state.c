/* SPDX-License-Identifier: PostgreSQL
 * Which parts there are to look at, and the looks at the database server. */
#include "monitor/state.h"

#include "base/clock.h"
#include "flow/intake/receiver.h"
#include "monitor/parts.h"
#include "pg/facts.h"

#include <sys/mman.h>

/* One server answers slowly: its own limit is the probe's, so this is only for the library. */
enum { SERVER_TIMEOUT_MS = 3600 * 1000 };

double
time_seconds(struct timespec time)
{
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double
time_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return time_seconds(now);
}

static int
ask_sql(const ServerState *state, const char *conninfo, PgStatus *ret_status)
{
    AUTO(pg) PgConnection *connection = NULL;
    const ServerConfig *server = state->server;
    TRY(pg_connect(conninfo, PG_SQL, "walden", SERVER_TIMEOUT_MS, &connection));
    AUTO(arena) Arena *arena = arena_new();
    return pg_status_read(connection, server->slot_name, server_wal_application(server, arena),
                          ret_status);
}

static int
ask_stream(const char *conninfo, PgSystem *ret_system)
{
    AUTO(pg) PgConnection *connection = NULL;
    TRY(pg_connect(conninfo, PG_REPLICATION, "walden", SERVER_TIMEOUT_MS, &connection));
    return pg_identify_system(connection, ret_system);
}

static int
sql_look(void *context)
{
    ServerState *state = context;
    return ask_sql(state, state->server->conninfo, &state->sql);
}

static int
wal_sql_look(void *context)
{
    ServerState *state = context;
    return ask_sql(state, server_wal_conninfo(state->server), &state->wal_sql);
}

static int
stream_look(void *context)
{
    ServerState *state = context;
    return ask_stream(state->server->streaming_conninfo, &state->stream);
}

static int
wal_stream_look(void *context)
{
    ServerState *state = context;
    return ask_stream(server_wal_streaming_conninfo(state->server), &state->wal_stream);
}

static int
receiver_look(void *context)
{
    ServerState *state = context;
    ReceiverState *receiver = &state->receiver;
    AUTO(arena) Arena *arena = arena_new();
    ReceiverStatus status;
    TRY(receiver_status(state->server, SERVER_TIMEOUT_MS, arena, &status));
    receiver->installed = status.installed;
    receiver->compatible = status.compatible;
    receiver->supports_slots = status.supports_slots;
    receiver->synchronous = status.synchronous;
    if (status.path)
        snprintf(receiver->path, sizeof(receiver->path), "%s", status.path);
    if (status.version)
        snprintf(receiver->version, sizeof(receiver->version), "%s", status.version);
    return 0;
}

static bool
differs(const char *a, const char *b)
{
    return a && (!b || strcmp(a, b) != 0);
}

static bool
is_there(const ServerConfig *server, Part part)
{
    switch (part) {
    case PART_SQL:
        return server->conninfo != NULL;
    case PART_STREAM:
        return server->streaming_archiver && server->streaming_conninfo;
    case PART_WAL_SQL:
        return differs(server_wal_conninfo(server), server->conninfo);
    case PART_WAL_STREAM:
        return server->streaming_archiver &&
               differs(server_wal_streaming_conninfo(server), server->streaming_conninfo);
    case PART_RECEIVER:
        return server->streaming_archiver;
    default:
        return true;
    }
}

static const struct {
    const char *what;
    int (*look)(void *state);
} parts_table[PART_COUNT] = {
    [PART_FILES] = {"the server's directories", files_look},
    [PART_ARCHIVE] = {"the archive", archive_look},
    [PART_SQL] = {"PostgreSQL", sql_look},
    [PART_STREAM] = {"PostgreSQL (streaming)", stream_look},
    [PART_WAL_SQL] = {"the server that WAL is received from", wal_sql_look},
    [PART_WAL_STREAM] = {"the server that WAL is received from (streaming)", wal_stream_look},
    [PART_RECEIVER] = {"the receiver", receiver_look},
    [PART_STORE] = {"the archive, when a file is written", store_look},
};

/* Makes the state of a server and appends what is to be looked at; their number. */
static size_t
add_probes(const Config *config, const ServerConfig *server, unsigned parts, Probe *probes,
           ServerState **ret_state)
{
    ServerState *state = *ret_state = probe_memory(sizeof(*state));
    size_t count = 0;
    state->config = config;
    state->server = server;
    state->now = time_now();
    for (Part part = 0; part < PART_COUNT; part++) {
        if (!(parts & 1U << part) || !is_there(server, part))
            continue;
        state->asked[part] = true;
        probes[count++] = (Probe){
            .what = parts_table[part].what, .look = parts_table[part].look, .context = state};
    }
    return count;
}

static size_t
take_probes(const Probe *probes, ServerState *state)
{
    size_t count = 0;
    for (Part part = 0; part < PART_COUNT; part++)
        if (state->asked[part])
            state->parts[part] = probes[count++];
    return count;
}

/* As many servers as there may be probes at once */
enum { AT_ONCE = PROBES_MAX / PART_COUNT };

static int
gather_some(const Config *config, const ServerConfig *const *servers, size_t servers_count,
            unsigned parts, int64_t timeout_ms, ServerState **ret_states)
{
    size_t size = PROBES_MAX * sizeof(Probe), count = 0, taken = 0;
    Probe *probes = probe_memory(size);
    for (size_t i = 0; i < servers_count; i++)
        count += add_probes(config, servers[i], parts, probes + count, &ret_states[i]);
    int result = probe_all(probes, count, timeout_ms);
    for (size_t i = 0; i < servers_count; i++)
        taken += take_probes(probes + taken, ret_states[i]);
    munmap(probes, size);
    for (size_t i = 0; i < servers_count && result < 0; i++)
        state_free(ret_states[i]);
    return result;
}

int
state_gather_all(const Config *config, const ServerConfig *const *servers, size_t count,
                 unsigned parts, int64_t timeout_ms, ServerState **ret_states)
{
    int64_t deadline = clock_ms() + timeout_ms;
    for (size_t done = 0; done < count; done += AT_ONCE) {
        size_t left = count - done;
        int64_t rounds = (int64_t)(left + AT_ONCE - 1) / AT_ONCE;
        int64_t share = (deadline - clock_ms()) / rounds;
        if (share < 1)
            share = timeout_ms > 0; /* 0: no limit */
        int result = gather_some(config, servers + done, left < AT_ONCE ? left : AT_ONCE, parts,
                                 share, ret_states + done);
        for (size_t i = 0; i < done && result < 0; i++)
            state_free(ret_states[i]);
        TRY(result);
    }
    return 0;
}

int
state_gather(const Config *config, const ServerConfig *server, unsigned parts, int64_t timeout_ms,
             ServerState **ret_state)
{
    ServerState *state = NULL;
    TRY(gather_some(config, &server, 1, parts, timeout_ms, &state));
    *ret_state = state;
    return 0;
}

void
state_free(ServerState *state)
{
    if (state)
        munmap(state, sizeof(*state));
}

int64_t
state_percent(int64_t part, int64_t whole)
{
    return (int64_t)(100 * ((double)part / (double)whole));
}

bool
state_has(const ServerState *state, Part part)
{
    return state->asked[part] && state->parts[part].outcome == PROBE_DONE;
}

const PgStatus *
state_wal_status(const ServerState *state)
{
    if (state->asked[PART_WAL_SQL])
        return state_has(state, PART_WAL_SQL) ? &state->wal_sql : NULL;
    return state_has(state, PART_SQL) ? &state->sql : NULL;
}
