/* SPDX-License-Identifier: PostgreSQL
 * What --before takes, and for what. */
#include "../unit.h"

#include "flow/before.h"

#define SEG "00000002000000010000000A"

static void
test_names_and_positions(void **state)
{
    static const struct {
        const char *text;
        BeforeKind kind;
    } cases[] = {
        {SEG, BEFORE_SEGMENT},
        {"00000002000000010000000a", BEFORE_SEGMENT},
        {SEG ".partial", BEFORE_SEGMENT},
        {SEG ".00000028.backup", BEFORE_LABEL},
        {"1/A000028", BEFORE_LSN},
        {"0/0", BEFORE_LSN},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Before before;
        assert_done(before_parse(cases[i].text, &before));
        assert_int_equal(before.kind, cases[i].kind);
        assert_string_equal(before.text, cases[i].text);
        if (before.kind != BEFORE_LSN) {
            assert_int_equal(before.name.timeline, 2);
            assert_int_equal(before.name.log, 1);
            assert_int_equal(before.name.seg, 10);
        }
    }
}

static void
test_times(void **state)
{
    static const struct {
        const char *text;
        time_t time; /* where local time is three hours and a half before UTC's */
    } cases[] = {
        {"2026-11-21", 1795231800},
        {"2026-11-21 00:00", 1795231800},
        {"2026-11-21 00:00:05", 1795231805},
        {"2026-11-21T00:00:05.999", 1795231805},
        {"2026-11-21 00:00Z", 1795219200},
        {"2026-11-21 00:00:00 UTC", 1795219200},
        {"2026-11-21 00:00+01", 1795215600},
        {"2026-11-21 00:00:00 +01:00", 1795215600},
        {"2026-11-21 00:00-0330", 1795231800},
        {"2026-11-21Z", 1795219200},
        {"2024-02-29 12:00Z", 1709208000},
    };
    (void)state;
    setenv("TZ", "TEST3:30", 1);
    tzset();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Before before;
        assert_done(before_parse(cases[i].text, &before));
        assert_int_equal(before.kind, BEFORE_TIME);
        if (before.time != cases[i].time)
            fail_msg("'%s' is %lld", cases[i].text, (long long)before.time);
    }
}

static void
test_refused(void **state)
{
    static const char *const texts[] = {"",
                                        " ",
                                        "x",
                                        "00000002.history",
                                        SEG ".gz",
                                        "0/",
                                        "1/2/3",
                                        "2026",
                                        "2026-11",
                                        "2026-1-2",
                                        "26-11-21",
                                        "2026-02-30",
                                        "2025-02-29",
                                        "2026-11-21 25:00",
                                        "2026-11-21 10",
                                        "2026-11-21 10:00 CET",
                                        "2026-11-21 10:00+1",
                                        "2026-11-21 10:00+01:0",
                                        "2026-11-21 10:00+01:00x",
                                        "2026-11-21 10:00+99",
                                        "now"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        Before before;
        if (before_parse(texts[i], &before) == 0)
            fail_msg("'%s' is taken", texts[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_positions),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
