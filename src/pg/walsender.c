/* SPDX-License-Identifier: PostgreSQL
 * Commands of the walsender that end with an answer: what the server is, its settings,
 * histories and slots. The stream itself is in replication.c. Answers are not trusted: what does
 * not look as the protocol says is ERR_DATA. */
#include "pg/replication.h"

#include "base/str.h"
#include "pg/internal.h"
#include "wal/name.h"

#include <errno.h>

enum { READ_SLOT_VERSION = 150000 };

/* The value in a table that must have it. */
static int
answer(const PgTable *table, size_t column, const char *what, const char **ret_text)
{
    if (table->rows != 1 || table->columns <= column || !table->values[column])
        return fail(ERR_DATA, "the server's answer to %s is not understood", what);
    *ret_text = table->values[column];
    return 0;
}

static int
ask(PgConnection *connection, Arena *arena, const char *command, PgTable *ret_table)
{
    return pg_judge(connection, pg_query(connection, arena, command, NULL, 0, ret_table));
}

static bool
system_id_parse(const char *text, uint64_t *ret_id)
{
    if (!*text || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    *ret_id = strtoull(text, NULL, 10);
    return errno == 0 && *ret_id != 0;
}

int
pg_identify_system(PgConnection *connection, PgSystem *ret_system)
{
    AUTO(arena) Arena *arena = arena_new();
    PgTable table;
    const char *id = NULL, *timeline = NULL, *flush = NULL;
    PgSystem system = {0};
    int64_t number = 0;
    TRY(ask(connection, arena, "IDENTIFY_SYSTEM", &table));
    TRY(answer(&table, 0, "IDENTIFY_SYSTEM", &id));
    TRY(answer(&table, 1, "IDENTIFY_SYSTEM", &timeline));
    TRY(answer(&table, 2, "IDENTIFY_SYSTEM", &flush));
    if (!system_id_parse(id, &system.id) || !int_parse(timeline, 1, UINT32_MAX, &number) ||
        !lsn_parse(flush, &system.flush))
        return fail(ERR_DATA, "the server's answer to IDENTIFY_SYSTEM is not understood");
    system.timeline = (Timeline)number;
    *ret_system = system;
    return 0;
}

int
pg_show(PgConnection *connection, Arena *arena, const char *setting, const char **ret_value)
{
    AUTO(free) char *command = mem_printf("SHOW %s", setting);
    PgTable table;
    TRY(ask(connection, arena, command, &table));
    return answer(&table, 0, command, ret_value);
}

int
pg_segment_size(PgConnection *connection, uint32_t *ret_size)
{
    AUTO(arena) Arena *arena = arena_new();
    const char *text = NULL;
    TRY(pg_show(connection, arena, "wal_segment_size", &text));
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;
    int shift = strcmp(unit, "MB") == 0 ? 20 : strcmp(unit, "GB") == 0 ? 30 : -1;
    int64_t number = 0;
    AUTO(free) char *amount = mem_printf("%.*s", (int)digits, text);
    if (shift < 0 || !int_parse(amount, 1, 1024, &number) ||
        !wal_segment_size_valid((uint64_t)number << shift))
        return fail(ERR_DATA, "the server says that wal_segment_size is '%s'", text);
    *ret_size = (uint32_t)number << shift;
    return 0;
}

/* Splits as Barman does: what stands in the outermost parentheses, at commas. Names may be quoted,
 * and PostgreSQL compares them without regard to case. */
static bool
names_include(const char *names, const char *wanted)
{
    const char *open = strchr(names, '('), *close = strrchr(names, ')');
    if (open && close && open < close)
        names = open + 1;
    else
        close = names + strlen(names);
    while (names < close) {
        size_t length = strcspn(names, ",)");
        const char *word = names;
        names += length + 1;
        while (length && strchr(" \t\"", *word))
            word++, length--;
        while (length && strchr(" \t\"", word[length - 1]))
            length--;
        if ((length == 1 && *word == '*') ||
            (length && length == strlen(wanted) && strncasecmp(word, wanted, length) == 0))
            return true;
    }
    return false;
}

int
pg_is_synchronous(PgConnection *connection, const char *application, const char *other,
                  bool *ret_synchronous)
{
    AUTO(arena) Arena *arena = arena_new();
    const char *names = NULL;
    TRY(pg_show(connection, arena, "synchronous_standby_names", &names));
    *ret_synchronous = names_include(names, application) || names_include(names, other);
    return 0;
}

int
pg_timeline_history(PgConnection *connection, Arena *arena, Timeline timeline,
                    const char **ret_text)
{
    AUTO(free) char *command = mem_printf("TIMELINE_HISTORY %u", timeline);
    AUTO(free) char *expected = mem_printf("%08X.history", timeline);
    const char *name = NULL;
    PgTable table;
    TRY(ask(connection, arena, command, &table));
    TRY(answer(&table, 0, command, &name));
    if (strcmp(name, expected) != 0)
        return fail(ERR_DATA, "the server answered %s with a file '%s'", command, name);
    return answer(&table, 1, command, ret_text);
}

char *
pg_quoted(const char *name)
{
    AUTO(str) Str text = {0};
    str_append(&text, "\"");
    for (; *name; name++) {
        str_append_part(&text, name, 1);
        if (*name == '"')
            str_append(&text, "\"");
    }
    str_append(&text, "\"");
    return take(text.data);
}

static int
find_by_sql(PgConnection *connection, Arena *arena, const char *name, PgTable *ret_table)
{
    static const char query[] = "SELECT slot_type, restart_lsn FROM pg_catalog.pg_replication_slots"
                                " WHERE slot_name = $1";
    return pg_judge(connection, pg_query(connection, arena, query, &name, 1, ret_table));
}

int
pg_slot_find(PgConnection *connection, const char *name, Lsn *ret_restart)
{
    AUTO(arena) Arena *arena = arena_new();
    PgTable table;
    if (pg_kind(connection) == PG_SQL) {
        TRY(find_by_sql(connection, arena, name, &table));
    } else if (pg_version(connection) < READ_SLOT_VERSION) {
        return fail(ERR_UNSUPPORTED, "the server cannot be asked for slots in this way");
    } else {
        AUTO(free) char *slot = pg_quoted(name);
        AUTO(free) char *command = mem_printf("READ_REPLICATION_SLOT %s", slot);
        TRY(ask(connection, arena, command, &table));
    }
    if (table.rows == 0 || table.columns < 2 || !table.values[0])
        return PG_SLOT_MISSING;
    if (strcmp(table.values[0], "physical") != 0)
        return fail(ERR_DATA, "replication slot '%s' is not a physical one", name);
    Lsn restart = 0;
    if (table.values[1] && !lsn_parse(table.values[1], &restart))
        return fail(ERR_DATA, "replication slot '%s' has the position '%s'", name, table.values[1]);
    *ret_restart = restart;
    return 0;
}

int
pg_slot_is_active(PgConnection *connection, const char *name, bool *ret_active)
{
    static const char query[] = "SELECT 1 FROM pg_catalog.pg_replication_slots"
                                " WHERE slot_name = $1 AND active";
    AUTO(arena) Arena *arena = arena_new();
    PgTable table;
    TRY(pg_judge(connection, pg_query(connection, arena, query, &name, 1, &table)));
    *ret_active = table.rows > 0;
    return 0;
}

/* The outcome that the SQLSTATE of a failed command about slots stands for; else the failure. */
static int
slot_outcome(const PgConnection *connection, int result)
{
    if (result >= 0)
        return result;
    const char *state = pg_sqlstate(connection);
    if (strcmp(state, "42710") == 0)
        return PG_SLOT_EXISTS;
    if (strcmp(state, "42704") == 0)
        return PG_SLOT_MISSING;
    return strcmp(state, "55006") == 0 ? PG_SLOT_IN_USE : result;
}

int
pg_slot_create(PgConnection *connection, const char *name)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(free) char *slot = pg_quoted(name);
    AUTO(free)
    char *command = mem_printf("CREATE_REPLICATION_SLOT %s PHYSICAL RESERVE_WAL", slot);
    PgTable table;
    return slot_outcome(connection, ask(connection, arena, command, &table));
}

int
pg_slot_drop(PgConnection *connection, const char *name)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(free) char *slot = pg_quoted(name);
    AUTO(free) char *command = mem_printf("DROP_REPLICATION_SLOT %s", slot);
    PgTable table;
    return slot_outcome(connection, ask(connection, arena, command, &table));
}
