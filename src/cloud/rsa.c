/* SPDX-License-Identifier: PostgreSQL
 * Signing by libcrypto, whose functions are found at run time. What it says of a key that it cannot
 * read is not told to anybody. */
#include "cloud/rsa.h"

#include "base/error.h"
#include "base/library.h"
#include "base/mem.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#define CRYPTO_FUNCTIONS(X)                                                                        \
    X(BIO_free)                                                                                    \
    X(BIO_new_mem_buf)                                                                             \
    X(ERR_clear_error)                                                                             \
    X(EVP_DigestSign)                                                                              \
    X(EVP_DigestSignInit)                                                                          \
    X(EVP_MD_CTX_free)                                                                             \
    X(EVP_MD_CTX_new)                                                                              \
    X(EVP_PKEY_free)                                                                               \
    X(EVP_PKEY_get_base_id)                                                                        \
    X(EVP_sha256)                                                                                  \
    X(PEM_read_bio_PrivateKey)

static struct Crypto {
    CRYPTO_FUNCTIONS(LIBRARY_FIELD)
} crypto;

static Library library = {LIBRARY("libcrypto.so.3", "libssl3", CRYPTO_FUNCTIONS, crypto)};

/* A key with a password would be asked for at the terminal. */
static int
no_password(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}

static EVP_PKEY *
read_key(const char *text)
{
    BIO *bio = crypto.BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = bio ? crypto.PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    crypto.BIO_free(bio);
    if (key && crypto.EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        crypto.EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static int
sign(EVP_PKEY *key, const void *data, size_t size, unsigned char **ret_signature, size_t *ret_size)
{
    size_t length = 0;
    AUTO(free) unsigned char *signature = NULL;
    EVP_MD_CTX *context = crypto.EVP_MD_CTX_new();
    int good = context &&
               crypto.EVP_DigestSignInit(context, NULL, crypto.EVP_sha256(), NULL, key) == 1 &&
               crypto.EVP_DigestSign(context, NULL, &length, data, size) == 1;
    if (good) {
        signature = mem_alloc(length);
        good = crypto.EVP_DigestSign(context, signature, &length, data, size) == 1;
    }
    crypto.EVP_MD_CTX_free(context);
    if (!good)
        return fail(ERR_UNSUPPORTED, "libcrypto refuses to sign with the private key");
    *ret_signature = take(signature);
    *ret_size = length;
    return 0;
}

int
rsa_sha256_sign(const char *key, const void *data, size_t size, unsigned char **ret_signature,
                size_t *ret_size)
{
    TRY(library_need(&library));
    EVP_PKEY *parsed = read_key(key);
    int result = parsed ? sign(parsed, data, size, ret_signature, ret_size)
                        : fail(ERR_CONFIG, "the private key is no RSA key in PEM");
    crypto.EVP_PKEY_free(parsed);
    crypto.ERR_clear_error(); /* the queue is the thread's, and libcurl's, too */
    return result;
}
