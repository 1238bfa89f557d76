/* SPDX-License-Identifier: PostgreSQL
 * Checksums, keyed and not, and how they are written: by libcrypto, loaded on use (libcurl brings
 * it along anyway). */
#ifndef WALDEN_CLOUD_DIGEST_H
#define WALDEN_CLOUD_DIGEST_H

#include "base/error.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

enum { SHA256_SIZE = 32, MD5_SIZE = 16, DIGEST_SIZE_MAX = 32 };
enum { SHA256_HEX_ROOM = 2 * SHA256_SIZE + 1, MD5_HEX_ROOM = 2 * MD5_SIZE + 1 };

typedef enum DigestKind { DIGEST_SHA256, DIGEST_MD5 } DigestKind;

/* Loads the library, once. ERR_UNSUPPORTED. */
int digest_load(void);

/* Of bytes in one piece. ret_digest: SHA256_SIZE or MD5_SIZE bytes. ERR_UNSUPPORTED where the
 * machine's policy forbids the algorithm. */
int digest_of(DigestKind kind, const void *data, size_t size, unsigned char *ret_digest);

/* The same in lower-case hexadecimal, with NUL. */
int digest_hex_of(DigestKind kind, const void *data, size_t size, char *ret_hex);

/* Of a stream. digest_end, or digest_end_hex, gives the digest and may be called once. */
typedef struct Digest Digest;
int digest_begin(DigestKind kind, Digest **ret_digest);
int digest_add(Digest *digest, const void *data, size_t size);
int digest_end(Digest *digest, unsigned char *ret_digest);
int digest_end_hex(Digest *digest, char *ret_hex);
void digest_free(Digest *digest);
AUTO_DEFINE(digest, Digest *, digest_free)

/* HMAC with SHA-256; ret_mac: SHA256_SIZE bytes, may be the key itself. */
int hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
                unsigned char *ret_mac);

/* Lower-case hexadecimal: 2 * size characters and NUL. */
void hex_format(const unsigned char *data, size_t size, char *ret_hex);

/* Base64 of RFC 4648 with padding, without line ends; free it. */
char *base64_format(const void *data, size_t size);

/* The bytes of base64, blanks and line ends around it allowed. False if it is none. free
 * *ret_data. */
bool base64_parse(const char *text, unsigned char **ret_data, size_t *ret_size);

#endif
