/* SPDX-License-Identifier: PostgreSQL */
#include "pg/conninfo.h"

#include "../unit.h"

static const char *
value(const Conninfo *conninfo, const char *name)
{
    for (size_t i = 0; i < conninfo->count; i++)
        if (strcmp(conninfo->names[i], name) == 0)
            return conninfo->values[i];
    return "(not set)";
}

static void
strings_are_read_as_libpq_reads_them(void **state)
{
    static const struct {
        const char *text, *user, *password, *application;
    } cases[] = {
        {"", "(not set)", "(not set)", "walden"},
        {"user=u password='a b\\'c' application_name=mine", "u", "a b'c", "mine"},
        {"postgresql://u:a%20b@h/d?application_name=mine", "u", "a b", "mine"},
        {"postgres://u@h", "u", "(not set)", "walden"},
    };
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Conninfo conninfo;
        assert_done(conninfo_parse(cases[i].text, PG_SQL, "walden", arena, &conninfo));
        assert_string_equal(value(&conninfo, "user"), cases[i].user);
        assert_string_equal(value(&conninfo, "password"), cases[i].password);
        assert_string_equal(value(&conninfo, "application_name"), cases[i].application);
        assert_null(conninfo.names[conninfo.count]);
    }
}

static void
replication_keeps_the_options(void **state)
{
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    Conninfo conninfo;
    assert_done(conninfo_parse("dbname=d replication=database options='-c x=1'", PG_REPLICATION,
                               NULL, arena, &conninfo));
    assert_string_equal(value(&conninfo, "replication"), "true");
    assert_string_equal(value(&conninfo, "dbname"), "replication");
    assert_string_equal(value(&conninfo, "options"), "-c x=1");
    assert_string_equal(value(&conninfo, "application_name"), "(not set)");
}

static void
hosts_are_dropped_one_by_one(void **state)
{
    static const struct {
        const char *text, *host, *port;        /* what is taken out */
        const char *hosts, *hostaddrs, *ports; /* what stays; NULL: nothing was taken out */
    } cases[] = {
        {"host=a", "a", "5432", NULL, NULL, NULL},
        {"", "/tmp", "5432", NULL, NULL, NULL},
        {"host=a,b", "c", "5432", NULL, NULL, NULL},
        {"host=a,b,c", "a", "5432", "b,c", "(not set)", "(not set)"},
        {"host=a,b,c port=7", "b", "7", "a,c", "(not set)", "7"},
        {"host=a,b port=7,8", "b", "8", "a", "(not set)", "7"},
        {"host=a,a port=7,8", "a", "8", "a", "(not set)", "7"},
        {"host=a,a port=7,8", "a", "9", NULL, NULL, NULL},
        {"host=a,,c port=7,,9", "a", "7", ",c", "(not set)", ",9"},
        {"hostaddr=1.1.1.1,2.2.2.2", "1.1.1.1", "5432", "(not set)", "2.2.2.2", "(not set)"},
        {"host=a,b hostaddr=1.1.1.1,2.2.2.2 port=7,8", "b", "8", "a", "1.1.1.1", "7"},
        {"postgresql://a:7,b:8/d", "a", "7", "b", "(not set)", "8"},
    };
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Conninfo conninfo;
        assert_done(conninfo_parse(cases[i].text, PG_SQL, NULL, arena, &conninfo));
        bool dropped = conninfo_drop_host(&conninfo, cases[i].host, cases[i].port);
        assert_int_equal(dropped, cases[i].hosts != NULL);
        if (!dropped)
            continue;
        assert_string_equal(value(&conninfo, "host"), cases[i].hosts);
        assert_string_equal(value(&conninfo, "hostaddr"), cases[i].hostaddrs);
        assert_string_equal(value(&conninfo, "port"), cases[i].ports);
    }
}

static void
each_host_has_its_share_of_the_time(void **state)
{
    static const struct {
        const char *text;
        int64_t expected;
    } cases[] = {
        {"", 6000},
        {"host=a", 6000},
        {"host=a,b,c", 2000},
        {"hostaddr=1.1.1.1,2.2.2.2", 3000},
        {"host=a,b,c connect_timeout=1", 1000},
        {"host=a,b,c connect_timeout=3", 2000},
        {"connect_timeout=0", 6000},
        {"connect_timeout=x", 6000},
    };
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Conninfo conninfo;
        assert_done(conninfo_parse(cases[i].text, PG_SQL, NULL, arena, &conninfo));
        assert_int_equal(conninfo_host_timeout(&conninfo, 6000), cases[i].expected);
    }
}

/* For another program: all but the secrets, which nobody else may see. */
static void
strings_are_handed_on_without_secrets(void **state)
{
    static const struct {
        const char *text, *expected, *env; /* env: "" when there is no secret */
    } cases[] = {
        {"host=h user=u",
         "replication=true dbname=replication user=u host=h application_name=a "
         "connect_timeout=6",
         ""},
        {"password='s3 cret' nonsense=1", NULL, NULL},
        {"password='s3 c\\'ret' connect_timeout=9 options='-c x=\\\\1' application_name=''",
         "replication=true dbname=replication connect_timeout=9 options='-c x=\\\\1' "
         "application_name=''",
         "PGPASSWORD=s3 c'ret"},
        {"postgresql://u:s3%20cret@h1:1,h2:2/d",
         "replication=true dbname=replication user=u host=h1,h2 port=1,2 application_name=a "
         "connect_timeout=3",
         "PGPASSWORD=s3 cret"},
        {"sslpassword=s3cret", NULL, NULL},
    };
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(strlist) StrList env = {0};
        const char *got = "";
        int result =
            pg_conninfo_export(cases[i].text, PG_REPLICATION, "a", 6000, arena, &got, &env);
        if (!cases[i].expected) {
            assert_fails(result, ERR_CONFIG, "connection string");
            assert_null(strstr(error_last()->text, "s3"));
            continue;
        }
        assert_done(result);
        /* In libpq's order, which is not ours to say. */
        assert_int_equal(strlen(got), strlen(cases[i].expected));
        Conninfo ours, theirs;
        assert_done(conninfo_parse(got, PG_SQL, NULL, arena, &ours));
        assert_done(conninfo_parse(cases[i].expected, PG_SQL, NULL, arena, &theirs));
        for (size_t k = 0; k < theirs.count; k++)
            assert_string_equal(value(&ours, theirs.names[k]), theirs.values[k]);
        assert_int_equal(ours.count, theirs.count);
        assert_int_equal(env.count, *cases[i].env != 0);
        if (env.count)
            assert_string_equal(env.items[0], cases[i].env);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_read_as_libpq_reads_them),
        cmocka_unit_test(replication_keeps_the_options),
        cmocka_unit_test(strings_are_handed_on_without_secrets),
        cmocka_unit_test(hosts_are_dropped_one_by_one),
        cmocka_unit_test(each_host_has_its_share_of_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
