/* SPDX-License-Identifier: PostgreSQL
 * Names of hosts become addresses, within a time, whatever the name server does: what that answers
 * is made up here. */
#include "../unit.h"

#include "base/clock.h"
#include "pg/resolve.h"

#include <netdb.h>
#include <stdatomic.h>

enum { SHORT_MS = 300, LONG_MS = 20000 };

static atomic_bool answers; /* at last */

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *asked,
                       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *asked,
                       struct addrinfo **found);

/* "one" has one address, "two" two, "slow" none for now; nobody knows of others. */
int
__wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *asked,
                   struct addrinfo **found)
{
    const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    if (asked->ai_flags & AI_NUMERICHOST)
        return __real_getaddrinfo(host, service, asked, found);
    while (strcmp(host, "slow") == 0 && !answers)
        clock_pause_ms(1);
    if (strcmp(host, "two") == 0) {
        struct addrinfo *second = NULL;
        assert_int_equal(__real_getaddrinfo("10.0.0.2", service, &numeric, found), 0);
        assert_int_equal(__real_getaddrinfo("fd00::2", service, &numeric, &second), 0);
        (*found)->ai_next = second;
        return 0;
    }
    if (strcmp(host, "one") == 0)
        return __real_getaddrinfo("10.0.0.1", service, &numeric, found);
    return EAI_NONAME;
}

static const char *
value(const Conninfo *conninfo, const char *name)
{
    const char *found = conninfo_value(conninfo, name);
    return found ? found : "-";
}

static void
names_get_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *hostaddr, *port;
    } cases[] = {
        {"host=one", "one", "10.0.0.1", "-"},
        {"host=one port=7", "one", "10.0.0.1", "7"},
        {"host=two", "two,two", "10.0.0.2,fd00::2", "-"},
        {"host=one,two,/tmp port=7,8,9", "one,two,two,/tmp", "10.0.0.1,10.0.0.2,fd00::2,",
         "7,8,8,9"},
        {"host=unknown,one,,10.1.1.1 port=6,7,8,9", "one,,10.1.1.1", "10.0.0.1,,", "7,8,9"},
        {"host=slow,one port=7", "one", "10.0.0.1", "7"},
        {"postgresql://one:7,two:8/d", "one,two,two", "10.0.0.1,10.0.0.2,fd00::2", "7,8,8"},
        /* Nothing to look up, or nobody knows what */
        {"user=x", "-", "-", "-"},
        {"host=10.1.1.1,::1,@abstract,/tmp", "10.1.1.1,::1,@abstract,/tmp", "-", "-"},
        {"host=one hostaddr=10.9.9.9", "one", "10.9.9.9", "-"},
        {"host=one,two port=1,2,3", "one,two", "-", "1,2,3"},
        {"service=there host=one", "one", "-", "-"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(arena) Arena *arena = arena_new();
        Conninfo conninfo;
        assert_done(conninfo_parse(cases[i].text, PG_SQL, NULL, arena, &conninfo));
        assert_true(resolve_hosts(&conninfo, SHORT_MS) >= 0);
        assert_string_equal(value(&conninfo, "host"), cases[i].host);
        assert_string_equal(value(&conninfo, "hostaddr"), cases[i].hostaddr);
        assert_string_equal(value(&conninfo, "port"), cases[i].port);
    }
}

static void
a_name_that_nobody_knows(void **state)
{
    (void)state;
    PgConnection *connection = NULL;
    assert_fails(pg_connect("host=unknown,none", PG_SQL, NULL, LONG_MS, &connection), ERR_IO,
                 "could not translate host name 'none' to address");
}

static void
a_name_server_that_keeps_silent(void **state)
{
    (void)state;
    PgConnection *connection = NULL;
    int64_t begin = clock_ms();
    assert_fails(pg_connect("host=slow", PG_SQL, NULL, SHORT_MS, &connection), ERR_TIMEOUT,
                 "'slow' was not resolved in 300 ms");
    assert_true(clock_ms() - begin < LONG_MS);
    begin = clock_ms();
    assert_fails(pg_connect("host=slow connect_timeout=1", PG_SQL, NULL, LONG_MS, &connection),
                 ERR_TIMEOUT, "in 1000 ms");
    assert_true(clock_ms() - begin < LONG_MS);
    answers = true; /* to whom nobody listens any more */
    clock_pause_ms(50);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_get_addresses),
        cmocka_unit_test(a_name_that_nobody_knows),
        cmocka_unit_test(a_name_server_that_keeps_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
