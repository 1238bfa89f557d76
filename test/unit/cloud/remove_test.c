/* SPDX-License-Identifier: PostgreSQL */
#include "cloud/remove.h"

#include "../unit.h"
#include "base/clock.h"

#include <pthread.h>

/* Knows how many removals were tried, and waits in each until as many are under way. */
typedef struct Tried {
    pthread_mutex_t mutex;
    pthread_cond_t more;
    int count, inside, inside_most, wait_for;
} Tried;

#define TRIED                                                                                      \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0                            \
    }

/* How a store meets the removal of keys: "+" gone, "-" refused, "!" not to be spoken to. "=": as
 * "+", beside others. */
static int
remove_as_told(void *store, const char *key, int64_t deadline)
{
    Tried *tried = store;
    struct timespec until = {.tv_sec = time(NULL) + 20};
    (void)deadline;
    pthread_mutex_lock(&tried->mutex);
    tried->count++;
    tried->inside_most += ++tried->inside > tried->inside_most;
    pthread_cond_broadcast(&tried->more);
    while (*key == '=' && tried->inside_most < tried->wait_for)
        if (pthread_cond_timedwait(&tried->more, &tried->mutex, &until) != 0)
            break;
    tried->inside--;
    pthread_mutex_unlock(&tried->mutex);
    if (*key == '+' || *key == '=')
        return 0;
    int result = fail(ERR_IO, "for %s", key);
    return *key == '-' ? REMOVE_REFUSED : result;
}

static void
what_is_still_there_is_said_for_each(void **state)
{
    static const struct {
        const char *keys[3];
        const char *errors[3];
    } cases[] = {
        {{"+", "+", "+"}, {NULL, NULL, NULL}},
        {{"-1", "+", "-2"}, {"for -1", NULL, "for -2"}},
        {{"+", "-1", "-2"}, {NULL, "for -1", "for -2"}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ObjectRemoval batch[3] = {0};
        Tried tried = TRIED;
        for (size_t j = 0; j < COUNT_OF(batch); j++)
            batch[j].key = cases[i].keys[j];
        assert_done(remove_each(&tried, batch, COUNT_OF(batch), 0, remove_as_told));
        assert_int_equal(tried.count, COUNT_OF(batch));
        for (size_t j = 0; j < COUNT_OF(batch); j++) {
            assert_string_equal(batch[j].error ? batch[j].error : "(none)",
                                cases[i].errors[j] ? cases[i].errors[j] : "(none)");
            free(batch[j].error);
        }
    }
}

static void
the_rest_is_not_tried_when_the_store_is_lost(void **state)
{
    ObjectRemoval batch[100] = {{.key = "+"}};
    Tried tried = TRIED;
    (void)state;
    for (size_t i = 1; i < COUNT_OF(batch); i++)
        batch[i].key = "!";
    assert_done(remove_each(&tried, batch, COUNT_OF(batch), 0, remove_as_told));
    assert_true(tried.count < 50); /* one of each thread */
    assert_null(batch[0].error);
    for (size_t i = 1; i < COUNT_OF(batch); i++) {
        assert_string_equal(batch[i].error, "for !");
        free(batch[i].error);
    }
}

static void
nothing_is_said_when_the_first_meets_no_store(void **state)
{
    ObjectRemoval batch[] = {{.key = "!"}, {.key = "+"}};
    Tried tried = TRIED;
    (void)state;
    assert_fails(remove_each(&tried, batch, COUNT_OF(batch), 0, remove_as_told), ERR_IO, "for !");
    assert_null(batch[0].error);
    assert_null(batch[1].error);
    assert_int_equal(tried.count, 1);
    assert_done(remove_each(&tried, batch, 0, 0, remove_as_told));
}

static void
several_are_removed_at_a_time(void **state)
{
    ObjectRemoval batch[] = {{.key = "+"}, {.key = "="}, {.key = "="}, {.key = "="}};
    Tried tried = TRIED;
    (void)state;
    tried.wait_for = 3;
    assert_done(remove_each(&tried, batch, COUNT_OF(batch), 0, remove_as_told));
    assert_int_equal(tried.inside_most, 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_still_there_is_said_for_each),
        cmocka_unit_test(the_rest_is_not_tried_when_the_store_is_lost),
        cmocka_unit_test(nothing_is_said_when_the_first_meets_no_store),
        cmocka_unit_test(several_are_removed_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
