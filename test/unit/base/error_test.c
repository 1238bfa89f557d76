/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include <errno.h>

static void
test_record(void **state)
{
    (void)state;
    assert_int_equal(fail(ERR_DATA, "segment '%s' is short", "X"), -1);
    assert_string_equal(error_last()->text, "segment 'X' is short");
    assert_int_equal(error_last()->class, ERR_DATA);
    assert_string_equal(error_last()->hint, "");
}

static void
test_errno(void **state)
{
    (void)state;
    errno = ENOENT;
    assert_fails(fail_errno("open '%s'", "/x"), ERR_IO, "open '/x': No such file or directory");
    assert_int_equal(error_last()->os_error, ENOENT);
    errno = ENOSPC;
    fail_errno("write '/x'");
    assert_string_not_equal(error_last()->hint, "");
}

static void
test_context(void **state)
{
    (void)state;
    fail(ERR_DATA, "page 3 is damaged");
    assert_int_equal(wrap(-1, "archive '%s'", "X"), -1);
    assert_string_equal(error_last()->text, "archive 'X': page 3 is damaged");
    /* the record may be an argument of its own replacement */
    fail(ERR_IO, "again: %s", error_last()->text);
    assert_string_equal(error_last()->text, "again: archive 'X': page 3 is damaged");
    assert_int_equal(wrap(0, "nothing"), 0);
    assert_int_equal(wrap(1, "nothing"), 1);
    assert_string_equal(error_last()->text, "again: archive 'X': page 3 is damaged");
}

static void
test_too_long(void **state)
{
    (void)state;
    char text[4000];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    fail(ERR_DATA, "%s", text);
    wrap(-1, "%s", text);
    assert_true(strlen(error_last()->text) < sizeof(error_last()->text));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_context),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
