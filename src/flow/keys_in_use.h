/* SPDX-License-Identifier: PostgreSQL
 * Which keys open the files of an archive: what a site must know before it gives one away. */
#ifndef WALDEN_FLOW_KEYS_IN_USE_H
#define WALDEN_FLOW_KEYS_IN_USE_H

#include "flow/custom.h"

#include <time.h>

typedef struct KeyUse {
    const char *cipher;      /* NULL: not encrypted */
    char key[KEY_TEXT_ROOM]; /* "" when it is not encrypted */
    bool newest;             /* new files are encrypted with it */
    size_t files;
    int64_t bytes; /* as they are stored */
    struct {
        const char *name; /* the arena's */
        time_t time;      /* modification time of the WAL */
    } oldest_file, newest_file;
} KeyUse;

typedef struct KeysInUse {
    KeyUse *uses; /* by cipher and key; what is not encrypted comes last */
    size_t count;
    Arena *arena;
} KeysInUse;

/* Reads the first bytes of every archived file. The key that new files are encrypted with is among
 * the uses, also without any file. */
int keys_in_use(const ServerConfig *server, KeysInUse *ret_keys);
void keys_in_use_done(KeysInUse *keys);

static inline void
auto_keys_in_use(KeysInUse *keys)
{
    keys_in_use_done(keys);
}

#endif
