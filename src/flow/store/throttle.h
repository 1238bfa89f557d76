/* SPDX-License-Identifier: PostgreSQL
 * How many uploads go on at once. More of them pay as long as together they are faster: that is
 * found out by trying one more, or one less, and looking at what comes of it. A store that
 * fails, or says that it has too much to do, gets half as many. */
#ifndef WALDEN_FLOW_STORE_THROTTLE_H
#define WALDEN_FLOW_STORE_THROTTLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Throttle {
    pthread_mutex_t mutex;
    pthread_cond_t left;
    int limit, most; /* now, and ever */
    int active;
    /* The round that is measured */
    int64_t bytes, since_ms;
    int done;
    double last; /* bytes per ms of the round before; 0: there was none */
    int step;    /* what was tried last: 1 or -1 */
} Throttle;

/* Begins with `limit`; where that is `most` already, it stays. */
void throttle_init(Throttle *throttle, int limit, int most);
void throttle_done(Throttle *throttle);

/* Waits for a turn. */
void throttle_enter(Throttle *throttle);

/* The turn is over: so many bytes went away, or the store had enough of it. */
void throttle_leave(Throttle *throttle, int64_t bytes, bool refused);

/* A round ended with so many bytes per ms: what is the limit now? For throttle_leave, and tests. */
void throttle_judge(Throttle *throttle, double rate);

#endif
