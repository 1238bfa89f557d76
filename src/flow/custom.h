/* SPDX-License-Identifier: PostgreSQL
 * What the configuration says of a server's codec, in the codec's terms. */
#ifndef WALDEN_FLOW_CUSTOM_H
#define WALDEN_FLOW_CUSTOM_H

#include "config/config.h"
#include "flow/recode/cipher.h"

/* Texts stay the server's; the magic and the keyring are the arena's. */
void custom_codec_init(const ServerConfig *server, Arena *arena, CustomCodec *ret_custom);

/* What the server's files are compressed with; NULL: nothing. ERR_CONFIG when that cannot work. */
int codec_configured(const ServerConfig *server, const CodecClass **ret_codec, int *ret_level);

/* Would a file be encrypted now? Encrypts nothing, to nowhere. */
int cipher_try(const ServerConfig *server, int64_t timeout_ms);

/* What the server's files are encrypted with; NULL: nothing. ERR_CONFIG when that cannot work. */
int cipher_configured(const ServerConfig *server, const CipherClass **ret_cipher);

#endif
