/* SPDX-License-Identifier: PostgreSQL
 * Hill-climbing, a round at a time. A round has at least two uploads for each turn and takes some
 * time, so that one slow answer does not decide. */
#include "flow/store/throttle.h"

#include "base/clock.h"

enum { ROUND_MS = 250 };

/* What is nearer to the last rate than a tenth says nothing. */
static const double better = 1.1, worse = 0.9;

void
throttle_init(Throttle *throttle, int limit, int most)
{
    *throttle = (Throttle){.limit = limit < most ? limit : most, .most = most, .step = 1};
    pthread_mutex_init(&throttle->mutex, NULL);
    pthread_cond_init(&throttle->left, NULL);
}

void
throttle_done(Throttle *throttle)
{
    pthread_cond_destroy(&throttle->left);
    pthread_mutex_destroy(&throttle->mutex);
}

void
throttle_enter(Throttle *throttle)
{
    pthread_mutex_lock(&throttle->mutex);
    while (throttle->active >= throttle->limit)
        pthread_cond_wait(&throttle->left, &throttle->mutex);
    if (throttle->since_ms == 0)
        throttle->since_ms = clock_ms();
    throttle->active++;
    pthread_mutex_unlock(&throttle->mutex);
}

static void
set_limit(Throttle *throttle, int limit)
{
    throttle->limit = limit < 1 ? 1 : limit > throttle->most ? throttle->most : limit;
}

static void
begin_round(Throttle *throttle)
{
    throttle->bytes = 0;
    throttle->done = 0;
    throttle->since_ms = clock_ms();
}

void
throttle_judge(Throttle *throttle, double rate)
{
    double last = throttle->last;
    throttle->last = rate;
    if (last > 0 && rate < last * worse)
        throttle->step = -throttle->step;
    else if (last > 0 && rate < last * better)
        return;
    set_limit(throttle, throttle->limit + throttle->step);
}

void
throttle_leave(Throttle *throttle, int64_t bytes, bool refused)
{
    pthread_mutex_lock(&throttle->mutex);
    throttle->active--;
    throttle->bytes += bytes;
    throttle->done++;
    int64_t took = clock_ms() - throttle->since_ms;
    if (refused) {
        set_limit(throttle, throttle->limit / 2);
        throttle->last = 0;
        begin_round(throttle);
    } else if (throttle->done >= 2 * throttle->limit && took >= ROUND_MS) {
        throttle_judge(throttle, (double)throttle->bytes / (double)took);
        begin_round(throttle);
    }
    pthread_cond_broadcast(&throttle->left);
    pthread_mutex_unlock(&throttle->mutex);
}
