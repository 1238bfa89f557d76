/* SPDX-License-Identifier: PostgreSQL
 * How many uploads at once: what is faster is kept, what is slower is taken back. */
#include "../unit.h"

#include "flow/store/throttle.h"

static void
test_climbs(void **state)
{
    (void)state;
    static const struct {
        double rate;
        int limit; /* afterwards */
    } rounds[] = {
        {100, 3},  /* the first one says nothing: one more */
        {200, 4},  /* better: one more */
        {300, 4},  /* better, but there are no more */
        {310, 4},  /* the same */
        {150, 3},  /* worse: one less */
        {300, 2},  /* better: one less */
        {100, 3},  /* worse: back */
        {1000, 4}, /* better */
    };
    Throttle throttle;
    throttle_init(&throttle, 2, 4);
    for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
        throttle_judge(&throttle, rounds[i].rate);
        assert_int_equal(throttle.limit, rounds[i].limit);
    }
    throttle_done(&throttle);
}

static void
test_failures_halve(void **state)
{
    (void)state;
    Throttle throttle;
    throttle_init(&throttle, 8, 8);
    static const int limits[] = {4, 2, 1, 1};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        throttle_enter(&throttle);
        throttle_leave(&throttle, 0, true);
        assert_int_equal(throttle.limit, limits[i]);
    }
    assert_int_equal(throttle.active, 0);
    throttle_done(&throttle);
}

static void
test_fixed(void **state)
{
    (void)state;
    Throttle throttle;
    throttle_init(&throttle, 1, 1);
    throttle_judge(&throttle, 1);
    throttle_judge(&throttle, 100);
    assert_int_equal(throttle.limit, 1);
    throttle_done(&throttle);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_climbs),
        cmocka_unit_test(test_failures_halve),
        cmocka_unit_test(test_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
