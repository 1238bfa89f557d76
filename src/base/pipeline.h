/* SPDX-License-Identifier: PostgreSQL
 * Items 0 .. count-1 are worked on by several threads and taken by one consumer in order, with a
 * bounded distance between the two. */
#ifndef WALDEN_BASE_PIPELINE_H
#define WALDEN_BASE_PIPELINE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Called on a worker thread; worker is 0 .. threads-1, so that each may keep tools of its own. */
typedef void PipelineWork(void *context, size_t item, int worker);

typedef struct Pipeline Pipeline;

/* At most `window` items are begun and not yet taken. work and context must outlive the pipeline.
 */
int pipeline_start(size_t count, int threads, size_t window, PipelineWork *work, void *context,
                   Pipeline **ret_pipeline);

/* Blocks until at least one item that was not taken is done, and answers how many are in a row. 0
 * only when all were taken. */
size_t pipeline_wait(Pipeline *pipeline);

/* The consumer is finished with the next `count` items: the workers may go on by as many. */
void pipeline_take(Pipeline *pipeline, size_t count);

/* For who has no use for the order: all items are worked on, and it returns when all are done. */
int pipeline_run(size_t count, int threads, PipelineWork *work, void *context);

/* No further item is begun; waits for those that are under way, answers how many items from the
 * front were ever begun (they may need undoing), and frees everything. */
size_t pipeline_stop(Pipeline *pipeline);

#endif
