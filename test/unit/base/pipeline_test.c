/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include "base/clock.h"
#include "base/pipeline.h"

#include <stdatomic.h>

enum { ITEMS = 500, WINDOW = 8 };

typedef struct Job {
    int results[ITEMS];
    atomic_int begun, taken, too_far;
} Job;

static void
work(void *context, size_t item, int worker)
{
    Job *job = context;
    (void)worker;
    if (++job->begun - job->taken > WINDOW + 1) /* + 1: taken is counted after the fact */
        job->too_far++;
    if (item % 7 == 0)
        clock_pause_ms(1);
    job->results[item] = (int)item + 1;
}

static void
test_in_order_and_bounded(void **state)
{
    (void)state;
    Job job = {0};
    Pipeline *pipeline = NULL;
    assert_done(pipeline_start(ITEMS, 3, WINDOW, work, &job, &pipeline));
    size_t next = 0, ready;
    while ((ready = pipeline_wait(pipeline)) > 0) {
        assert_true(ready <= WINDOW);
        for (size_t i = 0; i < ready; i++)
            assert_int_equal(job.results[next + i], next + i + 1);
        next += ready;
        job.taken += (int)ready;
        pipeline_take(pipeline, ready);
    }
    assert_int_equal(next, ITEMS);
    assert_int_equal(job.too_far, 0);
    assert_int_equal(pipeline_stop(pipeline), ITEMS);
}

static void
test_stopped_early(void **state)
{
    (void)state;
    Job job = {0};
    Pipeline *pipeline = NULL;
    assert_done(pipeline_start(ITEMS, 2, WINDOW, work, &job, &pipeline));
    size_t ready = pipeline_wait(pipeline);
    pipeline_take(pipeline, ready);
    size_t begun = pipeline_stop(pipeline);
    assert_true(begun >= ready && begun <= ready + WINDOW);
    for (size_t i = 0; i < begun; i++)
        assert_int_equal(job.results[i], i + 1);
}

static void
test_nothing_to_do(void **state)
{
    (void)state;
    Job job = {0};
    Pipeline *pipeline = NULL;
    assert_done(pipeline_start(0, 2, WINDOW, work, &job, &pipeline));
    assert_int_equal(pipeline_wait(pipeline), 0);
    assert_int_equal(pipeline_stop(pipeline), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order_and_bounded),
        cmocka_unit_test(test_stopped_early),
        cmocka_unit_test(test_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
