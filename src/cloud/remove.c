/* SPDX-License-Identifier: PostgreSQL
 * Several requests at a time, as each takes a round trip and hardly anything else. When the store
 * cannot be spoken to, the rest is not tried: each would wait for the same. */
#include "cloud/remove.h"

#include "base/pipeline.h"

#include <pthread.h>

enum { AT_A_TIME = 8 };

typedef struct Removal {
    void *store;
    ObjectRemoval *batch;
    int64_t deadline;
    RemoveOne *remove_one;
    pthread_mutex_t mutex;
    char *lost; /* why the store cannot be spoken to, or NULL */
} Removal;

static void
remove_item(void *context, size_t item, int worker)
{
    (void)worker;
    Removal *removal = context;
    ObjectRemoval *one = &removal->batch[item];
    pthread_mutex_lock(&removal->mutex);
    one->error = mem_dup(removal->lost);
    pthread_mutex_unlock(&removal->mutex);
    if (one->error)
        return;
    int result = removal->remove_one(removal->store, one->key, removal->deadline);
    if (result != 0)
        one->error = mem_dup(error_last()->text);
    pthread_mutex_lock(&removal->mutex);
    if (result < 0 && !removal->lost)
        removal->lost = mem_dup(one->error);
    pthread_mutex_unlock(&removal->mutex);
}

int
remove_each(void *store, ObjectRemoval *batch, size_t count, int64_t deadline,
            RemoveOne *remove_one)
{
    Removal rest = {store, batch + 1, deadline, remove_one, PTHREAD_MUTEX_INITIALIZER, NULL};
    /* Alone: if nothing can be said of the first one, nothing is tried with the others. */
    int result = count > 0 ? remove_one(store, batch->key, deadline) : 0;
    if (result < 0)
        return result;
    if (result > 0)
        batch->error = mem_dup(error_last()->text);
    if (count < 2)
        return 0;
    int threads = count - 1 < AT_A_TIME ? (int)(count - 1) : AT_A_TIME;
    result = pipeline_run(count - 1, threads, remove_item, &rest);
    for (size_t i = 1; result < 0 && i < count; i++) /* no thread was to be had */
        batch[i].error = mem_dup(error_last()->text);
    free(rest.lost);
    return 0;
}
