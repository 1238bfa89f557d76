/* SPDX-License-Identifier: PostgreSQL
 * The kernel is only asked where a test says so; giving way is counted, and takes as long as a test
 * wants. */
#include "../unit.h"

#include "base/clock.h"
#include "flow/intake/pace.h"

enum { SHORT_US = 100, LONG_US = 20000 };

static int given_way;
static int64_t away_us; /* until we get the processor back */

int __wrap_sched_yield(void);

int
__wrap_sched_yield(void)
{
    given_way++;
    for (int64_t end = clock_us() + away_us; clock_us() < end;)
        ;
    return 0;
}

static int
times_given_way(Pace *pace, int waits)
{
    given_way = 0;
    pace->away_us = 0;
    for (int i = 0; i < waits; i++)
        pace_gather(pace);
    return given_way;
}

/* After a wait, with processors as they are said to be; the kernel is not asked. */
static Pace
pace_after(double queued, int64_t waited_us, int taken)
{
    Pace pace = {.cpu = {.fd = -1, .looked_us = clock_us() + 3600LL * 1000000}, .queued = queued};
    pace_heed(&pace, waited_us, taken);
    assert_true(pace.queued == queued);
    return pace;
}

static void
test_awake_while_commits_come_and_processors_are_idle(void **state)
{
    (void)state;
    Pace pace = pace_after(0.01, SHORT_US, 1);
    assert_true(pace_awake_us(&pace) > 0);
    assert_int_equal(times_given_way(&pace, 1), 0);
}

static void
test_asleep_while_nothing_comes(void **state)
{
    (void)state;
    Pace pace = pace_after(0.01, LONG_US, 1);
    assert_true(pace_awake_us(&pace) == 0);
    assert_int_equal(times_given_way(&pace, 1), 0);
}

static void
test_asleep_while_processors_are_wanted(void **state)
{
    (void)state;
    Pace pace = pace_after(0.1, SHORT_US, 3);
    assert_true(pace_awake_us(&pace) == 0);
    assert_int_equal(times_given_way(&pace, 1), 0);
}

static void
test_gathers_only_where_others_may_join(void **state)
{
    (void)state;
    Pace several = pace_after(0.5, SHORT_US, 2), single = pace_after(0.5, SHORT_US, 1);
    assert_true(pace_awake_us(&several) == 0);
    assert_in_range(times_given_way(&several, 10), 1, 10);
    assert_int_equal(times_given_way(&single, 10), 0);
}

/* To somebody who keeps the processor: not again, and not never again. */
static void
test_rests_after_it_was_kept_waiting(void **state)
{
    (void)state;
    Pace pace = pace_after(0.5, SHORT_US, 2);
    away_us = 3000;
    assert_in_range(times_given_way(&pace, 500), 1, 10);
    away_us = 0;
    assert_in_range(times_given_way(&pace, 10000), 5000, 9999);
}

/* Nothing is presumed of a kernel that does not count. */
static void
test_asleep_when_not_known(void **state)
{
    (void)state;
    Pace pace = pace_after(-1, SHORT_US, 3);
    assert_true(pace_awake_us(&pace) == 0);
    assert_int_equal(times_given_way(&pace, 1), 0);
}

static void
test_asks_the_kernel_now_and_then(void **state)
{
    (void)state;
    Pace pace;
    pace_begin(&pace);
    if (pace.cpu.fd < 0)
        skip();
    assert_true(pace.queued < 0);
    for (int64_t deadline = clock_ms() + 10000; pace.queued < 0 && clock_ms() < deadline;) {
        clock_pause_ms(10);
        pace_heed(&pace, SHORT_US, 1);
    }
    pace_end(&pace);
    assert_true(pace.queued >= 0 && pace.queued <= 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_awake_while_commits_come_and_processors_are_idle),
        cmocka_unit_test(test_asleep_while_nothing_comes),
        cmocka_unit_test(test_asleep_while_processors_are_wanted),
        cmocka_unit_test(test_gathers_only_where_others_may_join),
        cmocka_unit_test(test_rests_after_it_was_kept_waiting),
        cmocka_unit_test(test_asleep_when_not_known),
        cmocka_unit_test(test_asks_the_kernel_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
