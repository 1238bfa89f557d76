/* SPDX-License-Identifier: PostgreSQL
 * What the module sees of the archive beside incoming/, and what it makes of it. */
#include "../files.h"
#include "../wal/pages.h"

#include "pgmodule/push.h"

#include <sys/stat.h>

#define OURS UINT64_C(0x1122334455667788)
#define OURS_TEXT "1234605616436508552"
#define NAME "000000010000000000000003"
#define NEXT "000000010000000000000004"

static void
make_segment(const char *path, unsigned number, unsigned char filler)
{
    AUTO(free) unsigned char *bytes = mem_alloc(TEST_SEGMENT);
    memset(bytes, filler, TEST_SEGMENT);
    put_page_header(bytes, 2, 1, (uint64_t)number * TEST_SEGMENT, 0);
    write_bytes(path, bytes, TEST_SEGMENT);
}

static const char *comes_first; /* is archived a moment before we publish */

int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);

int
__wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (comes_first) {
        make_segment(comes_first, 3, 'z');
        comes_first = NULL;
    }
    return __real_linkat(from_dir, from, to_dir, to, flags);
}

typedef struct Place {
    char *path, *incoming, *wals, *identity, *helper;
    Push push;
} Place;

static int
setup(void **state)
{
    Place *place = mem_alloc(sizeof(*place));
    place->path = scratch_make();
    place->incoming = mem_printf("%s/main/incoming", place->path);
    place->wals = mem_printf("%s/main/wals/0000000100000000", place->path);
    place->identity = mem_printf("%s/main/identity.json", place->path);
    place->helper = mem_printf("%s/walden", place->path);
    AUTO(free) char *slashes = mem_printf("%s//", place->incoming);
    AUTO(free) char *marks = mem_printf("%s/pg_wal/archive_status", place->path);
    assert_done(dir_make(place->incoming));
    assert_done(dir_make(place->wals));
    assert_done(dir_make(marks));
    place->push.segment_size = TEST_SEGMENT;
    place->push.beside.cluster = OURS;
    assert_done(push_to(&place->push, slashes));
    comes_first = NULL;
    *state = place;
    return 0;
}

static int
teardown(void **state)
{
    Place *place = *state;
    scratch_remove(place->path);
    free(place->incoming);
    free(place->wals);
    free(place->identity);
    free(place->helper);
    free(place);
    return 0;
}

/* The n-th segment waits in pg_wal/. */
static void
wait_in_wal(const Place *place, unsigned number)
{
    AUTO(free) char *path = mem_printf("%s/pg_wal/00000001%016X", place->path, number);
    AUTO(free)
    char *mark = mem_printf("%s/pg_wal/archive_status/00000001%016X.ready", place->path, number);
    make_segment(path, number, 'x');
    write_text(mark, "");
}

static int
push_name(Place *place, const char *name)
{
    AUTO(free) char *path = mem_printf("%s/pg_wal/%s", place->path, name);
    place->push.beside.notice[0] = '\0';
    return push_file(&place->push, name, path);
}

static void
assert_noticed(const Place *place, const char *part)
{
    if (!strstr(place->push.beside.notice, part))
        fail_msg("'%s' is not in '%s'", part, place->push.beside.notice);
}

static size_t
arrived(const Place *place)
{
    return count_entries(place->incoming);
}

static void
test_another_cluster(void **state)
{
    Place *place = *state;
    AUTO(free) char *history = mem_printf("%s/pg_wal/00000002.history", place->path);
    wait_in_wal(place, 3);
    wait_in_wal(place, 4);
    write_text(history, "1\t0/300000\tno reason\n");
    write_text(place->identity, "{\"systemid\": \"7\"}");
    assert_fails(push_name(place, NAME), ERR_DATA, "system identifier " OURS_TEXT);
    assert_fails(push_name(place, NAME), ERR_DATA, "main' is that of 7");
    assert_fails(push_name(place, "00000002.history"), ERR_DATA, "that of 7");
    assert_int_equal(arrived(place), 0);

    write_text(place->identity, "{\"systemid\": \"" OURS_TEXT "\"}");
    assert_done(push_name(place, NAME));
    assert_done(push_name(place, "00000002.history"));
    assert_int_equal(arrived(place), 3);
    assert_string_equal(place->push.beside.notice, "");
}

