/* SPDX-License-Identifier: PostgreSQL
 * SHA-256, and MD5 for the clients of Barman before 3.5. Nettle is loaded, not linked: what does
 * not need it shall not wait for it. */
#include "flow/intake/sums.h"

#include "base/library.h"

const SumKind sum_kinds[ALGORITHMS] = {
    [SHA256] = {"SHA256SUMS", SHA256_DIGEST_SIZE},
    [MD5] = {"MD5SUMS", MD5_DIGEST_SIZE},
};

#define NETTLE_FUNCTIONS(X)                                                                        \
    X(nettle_md5_digest)                                                                           \
    X(nettle_md5_init)                                                                             \
    X(nettle_md5_update)                                                                           \
    X(nettle_sha256_digest)                                                                        \
    X(nettle_sha256_init)                                                                          \
    X(nettle_sha256_update)

static struct {
    NETTLE_FUNCTIONS(LIBRARY_FIELD)
} lib;

static Library library = {LIBRARY("libnettle.so.8", "libnettle8", NETTLE_FUNCTIONS, lib)};

int
sums_begin(Sums *ret_sums)
{
    memset(ret_sums->wanted, 0, sizeof(ret_sums->wanted));
    TRY(library_need(&library));
    lib.nettle_sha256_init(&ret_sums->sha256);
    lib.nettle_md5_init(&ret_sums->md5);
    return 0;
}

void
sums_push(Sums *sums, const void *data, size_t size)
{
    if (sums->wanted[SHA256])
        lib.nettle_sha256_update(&sums->sha256, size, data);
    if (sums->wanted[MD5])
        lib.nettle_md5_update(&sums->md5, size, data);
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
    lib.nettle_sha256_digest(&sums->sha256, SHA256_DIGEST_SIZE, bytes);
    format_hex(bytes, sums->wanted[SHA256] ? SHA256_DIGEST_SIZE : 0, ret_texts[SHA256]);
    lib.nettle_md5_digest(&sums->md5, MD5_DIGEST_SIZE, bytes);
    format_hex(bytes, sums->wanted[MD5] ? MD5_DIGEST_SIZE : 0, ret_texts[MD5]);
}
