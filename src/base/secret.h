/* SPDX-License-Identifier: PostgreSQL
 * Bytes that nobody else shall see: kept out of swap where that is allowed, out of core files, and
 * overwritten before they are given back. */
#ifndef WALDEN_BASE_SECRET_H
#define WALDEN_BASE_SECRET_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { SECRET_ROOM = 32 << 10 };

typedef struct Secret {
    uint8_t *data; /* SECRET_ROOM bytes; NULL while there is none */
    size_t length;
} Secret;

/* Empty. */
int secret_new(Secret *ret_secret);

/* The whole of a file, less than SECRET_ROOM bytes. `what` is for messages: an option's name. A
 * file that everybody may read is warned of. */
int secret_read(const char *path, const char *what, Secret *ret_secret);

/* What a shell line of the site's prints. Neither the line nor anything that it prints is repeated
 * in messages. ERR_HOOK when it fails or prints nothing, ERR_TIMEOUT. path_prefix may be NULL. */
int secret_ask(const char *line, const char *what, const char *path_prefix, int64_t timeout_ms,
               Secret *ret_secret);

void secret_done(Secret *secret);

#endif
