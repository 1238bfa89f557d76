/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include "cloud/retry.h"

static void
test_verdicts(void **state)
{
    (void)state;
    static const int again[] = {408, 425, 429, 500, 502, 503, 504};
    static const int final[] = {200, 204, 206, 301, 307, 400, 401,
                                403, 404, 409, 412, 416, 501, 505};
    for (size_t i = 0; i < COUNT_OF(again); i++)
        assert_int_equal(verdict_by_status(again[i]), VERDICT_AGAIN);
    for (size_t i = 0; i < COUNT_OF(final); i++)
        assert_int_equal(verdict_by_status(final[i]), VERDICT_FINAL);
}

static void
test_pauses(void **state)
{
    (void)state;
    static const int64_t most[] = {500, 1000, 2000, 4000, 8000, 16000, 20000, 20000};
    for (int tries = 1; tries <= (int)COUNT_OF(most); tries++) {
        assert_int_equal(retry_pause_ms(tries, 0, 0), most[tries - 1] / 2);
        assert_int_equal(retry_pause_ms(tries, 0, UINT32_MAX), most[tries - 1]);
    }
    assert_int_equal(retry_pause_ms(1000, 0, UINT32_MAX), 20000);
    /* never less than the server asks for, and not all at the same moment after that */
    assert_int_equal(retry_pause_ms(1, 7, 0), 7000);
    assert_int_equal(retry_pause_ms(1, 7, UINT32_MAX), 7250);
    assert_true(retry_pause_ms(1, INT64_MAX, UINT32_MAX) > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_pauses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
