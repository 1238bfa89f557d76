/* SPDX-License-Identifier: PostgreSQL
 * What the ciphers share among themselves; callers include cipher.h. */
#ifndef WALDEN_FLOW_RECODE_KEYRING_H
#define WALDEN_FLOW_RECODE_KEYRING_H

#include "base/secret.h"
#include "flow/recode/cipher.h"

extern const CipherClass cipher_gpg, cipher_aead;

const KeyringSettings *keyring_settings(const Keyring *keyring);

/* Does this once for all threads before it returns. Who had to wait for a try that failed gets its
 * failure, so that many do not wait one after the other; the next one tries again. */
int keyring_prepare(Keyring *keyring, int (*prepare)(Keyring *keyring));

/* What encryption_passphrase_command has printed. ERR_CONFIG when there is no such command. */
int keyring_passphrase(Keyring *keyring, const Secret **ret_secret);

/* What is in encryption_key_file, or what encryption_key_command has printed, made into a table of
 * keys by `parse`: at the first call. */
int keyring_keys(Keyring *keyring, int (*parse)(const Secret *from, Secret *table),
                 const Secret **ret_table);

#endif
