/* SPDX-License-Identifier: PostgreSQL
 * Probes that answer, fail, die and never come back. */
#include "../unit.h"

#include "base/clock.h"
#include "monitor/probe.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int
answer(void *context)
{
    *(int *)context = 42;
    return 0;
}

static int
refuse(void *context)
{
    (void)context;
    return fail(ERR_DATA, "it is broken");
}

static int
die(void *context)
{
    (void)context;
    raise(SIGKILL);
    return 0;
}

static int
hang(void *context)
{
    *(int *)context = 1; /* half of an answer */
    while (pause() != 0)
        ;
    return 0;
}

static void
test_each_has_its_own_fate(void **state)
{
    (void)state;
    int *values = probe_memory(4 * sizeof(int));
    Probe *probes = probe_memory(4 * sizeof(Probe));
    probes[0] = (Probe){.what = "a", .look = hang, .context = &values[0]};
    probes[1] = (Probe){.what = "b", .look = die, .context = &values[1]};
    probes[2] = (Probe){.what = "c", .look = refuse, .context = &values[2]};
    probes[3] = (Probe){.what = "d", .look = answer, .context = &values[3]};
    assert_int_equal(probe_all(probes, 4, 1000), 0);
    assert_int_equal(probes[0].outcome, PROBE_LATE);
    assert_string_equal(probes[0].error.text, "no answer from a within 1 s");
    assert_int_equal(probes[1].outcome, PROBE_FAILED);
    assert_string_equal(probes[1].error.text, "the process that looked at b died");
    assert_int_equal(probes[2].outcome, PROBE_FAILED);
    assert_int_equal(probes[2].error.class, ERR_DATA);
    assert_string_equal(probes[2].error.text, "it is broken");
    assert_int_equal(probes[3].outcome, PROBE_DONE);
    assert_int_equal(values[3], 42);
    munmap(values, 4 * sizeof(int));
    munmap(probes, 4 * sizeof(Probe));
}

/* They look at the same time: many that are slow take no longer than one. */
static int
nap(void *context)
{
    (void)context;
    clock_pause_ms(300);
    return 0;
}

static void
test_all_at_once(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    Probe *probes = probe_memory(COUNT * sizeof(Probe));
    for (int i = 0; i < COUNT; i++)
        probes[i] = (Probe){.what = "x", .look = nap};
    assert_int_equal(probe_all(probes, COUNT, 0), 0); /* one after the other: 19 s */
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(probes[i].outcome, PROBE_DONE);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
    munmap(probes, COUNT * sizeof(Probe));
}

/* Descriptors of ours that a probe has: of a socket none, of anything else all. */
static int
count_open(void *context)
{
    int *fds = context;
    for (int i = 0; i < 3; i++)
        fds[i] = fcntl(fds[i], F_GETFD) >= 0;
    return 0;
}

static void
test_sockets_are_let_go(void **state)
{
    (void)state;
    int *fds = probe_memory(3 * sizeof(int));
    Probe *probe = probe_memory(sizeof(*probe));
    int pair[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(null >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    memcpy(fds, (int[]){pair[0], pair[1], null}, 3 * sizeof(int));
    *probe = (Probe){.what = "x", .look = count_open, .context = fds};
    assert_int_equal(probe_all(probe, 1, 60000), 0);
    assert_int_equal(fds[0], 0);
    assert_int_equal(fds[1], 0);
    assert_int_equal(fds[2], 1);
    assert_true(fcntl(pair[0], F_GETFD) >= 0); /* ours are as they were */
    close(pair[0]);
    close(pair[1]);
    close(null);
    munmap(fds, 3 * sizeof(int));
    munmap(probe, sizeof(*probe));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_has_its_own_fate),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_sockets_are_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
