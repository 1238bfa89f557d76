/* SPDX-License-Identifier: PostgreSQL
 * Where receiving goes on, for what a directory may hold and what the server's timelines may be. */
#include "../files.h"

#include "flow/intake/position.h"

enum { SIZE = 1 << 20 };

typedef struct Case {
    const char *name;
    const char *files[6]; /* "NAME" has the full size, "NAME:BYTES" that many */
    Timeline server;
    HistoryEntry history[3]; /* ends with parent 0 */
    int outcome;
    WalPosition expected;
} Case;

static const Case cases[] = {
    {"empty", {NULL}, 1, {{0}}, POSITION_NONE, {0}},
    {"strangers",
     {"README", "00000002.history", "00000001000000000000000X", "000000010000000000000001.gz"},
     1,
     {{0}},
     POSITION_NONE,
     {0}},
    {"after a whole segment", {"000000010000000000000003"}, 1, {{0}}, 0, {1, 4 * SIZE}},
    {"into the next log", {"000000010000000000000FFF"}, 1, {{0}}, 0, {1, UINT64_C(1) << 32}},
    {"a number that does not exist", {"000000010000000000001000"}, 1, {{0}}, POSITION_NONE, {0}},
    {"a partial one",
     {"000000010000000000000003", "000000010000000000000004.partial"},
     1,
     {{0}},
     0,
     {1, 4 * SIZE}},
    {"an empty partial one", {"000000010000000000000007.partial:0"}, 1, {{0}}, 0, {1, 7 * SIZE}},
    {"an odd partial one", {"000000010000000000000007.partial:77"}, 1, {{0}}, 0, {1, 7 * SIZE}},
    {"a short segment",
     {"000000010000000000000003", "000000010000000000000004:100"},
     1,
     {{0}},
     0,
     {1, 4 * SIZE}},
    {"only a short segment", {"000000010000000000000004:100"}, 1, {{0}}, POSITION_NONE, {0}},
    {"a segment of another segment size",
     {"000000010000000000000003", "000000010000000000000002:2097152"},
     1,
     {{0}},
     -1,
     {0}},
    {"a partial one of another segment size",
     {"000000010000000000001003.partial:16777216"},
     1,
     {{0}},
     -1,
     {0}},
    {"the server has switched, and we go on to the switch",
     {"000000010000000000000003", "000000010000000000000004.partial"},
     2,
     {{1, 9 * SIZE + 5, ""}},
     0,
     {1, 4 * SIZE}},
    {"the switch is in our segment",
     {"000000010000000000000004.partial"},
     2,
     {{1, 4 * SIZE + 5, ""}},
     0,
     {1, 4 * SIZE}},
    {"the switch is at the end of what we have",
     {"000000010000000000000003"},
     2,
     {{1, 4 * SIZE, ""}},
     0,
     {1, 4 * SIZE}},
    {"the switch was before",
     {"000000010000000000000006", "000000010000000000000007.partial"},
     3,
     {{1, 4 * SIZE + 5, ""}, {2, 4 * SIZE + 9, ""}},
     0,
     {2, 4 * SIZE}},
    {"the newer timeline counts, not the higher segment",
     {"000000010000000000000006", "000000020000000000000004", "00000002.history"},
     2,
     {{1, 4 * SIZE + 5, ""}},
     0,
     {2, 5 * SIZE}},
    {"a timeline that was given up",
     {"000000010000000000000003", "000000020000000000000004"},
     3,
     {{1, 4 * SIZE + 5, ""}},
     0,
     {1, 4 * SIZE}},
    {"all of timelines that were given up",
     {"000000020000000000000004"},
     3,
     {{1, 4 * SIZE + 5, ""}},
     POSITION_FOREIGN,
     {0}},
    {"the server was set back", {"000000020000000000000004"}, 1, {{0}}, POSITION_FOREIGN, {0}},
};

static void
make(const char *dir, const char *file)
{
    const char *colon = strchr(file, ':');
    size_t length = colon ? (size_t)(colon - file) : strlen(file);
    AUTO(free) char *path = mem_printf("%s/%.*s", dir, (int)length, file);
    write_text(path, "");
    assert_int_equal(truncate(path, colon ? strtol(colon + 1, NULL, 10) : SIZE), 0);
}

static void
test_position(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const Case *c = &cases[i];
        char *dir = scratch_make();
        for (size_t f = 0; f < COUNT_OF(c->files) && c->files[f]; f++)
            make(dir, c->files[f]);
        HistoryEntry entries[COUNT_OF(c->history)];
        memcpy(entries, c->history, sizeof(entries));
        History history = {.entries = entries};
        while (entries[history.count].parent)
            history.count++;
        WalPosition got = {0};
        int result = position_find(dir, SIZE, c->server, &history, &got);
        if (result != c->outcome || got.timeline != c->expected.timeline ||
            got.lsn != c->expected.lsn)
            fail_msg("%s: %d, timeline %u, %llX", c->name, result, got.timeline,
                     (unsigned long long)got.lsn);
        scratch_remove(dir);
    }
}

static void
test_timeline(void **state)
{
    (void)state;
    HistoryEntry entries[] = {{1, 100, ""}, {3, 200, ""}};
    History history = {2, entries};
    assert_int_equal(position_timeline(99, 4, &history), 1);
    assert_int_equal(position_timeline(100, 4, &history), 3);
    assert_int_equal(position_timeline(200, 4, &history), 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_position),
        cmocka_unit_test(test_timeline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
