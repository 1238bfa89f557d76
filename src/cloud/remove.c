/* SPDX-License-Identifier: PostgreSQL
 * One object after the other. When the store cannot be spoken to, the rest is not tried: each would
 * wait for the same. */
#include "cloud/remove.h"

int
remove_each(void *store, ObjectRemoval *batch, size_t count, int64_t deadline,
            RemoveOne *remove_one)
{
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        if (result >= 0)
            result = remove_one(store, batch[i].key, deadline);
        if (result < 0 && i == 0)
            return result;
        if (result != 0)
            batch[i].error = mem_dup(error_last()->text);
    }
    return 0;
}
