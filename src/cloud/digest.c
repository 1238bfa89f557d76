/* SPDX-License-Identifier: PostgreSQL
 * Checksums by libcrypto, whose functions are found at run time. */
#include "cloud/digest.h"

#include "base/library.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define CRYPTO_FUNCTIONS(X)                                                                        \
    X(EVP_Digest)                                                                                  \
    X(EVP_DigestFinal_ex)                                                                          \
    X(EVP_DigestInit_ex)                                                                           \
    X(EVP_DigestUpdate)                                                                            \
    X(EVP_MD_CTX_free)                                                                             \
    X(EVP_MD_CTX_new)                                                                              \
    X(EVP_md5)                                                                                     \
    X(EVP_sha256)                                                                                  \
    X(HMAC)

static struct Crypto {
    CRYPTO_FUNCTIONS(LIBRARY_FIELD)
} crypto;

struct Digest {
    DigestKind kind;
    EVP_MD_CTX *context;
};

static Library library = {LIBRARY("libcrypto.so.3", "libssl3", CRYPTO_FUNCTIONS, crypto)};

int
digest_load(void)
{
    return library_need(&library);
}

static const EVP_MD *
algorithm(DigestKind kind)
{
    return kind == DIGEST_SHA256 ? crypto.EVP_sha256() : crypto.EVP_md5();
}

static size_t
size_of(DigestKind kind)
{
    return kind == DIGEST_SHA256 ? SHA256_SIZE : MD5_SIZE;
}

static int
refused(DigestKind kind)
{
    return fail(ERR_UNSUPPORTED, "libcrypto refuses %s", kind == DIGEST_SHA256 ? "SHA-256" : "MD5");
}

int
digest_of(DigestKind kind, const void *data, size_t size, unsigned char *ret_digest)
{
    TRY(digest_load());
    unsigned length = 0;
    return crypto.EVP_Digest(data ? data : "", size, ret_digest, &length, algorithm(kind), NULL)
               ? 0
               : refused(kind);
}

int
digest_hex_of(DigestKind kind, const void *data, size_t size, char *ret_hex)
{
    unsigned char digest[DIGEST_SIZE_MAX];
    TRY(digest_of(kind, data, size, digest));
    hex_format(digest, size_of(kind), ret_hex);
    return 0;
}

int
digest_begin(DigestKind kind, Digest **ret_digest)
{
    TRY(digest_load());
    AUTO(digest) Digest *digest = mem_alloc(sizeof(*digest));
    digest->kind = kind;
    digest->context = crypto.EVP_MD_CTX_new();
    if (!digest->context || !crypto.EVP_DigestInit_ex(digest->context, algorithm(kind), NULL))
        return refused(kind);
    *ret_digest = take(digest);
    return 0;
}

int
digest_add(Digest *digest, const void *data, size_t size)
{
    return crypto.EVP_DigestUpdate(digest->context, data, size)
               ? 0
               : fail(ERR_UNSUPPORTED, "libcrypto cannot compute a checksum");
}

int
digest_end(Digest *digest, unsigned char *ret_digest)
{
    return crypto.EVP_DigestFinal_ex(digest->context, ret_digest, NULL)
               ? 0
               : fail(ERR_UNSUPPORTED, "libcrypto cannot compute a checksum");
}

int
digest_end_hex(Digest *digest, char *ret_hex)
{
    unsigned char bytes[DIGEST_SIZE_MAX];
    TRY(digest_end(digest, bytes));
    hex_format(bytes, size_of(digest->kind), ret_hex);
    return 0;
}

void
digest_free(Digest *digest)
{
    if (!digest)
        return;
    crypto.EVP_MD_CTX_free(digest->context);
    free(digest);
}

int
hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, unsigned char *ret_mac)
{
    TRY(digest_load());
    unsigned char mac[SHA256_SIZE];
    unsigned length = 0;
    if (!crypto.HMAC(crypto.EVP_sha256(), key, (int)key_size, data, size, mac, &length))
        return refused(DIGEST_SHA256);
    memcpy(ret_mac, mac, sizeof(mac));
    return 0;
}

void
hex_format(const unsigned char *data, size_t size, char *ret_hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        ret_hex[2 * i] = digits[data[i] >> 4];
        ret_hex[2 * i + 1] = digits[data[i] & 15];
    }
    ret_hex[2 * size] = '\0';
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *
base64_format(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    char *text = mem_alloc((size + 2) / 3 * 4 + 1), *end = text;
    for (size_t i = 0; i < size; i += 3) {
        size_t count = size - i < 3 ? size - i : 3;
        unsigned group = (unsigned)bytes[i] << 16;
        group |= count > 1 ? (unsigned)bytes[i + 1] << 8 : 0;
        group |= count > 2 ? bytes[i + 2] : 0;
        for (size_t j = 0; j <= count; j++)
            *end++ = alphabet[group >> (18 - 6 * j) & 63];
        for (size_t j = count; j < 3; j++)
            *end++ = '=';
    }
    return text;
}

bool
base64_parse(const char *text, unsigned char **ret_data, size_t *ret_size)
{
    text += strspn(text, " \t\r\n");
    size_t length = strspn(text, alphabet);
    size_t padding = strspn(text + length, "=");
    const char *rest = text + length + padding;
    if (rest[strspn(rest, " \t\r\n")] || padding > 2 || (length + padding) % 4)
        return false;
    size_t size = length * 3 / 4;
    unsigned char *data = mem_alloc(size + 1);
    for (size_t i = 0, bits = 0, group = 0, at = 0; i < length; i++) {
        group = (group << 6 | (size_t)(strchr(alphabet, text[i]) - alphabet)) & 0xFFFF;
        bits += 6;
        if (bits >= 8 && at < size) {
            bits -= 8;
            data[at++] = (unsigned char)(group >> bits);
        }
    }
    *ret_data = data;
    *ret_size = size;
    return true;
}
