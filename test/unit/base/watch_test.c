/* SPDX-License-Identifier: PostgreSQL */
#include "../files.h"

#include "base/clock.h"
#include "base/proc.h"
#include "base/watch.h"

#include <signal.h>
#include <sys/stat.h>

enum { SOON = 20, LATE = 20000 };

typedef struct Place {
    char *dir, *a, *b;
    Watch watch;
} Place;

static int
setup(void **state)
{
    Place *place = mem_alloc(sizeof(*place));
    place->dir = scratch_make();
    place->a = mem_printf("%s/a", place->dir);
    place->b = mem_printf("%s/b", place->dir);
    const char *const paths[] = {place->a, place->b};
    watch_init(&place->watch, paths, COUNT_OF(paths));
    *state = place;
    return 0;
}

static int
teardown(void **state)
{
    Place *place = *state;
    watch_done(&place->watch);
    scratch_remove(place->dir);
    free(place->a);
    free(place->b);
    free(place);
    return 0;
}

static void
put(const char *directory, const char *name)
{
    AUTO(free) char *path = mem_printf("%s/%s", directory, name);
    write_text(path, "x");
}

static void
test_wakes(void **state)
{
    Place *place = *state;
    AUTO(free) char *from = mem_printf("%s/from", place->dir);
    AUTO(free) char *to = mem_printf("%s/to", place->b);
    AUTO(free) char *link_name = mem_printf("%s/link", place->a);
    assert_done(dir_make(place->a));
    assert_done(dir_make(place->b));
    assert_done(watch_refresh(&place->watch));
    assert_int_equal(watch_wait(&place->watch, SOON), 0);
    put(place->a, "x");
    assert_int_equal(watch_wait(&place->watch, LATE), WATCH_WOKEN);
    assert_int_equal(watch_wait(&place->watch, SOON), 0); /* nothing is left of it */
    write_text(from, "x");
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(watch_wait(&place->watch, LATE), WATCH_WOKEN);
    assert_int_equal(link(to, link_name), 0);
    assert_int_equal(watch_wait(&place->watch, LATE), WATCH_WOKEN);
    assert_int_equal(unlink(to), 0); /* taking away does not wake */
    assert_done(watch_refresh(&place->watch));
    assert_int_equal(watch_wait(&place->watch, SOON), 0);
}

static void
test_appears_and_is_replaced(void **state)
{
    Place *place = *state;
    AUTO(free) char *old = mem_printf("%s/old", place->dir);
    assert_done(watch_refresh(&place->watch));
    assert_done(dir_make(place->a));
    assert_done(watch_refresh(&place->watch));
    put(place->a, "1");
    assert_int_equal(watch_wait(&place->watch, LATE), WATCH_WOKEN);
    assert_int_equal(rename(place->a, old), 0);
    assert_done(dir_make(place->a));
    assert_done(watch_refresh(&place->watch));
    put(old, "2"); /* not ours any more */
    assert_int_equal(watch_wait(&place->watch, SOON), 0);
    put(place->a, "3");
    assert_int_equal(watch_wait(&place->watch, LATE), WATCH_WOKEN);
    assert_int_equal(rename(place->a, place->b), 0);
    assert_done(watch_refresh(&place->watch));
    put(place->b, "4");
    assert_int_equal(watch_wait(&place->watch, LATE), WATCH_WOKEN);
}

static void
test_what_cannot_be_watched(void **state)
{
    Place *place = *state;
    write_text(place->a, "a file");
    assert_done(dir_make(place->b));
    assert_fails(watch_refresh(&place->watch), ERR_IO, "watch directory");
    put(place->b, "x");
    assert_int_equal(watch_wait(&place->watch, LATE), WATCH_WOKEN);
}

static void
test_without_inotify(void **state)
{
    Place *place = *state;
    assert_int_equal(watch_wait(&place->watch, SOON), 0);
}

/* The last test: the flag stays set. A signal that came before the wait counts, too. */
static void
test_stop(void **state)
{
    Place *place = *state;
    assert_done(dir_make(place->a));
    assert_done(watch_refresh(&place->watch));
    stop_on_signals();
    int64_t begin = clock_ms();
    raise(SIGTERM);
    assert_int_equal(watch_wait(&place->watch, LATE), 0);
    assert_int_equal(stop_poll(NULL, 0, LATE), 0);
    assert_true(clock_ms() - begin < LATE / 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
        TEST(wakes),
        TEST(appears_and_is_replaced),
        TEST(what_cannot_be_watched),
        TEST(without_inotify),
        TEST(stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
