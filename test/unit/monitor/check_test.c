/* SPDX-License-Identifier: PostgreSQL
 * What is judged of states that no test can bring about. */
#include "../unit.h"

#include "monitor/check.h"

#include <string.h>

typedef struct Found {
    const char *name;
    CheckRow row;
    int count;
} Found;

static void
keep(void *context, const CheckRow *row)
{
    Found *found = context;
    if (strcmp(row->name, found->name) != 0)
        return;
    found->row = *row;
    found->count++;
}

static Found
check_one(const ServerState *state, const char *name)
{
    Found found = {.name = name};
    check_state(state, keep, &found);
    return found;
}

static void
answer(ServerState *state, Part part)
{
    state->asked[part] = true;
    state->parts[part].outcome = PROBE_DONE;
}

static void
say(PgStatus *status, PgStatusKey key, const char *text)
{
    status->known[key] = true;
    snprintf(status->text[key], sizeof(status->text[key]), "%s", text);
}

/* Elastic file systems say that they have 8 EiB. */
static void
test_huge_disk(void **context)
{
    (void)context;
    const ServerConfig server = {.name = "main", .wals_directory = "wals", .minimum_free_space = 5};
    AUTO(free) ServerState *state = mem_alloc(sizeof(*state));
    state->server = &server;
    answer(state, PART_FILES);
    state->files.disk_size = INT64_MAX - 1023;
    state->files.disk_free = INT64_MAX - (1LL << 40);
    assert_true(check_one(state, "disk space").row.good);
    state->files.disk_free = 1LL << 50;
    assert_false(check_one(state, "disk space").row.good);
}

static void
test_identity(void **context)
{
    (void)context;
    const ServerConfig server = {.name = "main", .wals_directory = "wals"};
    AUTO(free) ServerState *state = mem_alloc(sizeof(*state));
    state->server = &server;
    answer(state, PART_SQL);
    say(&state->sql, PG_STATUS_SYSTEM_ID, "4711");
    assert_true(check_one(state, "systemid coherence").row.good);
    assert_int_equal(check_one(state, "systemid coherence (WAL streaming)").count, 0);
    answer(state, PART_WAL_SQL);
    say(&state->wal_sql, PG_STATUS_SYSTEM_ID, "4711");
    assert_true(check_one(state, "systemid coherence (WAL streaming)").row.good);
    say(&state->wal_sql, PG_STATUS_SYSTEM_ID, "4712");
    Found found = check_one(state, "systemid coherence (WAL streaming)");
    assert_false(found.row.good);
    assert_non_null(strstr(found.row.hint, "4712"));
    assert_true(check_one(state, "systemid coherence").row.good);
    answer(state, PART_WAL_STREAM);
    say(&state->wal_sql, PG_STATUS_SYSTEM_ID, "4711");
    state->wal_stream.id = 4712;
    assert_false(check_one(state, "systemid coherence (WAL streaming)").row.good);
}

/* A setting that the user may not see is not one that is missing. */
static void
test_archive_command_that_is_not_shown(void **context)
{
    (void)context;
    const ServerConfig server = {.name = "main", .wals_directory = "wals", .archiver = true};
    AUTO(free) ServerState *state = mem_alloc(sizeof(*state));
    state->server = &server;
    answer(state, PART_SQL);
    say(&state->sql, PG_STATUS_USER, "joe");
    Found found = check_one(state, "archive_command");
    assert_false(found.row.good);
    assert_non_null(strstr(found.row.hint, "not shown to user 'joe'"));
    say(&state->sql, PG_STATUS_ARCHIVE_COMMAND, "(disabled)");
    found = check_one(state, "archive_command");
    assert_false(found.row.good);
    assert_non_null(strstr(found.row.hint, "please set it"));
    say(&state->sql, PG_STATUS_ARCHIVE_LIBRARY, "basic_archive");
    assert_true(check_one(state, "archive_command").row.good);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_huge_disk),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_archive_command_that_is_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
