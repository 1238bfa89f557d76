/* SPDX-License-Identifier: PostgreSQL
 * SHA-256, and MD5 for the clients of Barman before 3.5. Nettle is loaded, not linked: what does
 * not need it shall not wait for it. */
#include "flow/intake/digest.h"

#include "base/library.h"

const DigestKind digest_kinds[ALGORITHMS] = {
    [SHA256] = {"SHA256SUMS", SHA256_DIGEST_SIZE},
    [MD5] = {"MD5SUMS", MD5_DIGEST_SIZE},
};

int
digest_begin(Digest *ret_digest)
{
#define SYMBOL(function) {#function, &ret_digest->function},
    const LibrarySymbol symbols[] = {DIGEST_FUNCTIONS(SYMBOL)};
    memset(ret_digest->wanted, 0, sizeof(ret_digest->wanted));
    TRY(library_load("libnettle.so.8", "libnettle8", symbols, COUNT_OF(symbols)));
    ret_digest->nettle_sha256_init(&ret_digest->sha256);
    ret_digest->nettle_md5_init(&ret_digest->md5);
    return 0;
}

void
digest_push(Digest *digest, const void *data, size_t size)
{
    if (digest->wanted[SHA256])
        digest->nettle_sha256_update(&digest->sha256, size, data);
    if (digest->wanted[MD5])
        digest->nettle_md5_update(&digest->md5, size, data);
}

static void
format_hex(const uint8_t *bytes, size_t size, char *ret_text)
{
    ret_text[0] = '\0';
    for (size_t i = 0; i < size; i++)
        snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}

void
digest_finish(Digest *digest, char ret_texts[ALGORITHMS][DIGEST_HEX_ROOM])
{
    uint8_t bytes[SHA256_DIGEST_SIZE];
    digest->nettle_sha256_digest(&digest->sha256, SHA256_DIGEST_SIZE, bytes);
    format_hex(bytes, digest->wanted[SHA256] ? SHA256_DIGEST_SIZE : 0, ret_texts[SHA256]);
    digest->nettle_md5_digest(&digest->md5, MD5_DIGEST_SIZE, bytes);
    format_hex(bytes, digest->wanted[MD5] ? MD5_DIGEST_SIZE : 0, ret_texts[MD5]);
}
