/* SPDX-License-Identifier: PostgreSQL
 * Only root can become somebody else, and for good: that is tried in child processes. */
#include "base/user.h"

#include "../unit.h"

#include <pwd.h>
#include <sys/wait.h>

/* Runs it in a child; its answer must be 0 there. */
static void
in_child(int (*test)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(test());
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__ & 0x7f;                                                                \
    } while (0)

static int
become_nobody(void)
{
    const struct passwd *entry = getpwnam("nobody");
    CHECK(entry);
    uid_t uid = entry->pw_uid;
    gid_t gid = entry->pw_gid;
    char home[256];
    snprintf(home, sizeof(home), "%s", entry->pw_dir);
    CHECK(user_become("nobody", true) == 0);
    CHECK(getuid() == uid && geteuid() == uid && getgid() == gid && getegid() == gid);
    gid_t groups[64];
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++)
        CHECK(groups[i] != 0);
    CHECK(strcmp(getenv("HOME"), home) == 0);
    CHECK(setuid(0) < 0); /* no way back */
    CHECK(user_become("nobody", true) == 0);
    /* and not to anybody else */
    CHECK(user_become("root", false) == 0 && geteuid() == uid);
    CHECK(user_become("root", true) < 0 && error_last()->class == ERR_CONFIG);
    CHECK(strstr(error_last()->text, "please run as user 'root'"));
    return 0;
}

static void
test_root_becomes(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    in_child(become_nobody);
}

static void
test_unknown(void **state)
{
    (void)state;
    assert_fails(user_become("no-such-account", true), ERR_CONFIG, "no-such-account");
    assert_done(user_become("no-such-account", false));
}

static void
test_already(void **state)
{
    (void)state;
    const struct passwd *entry = getpwuid(geteuid());
    if (!entry)
        skip();
    assert_done(user_become(entry->pw_name, true));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_becomes),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_already),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
