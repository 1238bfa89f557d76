/* SPDX-License-Identifier: PostgreSQL
 * Encryption of what rests in the archive: after it was compressed, before it is stored. A cipher
 * makes Coders, as a codec does, each for one file; keys come from a Keyring.
 *
 * A file says by its first bytes which cipher it is of, and which key opens it. */
#ifndef WALDEN_FLOW_RECODE_CIPHER_H
#define WALDEN_FLOW_RECODE_CIPHER_H

#include "flow/recode/codec.h"

typedef struct Keyring Keyring;

enum { CIPHER_HEAD = 64, KEY_TEXT_ROOM = 40 };

typedef struct CipherClass {
    const char *name; /* what the configuration and xlog.db say */

    /* Decrypting takes another key than encrypting, which the archive's host need not have. */
    bool secret_apart;

    /* Is it of this cipher, by its first bytes (CIPHER_HEAD of them, or all there are)? */
    bool (*recognise)(const void *head, size_t size);

    /* Which key opens a file that begins so, for people. Room for KEY_TEXT_ROOM bytes. */
    void (*key_text)(const void *head, size_t size, char *ret_text);

    /* Coders for one file. The keyring must outlive them. */
    int (*encryptor_new)(Keyring *keyring, const char *name, Coder **ret_coder);
    int (*decryptor_new)(Keyring *keyring, const char *name, Coder **ret_coder);

    /* Does the configuration say how to decrypt? */
    bool (*can_decrypt)(const Keyring *keyring);

    /* Which key new files are encrypted with, as key_text says it; "" when that is not known. */
    int (*newest_key)(Keyring *keyring, char *ret_text);
} CipherClass;

/* The class of that name, or NULL. */
const CipherClass *cipher_find(const char *name);

/* Which cipher wrote a file that begins so; NULL: none of them. */
const CipherClass *cipher_recognise(const void *head, size_t size);

/* What the site has configured. Texts must outlive the keyring; NULL: not set. */
typedef struct KeyringSettings {
    const char *key_id;             /* gpg: whom to encrypt to */
    const char *passphrase_command; /* gpg: prints what unlocks the secret key */
    const char *key_file;           /* aead: the keys; or: */
    const char *key_command;        /* aead: prints them */
    const char *path_prefix;
    int64_t timeout_ms; /* after which a command that still runs is ended, and gpg that does nothing
                           given up */
} KeyringSettings;

/* The keys of one server. Nothing is read or asked for before it is needed, and once only. For any
 * number of threads. */
Keyring *keyring_new(const KeyringSettings *settings);
void keyring_free(Keyring *keyring);
AUTO_DEFINE(keyring, Keyring *, keyring_free)

/* Coders for one file of this name: what is encrypted for one name is not taken for another's
 * (aead). The coder takes one stream. When the key is not at hand: ERR_CONFIG; when a library or
 * program is missing: ERR_UNSUPPORTED; a file that was changed or cut off: ERR_DATA, at the latest
 * with the end. */
int encryptor_new(const CipherClass *class, Keyring *keyring, const char *name, Coder **ret_coder);
int decryptor_new(const CipherClass *class, Keyring *keyring, const char *name, Coder **ret_coder);

/* A file that is being decrypted by a thread of its own, from its current offset on. *ret_fd is the
 * end of a pipe to read from. Neither fd nor keyring is owned; both must outlive it. */
typedef struct Decryption Decryption;
int decryption_start(const CipherClass *class, Keyring *keyring, const char *name, int fd,
                     Decryption **ret_decryption, int *ret_fd);

/* The first bytes of what is read from *ret_fd, which stay there: up to DECRYPTION_HEAD; fewer only
 * when that is all. For before anything is read. */
enum { DECRYPTION_HEAD = 4096 };
int decryption_peek(const Decryption *decryption, void *buffer, size_t *ret_got);

/* Ends it and answers what came of it. result is what reading came to: when that has failed because
 * decrypting had, the first cause is answered. Frees it and closes *ret_fd. */
int decryption_end(Decryption *decryption, int result);

#endif
