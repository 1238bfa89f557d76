/* SPDX-License-Identifier: PostgreSQL
 * How commands choose their servers, and what they say when they cannot. */
#include "../capture.h"

#include "base/log.h"
#include "command/command.h"

typedef struct Fixture {
    ServerConfig servers[3];
    Config config;
    Invocation invocation;
} Fixture;

static int
setup(void **state)
{
    static char fault[] = "it is wrong";
    static char *faults[] = {fault};
    Fixture *f = mem_alloc(sizeof(*f));
    f->servers[0] = (ServerConfig){.name = "a", .active = true};
    f->servers[1] = (ServerConfig){
        .name = "b", .active = true, .disabled = true, .messages = {.items = faults, .count = 1}};
    f->servers[2] = (ServerConfig){.name = "c"};
    f->config = (Config){.servers = f->servers, .server_count = 3};
    f->invocation =
        (Invocation){.config = &f->config, .report = report_new(&(ReportStyle){.json = true})};
    *state = f;
    return 0;
}

/* What was told, as JSON; the fixture ends with it. */
static void
assert_told(Fixture *f, const char *expected)
{
    AUTO(str) Str out = {0};
    Capture capture = capture_begin(stdout);
    int result = report_end(f->invocation.report);
    capture_end(&capture, &out);
    free(f);
    assert_done(result);
    assert_string_equal(str_text(&out), expected);
}

static void
test_one(void **state)
{
    Fixture *f = *state;
    assert_ptr_equal(command_server(&f->invocation, "a"), &f->servers[0]);
    assert_ptr_equal(command_server(&f->invocation, "c"), &f->servers[2]);
    assert_null(command_server(&f->invocation, "b"));
    assert_null(command_server(&f->invocation, "x"));
    assert_null(command_server(&f->invocation, "all"));
    assert_told(f, "{\"_ERROR\": [\"Disabled server 'b': it is wrong\", \"Unknown server 'x'\", "
                   "\"You cannot use 'all' in a single server context\"]}");
}

static void
test_several(void **state)
{
    Fixture *f = *state;
    char a[] = "a", c[] = "c", all[] = "all", unknown[] = "x";
    char *chosen[] = {c, a}, *every[] = {all}, *wrong[] = {a, unknown}, *mixed[] = {all, a};
    const struct {
        char **arguments;
        int argument_count;
        const char *names; /* NULL: refused */
    } cases[] = {
        {chosen, 2, "ca"}, {every, 1, "abc"}, {wrong, 2, NULL}, {mixed, 2, NULL}, {chosen, 0, ""}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t count = 99;
        f->invocation.arguments = cases[i].arguments;
        f->invocation.argument_count = cases[i].argument_count;
        AUTO(free) const ServerConfig **servers = command_servers(&f->invocation, &count);
        assert_true(!servers == !cases[i].names);
        if (!servers)
            continue;
        assert_int_equal(count, strlen(cases[i].names));
        for (size_t j = 0; j < count; j++)
            assert_int_equal(servers[j]->name[0], cases[i].names[j]);
    }
    assert_told(f, "{\"_ERROR\": [\"Unknown server 'x'\", \"Unknown server 'all'\"]}");
}

static void
test_inactive(void **state)
{
    Fixture *f = *state;
    assert_false(command_skips_inactive(&f->invocation, &f->servers[0]));
    assert_true(command_skips_inactive(&f->invocation, &f->servers[2]));
    assert_told(f, "{\"_INFO\": [\"Skipping inactive server 'c'\"]}");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one, setup),
        cmocka_unit_test_setup(test_several, setup),
        cmocka_unit_test_setup(test_inactive, setup),
    };
    log_open(NULL, LOG_CRITICAL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
