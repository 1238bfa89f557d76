/* SPDX-License-Identifier: PostgreSQL */
#include "config/secret.h"

#include "../unit.h"

static void
passwords_are_replaced(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"  ", "  "},
        {"host=a user=b", "host=a user=b"},
        {"host=a password=s3cret user=b", "host=a password=*REDACTED* user=b"},
        {"password = s3cret  user=b", "password = *REDACTED*  user=b"},
        {"password='s3 cret' user=b", "password=*REDACTED* user=b"},
        {"password='s3\\'cret \\\\' user=b", "password=*REDACTED* user=b"},
        {"password=s3\\ cret user=b", "password=*REDACTED* user=b"},
        {"password=s3'cret user=b", "password=*REDACTED* user=b"},
        {"password=", "password=*REDACTED*"},
        {"host=a\nsslpassword=s3cret", "host=a\nsslpassword=*REDACTED*"},
        {"passfile=/p application_name='password=x'", "passfile=/p application_name='password=x'"},
        /* what libpq would refuse */
        {"password=open s3cret user=b", "password=*REDACTED* *REDACTED*"},
        {"password='s3cret user=b", "*REDACTED*"},
        {"host=a password", "host=a *REDACTED*"},
        {"postgresql://", "postgresql://"},
        {"postgresql://h:5432/d", "postgresql://h:5432/d"},
        {"postgres://u@h:5432/d?sslmode=require", "postgres://u@h:5432/d?sslmode=require"},
        {"postgresql://u:s3cret@h/d", "postgresql://u:*REDACTED*@h/d"},
        {"postgresql://u:s3@cret@h:1,i:2/d", "postgresql://u:*REDACTED*@h:1,i:2/d"},
        {"postgresql://u:s3/c?ret@h/d", "postgresql://u:*REDACTED*@h/d"},
        {"postgresql://h/d?password=s3cret&user=u", "postgresql://h/d?password=*REDACTED*&user=u"},
        {"postgresql://h/d?user=u&p%61ssword=s3cret",
         "postgresql://h/d?user=u&p%61ssword=*REDACTED*"},
        {"postgresql://h/d?user", "postgresql://h/d?user"},
    };
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(conninfo_redact(cases[i].text, arena), cases[i].expected);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(passwords_are_replaced)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
