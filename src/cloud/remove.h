/* SPDX-License-Identifier: PostgreSQL
 * Removal of a batch where the store has no request for it, or none that is worth its trouble. */
#ifndef WALDEN_CLOUD_REMOVE_H
#define WALDEN_CLOUD_REMOVE_H

#include "cloud/bucket.h"

/* Removes one object; one that is not there is removed. REMOVE_REFUSED: the failure on record is
 * that of this object; <0: others would meet it, too. */
enum { REMOVE_REFUSED = 1 };
typedef int RemoveOne(void *store, const char *key, int64_t deadline);

/* As Provider.remove, in a request for each, several at a time: remove_one is called by threads. */
int remove_each(void *store, ObjectRemoval *batch, size_t count, int64_t deadline,
                RemoveOne *remove_one);

#endif
