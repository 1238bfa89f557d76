/* SPDX-License-Identifier: PostgreSQL */
#include "config/option.h"
#include "config/retention.h"

#include "../unit.h"

static void
test_read_and_write(void **state)
{
    /* expected NULL: refused */
    static const struct {
        const ValueKind *kind;
        const char *text, *expected;
    } cases[] = {
        {&value_BOOL, "true", "true"},
        {&value_BOOL, "T", "true"},
        {&value_BOOL, "Yes", "true"},
        {&value_BOOL, "1", "true"},
        {&value_BOOL, "ON", "true"},
        {&value_BOOL, "False", "false"},
        {&value_BOOL, "f", "false"},
        {&value_BOOL, "no", "false"},
        {&value_BOOL, "0", "false"},
        {&value_BOOL, "off", "false"},
        {&value_BOOL, "", NULL},
        {&value_BOOL, "onn", NULL},
        {&value_BOOL, "2", NULL},
        {&value_COUNT, "0", "0"},
        {&value_COUNT, "42", "42"},
        {&value_COUNT, "-1", "0"},
        {&value_COUNT, "", NULL},
        {&value_COUNT, "4k", NULL},
        {&value_COUNT, "99999999999", NULL},
        {&value_SECONDS, "0", "0"},
        {&value_SECONDS, "90", "90"},
        {&value_SECONDS, "90s", "90"},
        {&value_SECONDS, "5 min", "300"},
        {&value_SECONDS, "2h", "7200"},
        {&value_SECONDS, "1d", "86400"},
        {&value_SECONDS, "3 HOURS", "10800"},
        {&value_SECONDS, "1 day", "86400"},
        {&value_SECONDS, "2 weeks", "1209600"},
        {&value_SECONDS, "1 month", "2678400"},
        {&value_SECONDS, "2147483647 months", "5751820200124800"},
        {&value_SECONDS, "2147483648", NULL},
        {&value_SECONDS, "00000000001", NULL},
        {&value_SECONDS, "", NULL},
        {&value_SECONDS, "-1", NULL},
        {&value_SECONDS, "1.5 h", NULL},
        {&value_SECONDS, "5 m", NULL},
        {&value_SECONDS, "day", NULL},
        {&value_SLOT, "Barman_1", "barman_1"},
        {&value_SLOT, "a-b", NULL},
        {&value_SLOT, "", NULL},
        {&value_SLOT, "a234567890123456789012345678901234567890123456789012345678901234", NULL},
        {&value_CONNINFO, "host=x password=y port=1", "host=x password=*REDACTED* port=1"},
        {&value_TEXT, "any  text", "any  text"},
        {&value_PATH, "/a/b", "/a/b"},
        {&value_SHELL, "env | grep x", "env | grep x"},
        {&value_CHOICE, "off", "off"},
        {&value_CHOICE, "FULL", "full"},
        {&value_CHOICE, "of", NULL},
        {&value_CHOICE, "off|full", NULL},
        {&value_CHOICE, "", NULL},
        {&value_MAGIC, "0x1f8B", "0x1f8B"},
        {&value_MAGIC, "0X00", "0X00"},
        {&value_MAGIC, "0x1f8", NULL},
        {&value_MAGIC, "0x", NULL},
        {&value_MAGIC, "1f8b", NULL},
        {&value_MAGIC, "0xzz", NULL},
        {&value_MAGIC, "0", NULL},
        {&value_MAGIC, "", NULL},
        {&value_LEVEL, "Low", "low"},
        {&value_LEVEL, "high", "high"},
        {&value_LEVEL, "-5", "-5"},
        {&value_LEVEL, " 19 ", "19"},
        {&value_LEVEL, "best", NULL},
        {&value_LEVEL, "", NULL},
        {&value_RETENTION, "7 d", "7 d"},
        {&value_RETENTION, "500GiB", "500GiB"},
        {&value_RETENTION, "3 Backups", "3 Backups"},
        {&value_RETENTION, "7", NULL},
        {&value_RETENTION, "0 d", NULL},
        {&value_RETENTION, "-1 d", NULL},
        {&value_RETENTION, "1.5 GiB", NULL},
        {&value_RETENTION, "99999999 d", NULL},
        {&value_RETENTION, "7 dd", NULL},
        {&value_RETENTION, "", NULL},
        {&value_LOGLEVEL, "debug", "debug"},
        {&value_LOGLEVEL, "15", "15"},
        {&value_LOGLEVEL, "loud", NULL},
    };
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        union {
            bool flag;
            int64_t number;
            const char *text;
        } field = {.number = -77}, before = field;
        const char *expected = cases[i].expected;
        bool fits = cases[i].kind->read(cases[i].text, "off|header|full", arena, &field);
        if (fits != !!expected)
            fail_msg("'%s' (case %zu)", cases[i].text, i);
        if (fits)
            assert_string_equal(cases[i].kind->write(&field, arena), expected);
        else
            assert_memory_equal(&field, &before, sizeof(field));
    }
    int64_t unset = -1;
    assert_null(value_SECONDS.write(&unset, arena));
    char *longest = arena_alloc(arena, 5001);
    memset(longest, 'x', 5000);
    const char *path = NULL;
    assert_false(value_PATH.read(longest, NULL, arena, &path));
}

