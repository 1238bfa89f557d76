/* SPDX-License-Identifier: PostgreSQL
 * The values of wal_retention: how much WAL is kept. */
#ifndef WALDEN_CONFIG_RETENTION_H
#define WALDEN_CONFIG_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

typedef enum RetentionKind { RETAIN_SECONDS, RETAIN_BYTES, RETAIN_BACKUPS } RetentionKind;

typedef struct Retention {
    RetentionKind kind;
    int64_t amount; /* at least 1 */
} Retention;

/* "7 d", "500 GiB", "3 backups"; false for anything else, and for 0 of anything. */
bool retention_parse(const char *text, Retention *ret_retention);

#endif
