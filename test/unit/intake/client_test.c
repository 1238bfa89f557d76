/* SPDX-License-Identifier: PostgreSQL
 * pg_receivewal: which one is found, what its version is, and where it is made to begin. */
#include "../files.h"

#include "flow/intake/client.h"

enum { SIZE = 1 << 20 };

static void
versions_are_read(void **state)
{
    static const struct {
        const char *line, *version; /* NULL: none */
        int major;
    } cases[] = {
        {"pg_receivewal (PostgreSQL) 15.4 (Debian 15.4-1.pgdg120+1)", "15.4", 15},
        {"pg_receivewal (PostgreSQL) 17beta1", "17beta1", 17},
        {"pg_receivewal 10.23", "10.23", 10},
        {"pg_receivexlog (PostgreSQL) 9.6.24", "9.6.24", 9},
        {"pg_receivewal (PostgreSQL)", NULL, 0},
        {"pg_receivewal (PostgreSQL", NULL, 0},
        {"pg_receivewal (PostgreSQL) devel", NULL, 0},
        {"pg_receivewal", NULL, 0},
        {"pg_receivewal ", NULL, 0},
        {"pg_receivewal 99999999999999999999", NULL, 0},
        {"", NULL, 0},
    };
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        WalClient client = {0};
        bool found = client_version_parse(cases[i].line, arena, &client);
        if (found != (cases[i].version != NULL) || client.major != cases[i].major)
            fail_msg("'%s': %d", cases[i].line, client.major);
        if (found)
            assert_string_equal(client.version, cases[i].version);
    }
    assert_true(client_fits(&(WalClient){.major = 15}, 150020));
    assert_true(client_fits(&(WalClient){.major = 17}, 100001));
    assert_false(client_fits(&(WalClient){.major = 15}, 160000));
}

static void
write_program(const char *dir, const char *name, const char *body)
{
    AUTO(free) char *path = mem_printf("%s/%s", dir, name);
    AUTO(free) char *text = mem_printf("#!/bin/sh\n%s\n", body);
    write_text(path, text);
    assert_int_equal(chmod(path, 0755), 0);
}

/* The first that answers, directory by directory, path_prefix before PATH. */
static void
the_first_that_answers_is_taken(void **state)
{
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    WalClient client = {0};
    char *dir = scratch_make();
    AUTO(free) char *before = mem_dup(getenv("PATH"));
    AUTO(free) char *path = mem_printf("%s/b:%s/c", dir, dir);
    AUTO(free) char *prefix = mem_printf("%s/none::%s/a", dir, dir);
    setenv("PATH", path, 1);
    assert_int_equal(client_find(prefix, arena, &client), CLIENT_NONE);
    assert_int_equal(client_find(NULL, arena, &client), CLIENT_NONE);
    write_program(dir, "c/pg_receivexlog", "echo pg_receivexlog 9.6");
    write_program(dir, "b/pg_receivewal", "echo no version >&2; exit 1");
    write_program(dir, "a/pg_receivewal", "echo nonsense");
    assert_done(client_find(prefix, arena, &client));
    assert_true(str_ends(client.path, "/c/pg_receivexlog"));
    write_program(dir, "b/pg_receivewal", "echo $1: 11.2");
    assert_done(client_find(prefix, arena, &client));
    assert_true(str_ends(client.path, "/b/pg_receivewal"));
    assert_string_equal(client.version, "11.2");
    write_program(dir, "a/pg_receivewal", "echo pg_receivewal 12.3; echo more");
    assert_done(client_find(prefix, arena, &client));
    assert_true(str_ends(client.path, "/a/pg_receivewal"));
    assert_done(client_find(NULL, arena, &client));
    assert_true(str_ends(client.path, "/b/pg_receivewal"));
    setenv("PATH", before, 1);
    scratch_remove(dir);
}

