/* SPDX-License-Identifier: PostgreSQL
 * Against the kernel's own scheduler: three busy processes on one processor. */
#include "../unit.h"

#include "base/clock.h"
#include "base/cpu_wait.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000 };

/* We and our children: on the processor where we are. */
static void
stay_here(void)
{
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    assert_int_equal(sched_setaffinity(0, sizeof(here), &here), 0);
}

static pid_t
start_busy_loop(void)
{
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)clock_us();
    }
    return child;
}

static void
keep_busy(int64_t ms)
{
    for (int64_t end = clock_ms() + ms; clock_ms() < end;)
        ;
}

/* One of three runs for a third of the time. */
static void
test_queueing_is_seen(void **state)
{
    (void)state;
    CpuWait wait;
    cpu_set_t before;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    stay_here();
    cpu_wait_begin(&wait);
    if (wait.fd < 0)
        skip(); /* a kernel that does not count */
    pid_t children[] = {start_busy_loop(), start_busy_loop()};
    double share = 0;
    for (int64_t deadline = clock_ms() + PATIENCE_MS; share < 0.5 && clock_ms() < deadline;) {
        keep_busy(200);
        share = cpu_wait_share(&wait);
        assert_true(share >= 0 && share <= 1);
    }
    for (size_t i = 0; i < COUNT_OF(children); i++) {
        kill(children[i], SIGKILL);
        assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
    }
    cpu_wait_end(&wait);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_true(share >= 0.5);
}

/* Time that is slept is no time in the queue. */
static void
test_sleep_is_no_queueing(void **state)
{
    (void)state;
    CpuWait wait;
    cpu_wait_begin(&wait);
    if (wait.fd < 0)
        skip();
    double share = 1;
    for (int64_t deadline = clock_ms() + PATIENCE_MS; share > 0.1 && clock_ms() < deadline;) {
        clock_pause_ms(100);
        share = cpu_wait_share(&wait);
    }
    cpu_wait_end(&wait);
    assert_true(share >= 0 && share <= 0.1);
}

static void
test_not_known_is_said(void **state)
{
    (void)state;
    CpuWait wait = {.fd = -1};
    assert_true(cpu_wait_share(&wait) < 0);
    cpu_wait_end(&wait);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queueing_is_seen),
        cmocka_unit_test(test_sleep_is_no_queueing),
        cmocka_unit_test(test_not_known_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
