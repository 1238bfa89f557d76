/* SPDX-License-Identifier: PostgreSQL
 * How fast the ciphers are: cipher aead | cipher gpg KEY. Encrypts and decrypts segments of 16 MB
 * in memory and prints megabytes for each second of one core, and for gpg, whose program is another
 * process, of the clock. Never part of an installation. */
#include "flow/recode/cipher.h"
#include "base/str.h"

#include <time.h>

enum { SEGMENT = 16 << 20, PIECE = 256 << 10, ROUNDS = 32 };

static int
run(Coder *coder, const Str *input, Str *output)
{
    str_clear(output);
    TRY(coder_begin(coder, -1, str_sink, output));
    for (size_t at = 0; at < input->length; at += PIECE)
        TRY(coder_push(coder, input->data + at,
                       input->length - at < PIECE ? input->length - at : PIECE));
    return coder_finish(coder);
}

static double
seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int
measure(const CipherClass *cipher, Keyring *keyring, bool encrypts, const Str *input, Str *output)
{
    double cpu = 0, wall = 0;
    for (int i = 0; i < ROUNDS; i++) {
        AUTO(coder) Coder *coder = NULL;
        double cpu_begin = seconds(CLOCK_PROCESS_CPUTIME_ID), begin = seconds(CLOCK_MONOTONIC);
        TRY((encrypts ? encryptor_new : decryptor_new)(cipher, keyring, "000000010000000000000001",
                                                       &coder));
        TRY(run(coder, input, output));
        cpu += seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin;
        wall += seconds(CLOCK_MONOTONIC) - begin;
    }
    double megabytes = (double)ROUNDS * SEGMENT / 1e6;
    printf("%s %s: %.0f MB/s of a core, %.0f MB/s by the clock\n", cipher->name,
           encrypts ? "encrypt" : "decrypt", megabytes / cpu, megabytes / wall);
    return 0;
}

static int
measure_both(const CipherClass *cipher, const char *key_id)
{
    AUTO(str) Str plain = {0}, packed = {0}, back = {0};
    AUTO(keyring)
    Keyring *keyring = keyring_new(&(KeyringSettings){
        .key_id = key_id, .key_command = "openssl rand -hex 32", .timeout_ms = 60000});
    AUTO(free) char *zeros = mem_alloc(SEGMENT);
    str_append_part(&plain, zeros, SEGMENT);
    TRY(measure(cipher, keyring, true, &plain, &packed));
    return measure(cipher, keyring, false, &packed, &back);
}

int
main(int argc, char **argv)
{
    const CipherClass *cipher = argc > 1 ? cipher_find(argv[1]) : NULL;
    if (!cipher || measure_both(cipher, argc > 2 ? argv[2] : NULL) < 0) {
        fprintf(stderr, "cipher: %s\n", cipher ? error_last()->text : "aead, or gpg KEY");
        return 1;
    }
    return 0;
}
