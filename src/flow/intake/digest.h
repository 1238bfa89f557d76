/* SPDX-License-Identifier: PostgreSQL
 * The checksums of a parcel: how they are computed, and the lists that hold them. */
#ifndef WALDEN_FLOW_INTAKE_DIGEST_H
#define WALDEN_FLOW_INTAKE_DIGEST_H

#include "base/error.h"

#include <nettle/md5.h>
#include <nettle/sha2.h>
#include <stdbool.h>

enum Algorithm { SHA256, MD5, ALGORITHMS };
enum { DIGEST_HEX_ROOM = 2 * SHA256_DIGEST_SIZE + 1 };

/* By Algorithm */
typedef struct DigestKind {
    const char *list; /* name of the file of checksums */
    size_t size;      /* of a digest, in bytes */
} DigestKind;
extern const DigestKind digest_kinds[ALGORITHMS];

#define DIGEST_FUNCTIONS(X)                                                                        \
    X(nettle_md5_digest)                                                                           \
    X(nettle_md5_init)                                                                             \
    X(nettle_md5_update)                                                                           \
    X(nettle_sha256_digest)                                                                        \
    X(nettle_sha256_init)                                                                          \
    X(nettle_sha256_update)
#define DIGEST_FIELD(name) __typeof__(name) *name;

/* One of them or both at once */
typedef struct Digest {
    DIGEST_FUNCTIONS(DIGEST_FIELD)
    bool wanted[ALGORITHMS];
    struct sha256_ctx sha256;
    struct md5_ctx md5;
} Digest;

/* Nothing is wanted yet: set that before the first push. ERR_UNSUPPORTED when the library is
 * missing. */
int digest_begin(Digest *ret_digest);
void digest_push(Digest *digest, const void *data, size_t size);

/* In hex, lower case; "" for what is not wanted */
void digest_finish(Digest *digest, char ret_texts[ALGORITHMS][DIGEST_HEX_ROOM]);

#endif