static void
test_retention(void **state)
{
    static const struct {
        const char *text;
        RetentionKind kind;
        int64_t amount;
    } cases[] = {
        {"7 d", RETAIN_SECONDS, 604800},
        {"1 week", RETAIN_SECONDS, 604800},
        {"36 hours", RETAIN_SECONDS, 129600},
        {"90 min", RETAIN_SECONDS, 5400},
        {"2 months", RETAIN_SECONDS, 5356800},
        {"1 kB", RETAIN_BYTES, 1024},
        {"500 GiB", RETAIN_BYTES, INT64_C(536870912000)},
        {"500 GB", RETAIN_BYTES, INT64_C(536870912000)}, /* as PostgreSQL has it */
        {"9999999 TiB", RETAIN_BYTES, INT64_MAX},
        {"1 backup", RETAIN_BACKUPS, 1},
        {"12backups", RETAIN_BACKUPS, 12},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Retention retention;
        if (!retention_parse(cases[i].text, &retention))
            fail_msg("'%s' is refused", cases[i].text);
        assert_int_equal(retention.kind, cases[i].kind);
        assert_int_equal(retention.amount, cases[i].amount);
    }
}

static void
test_tables(void **state)
{
    (void)state;
    size_t count = 0;
    const OptionInfo *options = option_all(&count);
    assert_true(count > 20);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(option_find(options[i].name), &options[i]);
        assert_false(barman_option_known(options[i].name));
        assert_true(strlen(options[i].help) < 70);
    }
    for (size_t i = 0; i < barman_option_count; i++) {
        assert_true(barman_option_known(barman_options[i]));
        if (i)
            assert_true(strcmp(barman_options[i - 1], barman_options[i]) < 0);
    }
    assert_null(option_find("nothing"));
    assert_false(barman_option_known("nothing"));
}

static void
test_suggestions(void **state)
{
    static const char *const cases[][2] = {
        {"archiver_batchsize", "archiver_batch_size"},
        {"compresion", "compression"},
        {"acrhiver", "archiver"},
        {"retention_polcy", "retention_policy"},
        {"incoming_wal_directory", "incoming_wals_directory"},
        {"activ", "active"},
        {"act", NULL},
        {"x", NULL},
        {"something_of_my_own", NULL},
        {"a_name_that_is_much_longer_than_any_option_that_there_is", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *got = option_suggest(cases[i][0]);
        assert_int_equal(!got, !cases[i][1]);
        if (got)
            assert_string_equal(got, cases[i][1]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_and_write),
        cmocka_unit_test(test_retention),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
