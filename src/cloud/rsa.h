/* SPDX-License-Identifier: PostgreSQL
 * Signatures with a private key. */
#ifndef WALDEN_CLOUD_RSA_H
#define WALDEN_CLOUD_RSA_H

#include <stddef.h>

/* RSASSA-PKCS1-v1_5 with SHA-256 (RS256) by the key, which is in PEM. free *ret_signature.
 * ERR_CONFIG when the key is none; ERR_UNSUPPORTED. */
int rsa_sha256_sign(const char *key, const void *data, size_t size, unsigned char **ret_signature,
                    size_t *ret_size);

#endif