static void
test_damaged_identity(void **state)
{
    Place *place = *state;
    wait_in_wal(place, 3);
    write_text(place->identity, "{}");
    assert_done(push_name(place, NAME));
    assert_noticed(place, "systemid");
    assert_done(push_name(place, NAME));
    assert_string_equal(place->push.beside.notice, ""); /* told once */
    write_text(place->identity, "{\"systemid\": \"7\"}");
    assert_fails(push_name(place, NAME), ERR_DATA, "of 7");
    assert_int_equal(unlink(place->identity), 0);
    assert_done(push_name(place, NAME));
}

static void
test_not_what_the_name_says(void **state)
{
    Place *place = *state;
    AUTO(free) char *path = mem_printf("%s/pg_wal/%s", place->path, NEXT);
    wait_in_wal(place, 3);
    wait_in_wal(place, 4);
    make_segment(path, 5, 'x');
    assert_done(push_name(place, NAME));
    assert_int_equal(arrived(place), 1); /* what is wrong is told in its turn */
    assert_fails(push_name(place, NEXT), ERR_DATA, "not what its name says: its first page");
}

static void
test_archived(void **state)
{
    Place *place = *state;
    AUTO(free) char *archived = mem_printf("%s/%s", place->wals, NAME);
    wait_in_wal(place, 3);
    make_segment(archived, 3, 'x');
    assert_done(push_name(place, NAME));
    assert_int_equal(arrived(place), 0);
    make_segment(archived, 3, 'y');
    assert_fails(push_name(place, NAME), ERR_DATA, "wals/0000000100000000/" NAME);
    assert_fails(push_name(place, NAME), ERR_DATA, "archived already, with other contents");
    assert_int_equal(arrived(place), 0);

    AUTO(free) char *next = mem_printf("%s/%s", place->wals, NEXT);
    assert_int_equal(rename(archived, next), 0);
    wait_in_wal(place, 4);
    assert_done(push_name(place, NAME));
    assert_int_equal(arrived(place), 1); /* not before its turn */
    assert_fails(push_name(place, NEXT), ERR_DATA, "with other contents");
}

static void
test_archived_between_two_looks(void **state)
{
    Place *place = *state;
    AUTO(free) char *archived = mem_printf("%s/%s", place->wals, NAME);
    wait_in_wal(place, 3);
    comes_first = archived;
    assert_fails(push_name(place, NAME), ERR_DATA, "with other contents");
    assert_int_equal(arrived(place), 0);
}

/* Compressed: by walden, if it can be asked. */
static void
test_archived_and_not_plain(void **state)
{
    static const struct {
        const char *does;
        int class; /* -1: done */
        size_t arrives;
        const char *told;
    } cases[] = {
        {"cat \"$4\"", -1, 0, ""},
        {"cat \"$4\"; echo more", ERR_DATA, 0, "with other contents"},
        {"head -c 9999 \"$4\"", ERR_DATA, 0, "with other contents"},
        {"head -c 9999 \"$4\" | tr x y", ERR_DATA, 0, "with other contents"},
        {"head -c 9999 \"$4\"; echo no key >&2; exit 200", -1, 1, "exit code 200: no key"},
        {"true", ERR_DATA, 0, "with other contents"},
    };
    Place *place = *state;
    AUTO(free) char *archived = mem_printf("%s/%s", place->wals, NAME);
    AUTO(free) char *waits = mem_printf("%s/%s", place->incoming, NAME);
    wait_in_wal(place, 3);
    write_text(archived, "(/\xB5\xFD");
    assert_done(push_name(place, NAME));
    assert_noticed(place, "walden.server is not set");
    assert_int_equal(unlink(waits), 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        /* get-wal --prefetch 0 main NAME */
        AUTO(free)
        char *text = mem_printf("#!/bin/sh\nset -- \"$1\" \"$2\" \"$3\" '%s/pg_wal/'\"$5\"\n"
                                "%s\n",
                                place->path, cases[i].does);
        write_text(place->helper, text);
        assert_int_equal(chmod(place->helper, 0755), 0);
        place->push.program =
            (Relay){.road = RELAY_NONE, .program = place->helper, .server = "main"};
        if (cases[i].class < 0) {
            assert_done(push_name(place, NAME));
            assert_noticed(place, cases[i].told);
        } else {
            assert_fails(push_name(place, NAME), (ErrorClass)cases[i].class, cases[i].told);
        }
        assert_int_equal(arrived(place), cases[i].arrives);
        unlink(waits);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
        TEST(another_cluster), TEST(damaged_identity),           TEST(not_what_the_name_says),
        TEST(archived),        TEST(archived_between_two_looks), TEST(archived_and_not_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