typedef struct Case {
    const char *name;
    const char *files[4]; /* "NAME" has the full size, "NAME:BYTES" that many */
    WalPosition wanted;
    const char *made;    /* is of full size afterwards, or the only one; NULL: nothing */
    const char *instead; /* where it would begin; NULL: where it must */
} Case;

static const Case cases[] = {
    {"empty: an empty partial file", {NULL}, {1, 4 * SIZE}, "000000010000000000000004.partial", 0},
    {"a whole segment", {"000000010000000000000003"}, {1, 4 * SIZE}, NULL, NULL},
    {"a partial one of full size",
     {"000000010000000000000003", "000000010000000000000004.partial"},
     {1, 4 * SIZE},
     "000000010000000000000004.partial",
     NULL},
    {"an odd one is filled up",
     {"000000010000000000000004.partial:77"},
     {1, 4 * SIZE},
     "000000010000000000000004.partial",
     NULL},
    {"an empty one, too",
     {"000000010000000000000004.partial:0"},
     {1, 4 * SIZE},
     "000000010000000000000004.partial",
     NULL},
    {"a whole one comes before a partial one of its name",
     {"000000010000000000000004.partial", "000000010000000000000004"},
     {1, 5 * SIZE},
     NULL,
     NULL},
    {"a short segment does not count, nor do strangers",
     {"000000010000000000000003", "000000010000000000000004:100", "000000010000000000000009.gz"},
     {1, 4 * SIZE},
     NULL,
     NULL},
    {"the newer timeline of a segment",
     {"000000010000000000000004.partial", "000000020000000000000004"},
     {2, 5 * SIZE},
     NULL,
     NULL},
    {"but the number comes first: what a lost server had sent more",
     {"000000010000000000000008", "000000020000000000000004"},
     {2, 5 * SIZE},
     NULL,
     "000000010000000000000009"},
    {"we must go back, and it would not",
     {"000000010000000000000008.partial"},
     {2, 5 * SIZE},
     NULL,
     "000000010000000000000008"},
};

static void
make(const char *dir, const char *file)
{
    const char *colon = strchr(file, ':');
    size_t length = colon ? (size_t)(colon - file) : strlen(file);
    AUTO(free) char *path = mem_printf("%s/%.*s", dir, (int)length, file);
    write_text(path, "received");
    assert_int_equal(truncate(path, colon ? strtol(colon + 1, NULL, 10) : SIZE), 0);
}

static void
it_begins_where_it_must(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const Case *c = &cases[i];
        char *dir = scratch_make();
        size_t count = 0;
        for (; count < COUNT_OF(c->files) && c->files[count]; count++)
            make(dir, c->files[count]);
        int result = client_prepare(dir, SIZE, &c->wanted);
        if (!c->instead && result != 0)
            fail_msg("%s: %s", c->name, error_last()->text);
        if (c->instead && (result == 0 || !strstr(error_last()->text, c->instead)))
            fail_msg("%s: %d", c->name, result);
        AUTO(free) char *made = c->made ? mem_printf("%s/%s", dir, c->made) : NULL;
        if (made && !count) {
            assert_text(made, "");
        } else if (made) {
            AUTO(str) Str text = {0};
            assert_done(file_read_text(made, SIZE, &text));
            assert_int_equal(text.length, SIZE);
            bool kept = !strstr(c->files[count - 1], ":0");
            assert_int_equal(memcmp(text.data, "received", 8) == 0, kept);
        }
        assert_int_equal(count_entries(dir), count ? count : 1);
        scratch_remove(dir);
    }
}

static void
a_partial_file_that_is_too_long_is_left_alone(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/000000010000000000000004.partial", dir);
    make(dir, "000000010000000000000004.partial:1048577");
    assert_fails(client_prepare(dir, SIZE, &(WalPosition){1, 4 * SIZE}), ERR_DATA, "1048577 bytes");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, SIZE + 1);
    scratch_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_read),
        cmocka_unit_test(the_first_that_answers_is_taken),
        cmocka_unit_test(it_begins_where_it_must),
        cmocka_unit_test(a_partial_file_that_is_too_long_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
