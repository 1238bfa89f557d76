/* SPDX-License-Identifier: PostgreSQL
 * One mutex, two conditions: workers wait for room, the consumer waits for the next item in order.
 * An item is a WAL file, milliseconds of work, so the lock is never what anybody waits for. */
#include "base/pipeline.h"

#include "base/mem.h"

#include <errno.h>

#include <pthread.h>
#include <signal.h>

struct Pipeline {
    pthread_mutex_t mutex;
    pthread_cond_t room, done;
    size_t count, window;
    size_t begun, taken;
    bool *is_done; /* ring of `window` flags */
    bool stopping;
    PipelineWork *work;
    void *context;
    int threads;
    struct Worker {
        Pipeline *pipeline;
        pthread_t thread;
        int number;
    } workers[];
};

static void *
run_worker(void *argument)
{
    struct Worker *self = argument;
    Pipeline *p = self->pipeline;
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (!p->stopping && p->begun < p->count && p->begun - p->taken >= p->window)
            pthread_cond_wait(&p->room, &p->mutex);
        if (p->stopping || p->begun >= p->count)
            break;
        size_t item = p->begun++;
        p->is_done[item % p->window] = false;
        pthread_mutex_unlock(&p->mutex);
        p->work(p->context, item, self->number);
        pthread_mutex_lock(&p->mutex);
        p->is_done[item % p->window] = true;
        pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

int
pipeline_start(size_t count, int threads, size_t window, PipelineWork *work, void *context,
               Pipeline **ret_pipeline)
{
    Pipeline *p = mem_alloc(sizeof(Pipeline) + (size_t)threads * sizeof(struct Worker));
    *p = (Pipeline){.mutex = PTHREAD_MUTEX_INITIALIZER,
                    .room = PTHREAD_COND_INITIALIZER,
                    .done = PTHREAD_COND_INITIALIZER,
                    .count = count,
                    .window = window,
                    .is_done = mem_alloc(window * sizeof(bool)),
                    .work = work,
                    .context = context};
    /* Signals are for the main thread, whose waits they must end. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    while (p->threads < threads && !error) {
        struct Worker *worker = &p->workers[p->threads];
        *worker = (struct Worker){.pipeline = p, .number = p->threads};
        error = pthread_create(&worker->thread, NULL, run_worker, worker);
        if (!error)
            p->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (p->threads == 0) { /* one is enough to get the work done */
        errno = error;
        fail_errno("start a worker thread");
        pipeline_stop(p);
        return -1;
    }
    *ret_pipeline = p;
    return 0;
}

size_t
pipeline_wait(Pipeline *p)
{
    pthread_mutex_lock(&p->mutex);
    size_t ready = 0;
    for (;;) {
        while (p->taken + ready < p->begun && p->is_done[(p->taken + ready) % p->window])
            ready++;
        if (ready > 0 || p->taken == p->count)
            break;
        pthread_cond_wait(&p->done, &p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    return ready;
}

void
pipeline_take(Pipeline *p, size_t count)
{
    pthread_mutex_lock(&p->mutex);
    p->taken += count;
    pthread_cond_broadcast(&p->room);
    pthread_mutex_unlock(&p->mutex);
}

size_t
pipeline_stop(Pipeline *p)
{
    pthread_mutex_lock(&p->mutex);
    p->stopping = true;
    pthread_cond_broadcast(&p->room);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 0; i < p->threads; i++)
        pthread_join(p->workers[i].thread, NULL);
    size_t begun = p->begun;
    free(p->is_done);
    free(p);
    return begun;
}

int
pipeline_run(size_t count, int threads, PipelineWork *work, void *context)
{
    Pipeline *pipeline = NULL;
    size_t taken = 0;
    TRY(pipeline_start(count, threads, count, work, context, &pipeline));
    while (taken < count) {
        size_t done = pipeline_wait(pipeline);
        pipeline_take(pipeline, done);
        taken += done;
    }
    pipeline_stop(pipeline);
    return 0;
}
