/* SPDX-License-Identifier: PostgreSQL
 * The checksums of a parcel: how they are computed, and the lists that hold them. */
#ifndef WALDEN_FLOW_INTAKE_SUMS_H
#define WALDEN_FLOW_INTAKE_SUMS_H

#include "base/error.h"

#include <nettle/md5.h>
#include <nettle/sha2.h>
#include <stdbool.h>

enum Algorithm { SHA256, MD5, ALGORITHMS };
enum { SUM_HEX_ROOM = 2 * SHA256_DIGEST_SIZE + 1 };

/* By Algorithm */
typedef struct SumKind {
    const char *list; /* name of the file of checksums */
    size_t size;      /* of a digest, in bytes */
} SumKind;
extern const SumKind sum_kinds[ALGORITHMS];

/* One of them or both at once */
typedef struct Sums {
    bool wanted[ALGORITHMS];
    struct sha256_ctx sha256;
    struct md5_ctx md5;
} Sums;

/* Nothing is wanted yet: set that before the first push. ERR_UNSUPPORTED when the library is
 * missing. */
int sums_begin(Sums *ret_sums);
void sums_push(Sums *sums, const void *data, size_t size);

/* In hex, lower case; "" for what is not wanted */
void sums_finish(Sums *sums, char ret_texts[ALGORITHMS][SUM_HEX_ROOM]);

#endif
