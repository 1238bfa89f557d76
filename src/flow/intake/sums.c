/* SPDX-License-Identifier: PostgreSQL
 * SHA-256, and MD5 for the clients of Barman before 3.5. Nettle is loaded, not linked: what does
 * not need it shall not wait for it. */
#include "flow/intake/sums.h"

#include "base/library.h"

const SumKind sum_kinds[ALGORITHMS] = {
    [SHA256] = {"SHA256SUMS", SHA256_DIGEST_SIZE},
    [MD5] = {"MD5SUMS", MD5_DIGEST_SIZE},
};

int
sums_begin(Sums *ret_sums)
{
#define SYMBOL(function) {#function, &ret_sums->function},
    const LibrarySymbol symbols[] = {SUMS_FUNCTIONS(SYMBOL)};
    memset(ret_sums->wanted, 0, sizeof(ret_sums->wanted));
    TRY(library_load("libnettle.so.8", "libnettle8", symbols, COUNT_OF(symbols)));
    ret_sums->nettle_sha256_init(&ret_sums->sha256);
    ret_sums->nettle_md5_init(&ret_sums->md5);
    return 0;
}

void
sums_push(Sums *sums, const void *data, size_t size)
{
    if (sums->wanted[SHA256])
        sums->nettle_sha256_update(&sums->sha256, size, data);
    if (sums->wanted[MD5])
        sums->nettle_md5_update(&sums->md5, size, data);
}

static void
format_hex(const uint8_t *bytes, size_t size, char *ret_text)
{
    ret_text[0] = '\0';
    for (size_t i = 0; i < size; i++)
        snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}

void
sums_finish(Sums *sums, char ret_texts[ALGORITHMS][SUM_HEX_ROOM])
{
    uint8_t bytes[SHA256_DIGEST_SIZE];
    sums->nettle_sha256_digest(&sums->sha256, SHA256_DIGEST_SIZE, bytes);
    format_hex(bytes, sums->wanted[SHA256] ? SHA256_DIGEST_SIZE : 0, ret_texts[SHA256]);
    sums->nettle_md5_digest(&sums->md5, MD5_DIGEST_SIZE, bytes);
    format_hex(bytes, sums->wanted[MD5] ? MD5_DIGEST_SIZE : 0, ret_texts[MD5]);
}
