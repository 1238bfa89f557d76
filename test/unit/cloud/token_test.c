/* SPDX-License-Identifier: PostgreSQL */
#include "cloud/token.h"

#include "../unit.h"
#include "base/clock.h"
#include "cloud/json.h"

typedef struct Giver {
    int asked;
    int64_t seconds;
    bool broken;
} Giver;

static int
give(void *context, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    Giver *giver = context;
    (void)deadline;
    giver->asked++;
    if (giver->broken)
        return fail(ERR_IO, "nobody is there");
    *ret_value = mem_printf("token %d", giver->asked);
    *ret_seconds = giver->seconds;
    return 0;
}

static void
expect(Token *token, const char *expected)
{
    AUTO(free) char *value = NULL;
    assert_done(token_get(token, 0, &value));
    assert_string_equal(value, expected);
}

static void
a_token_is_kept_until_shortly_before_its_end(void **state)
{
    (void)state;
    Giver giver = {.seconds = 3600};
    Token token;
    token_init(&token, give, &giver);
    expect(&token, "token 1");
    expect(&token, "token 1");
    int64_t margin = token.ends - token.renew;
    assert_int_equal(margin, 300 * 1000);
    token.renew = clock_ms() - 1;
    expect(&token, "token 2");
    giver.seconds = 100;
    token_refused(&token, "token 1"); /* is not the one in use any more */
    expect(&token, "token 2");
    token_refused(&token, "token 2");
    expect(&token, "token 3");
    assert_int_equal(token.ends - token.renew, 25 * 1000);
    token_done(&token);
}

static void
one_that_cannot_be_renewed_is_used_to_its_end(void **state)
{
    (void)state;
    Giver giver = {.seconds = 3600};
    Token token;
    AUTO(free) char *value = NULL;
    token_init(&token, give, &giver);
    expect(&token, "token 1");
    giver.broken = true;
    token.renew = clock_ms() - 1;
    expect(&token, "token 1");
    expect(&token, "token 1"); /* and nobody asks with each request */
    assert_int_equal(giver.asked, 2);
    token.renew = token.ends = clock_ms() - 1;
    assert_fails(token_get(&token, 0, &value), ERR_IO, "nobody is there");
    giver.broken = false;
    token.renew = clock_ms() - 1;
    expect(&token, "token 4");
    token_done(&token);
}

static void
answers_say_why(void **state)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"{\"error\":\"invalid_grant\",\"error_description\":\"Bad\\nkey\"}",
         ": invalid_grant: Bad key"},
        {"{\"error\":\"invalid_grant\"}", ": invalid_grant"},
        {"{\"error\":{\"code\":403,\"message\":\"Not for you\"}}", ": Not for you"},
        {"{}", ""},
        {"<html>", ""},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(free) char *reason = json_reason(cases[i].text, strlen(cases[i].text));
        assert_string_equal(reason, cases[i].reason);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_kept_until_shortly_before_its_end),
        cmocka_unit_test(one_that_cannot_be_renewed_is_used_to_its_end),
        cmocka_unit_test(answers_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
