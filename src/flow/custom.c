/* SPDX-License-Identifier: PostgreSQL
 * The configuration has checked that the magic is "0x" or "0X" and pairs of hex digits. */
#include "flow/custom.h"

/* A filter that has not finished one file after this hangs: an hour is long for a segment of 1 GB.
 */
enum { FILTER_TIMEOUT_MS = 3600 * 1000, KEY_TIMEOUT_MS = 60 * 1000 };

static void
free_keyring(void *keyring)
{
    keyring_free(keyring);
}

static Keyring *
keyring_for(const ServerConfig *server, int64_t timeout_ms)
{
    return keyring_new(
        &(KeyringSettings){.key_id = server->encryption_key_id,
                           .passphrase_command = server->encryption_passphrase_command,
                           .key_file = server->encryption_key_file,
                           .key_command = server->encryption_key_command,
                           .path_prefix = server->path_prefix,
                           .timeout_ms = timeout_ms});
}

void
custom_codec_init(const ServerConfig *server, Arena *arena, CustomCodec *ret_custom)
{
    *ret_custom = (CustomCodec){.compress = server->custom_compression_filter,
                                .decompress = server->custom_decompression_filter,
                                .path_prefix = server->path_prefix};
    ret_custom->timeout_ms =
        server->hook_timeout > 0 ? server->hook_timeout * 1000 : FILTER_TIMEOUT_MS;
    ret_custom->keyring = keyring_for(server, server->hook_timeout > 0 ? server->hook_timeout * 1000
                                                                       : KEY_TIMEOUT_MS);
    arena_on_free(arena, free_keyring, ret_custom->keyring);
    const char *text = server->custom_compression_magic;
    ret_custom->presumed =
        !text && server->compression && strcmp(server->compression, "custom") == 0;
    if (!text)
        return;
    size_t size = strlen(text + 2) / 2;
    uint8_t *magic = arena_alloc(arena, size);
    for (size_t i = 0; i < size; i++) {
        char pair[3] = {text[2 + 2 * i], text[3 + 2 * i], '\0'};
        magic[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    ret_custom->magic = size ? magic : NULL;
    ret_custom->magic_size = size;
}

int
codec_configured(const ServerConfig *server, const CodecClass **ret_codec, int *ret_level)
{
    *ret_codec = NULL;
    if (!server->compression)
        return 0;
    const CodecClass *codec = codec_find(server->compression);
    if (!codec || !codec_level(codec, server->compression_level, ret_level))
        return fail(ERR_CONFIG,
                    "compression '%s' with compression_level '%s' of server '%s' is not "
                    "known",
                    server->compression, server->compression_level, server->name);
    if (strcmp(codec->name, "custom") == 0 &&
        (!server->custom_compression_filter || !server->custom_decompression_filter))
        return fail(ERR_CONFIG,
                    "compression = custom of server '%s' needs both "
                    "custom_compression_filter and custom_decompression_filter",
                    server->name);
    *ret_codec = codec;
    return 0;
}

int
cipher_configured(const ServerConfig *server, const CipherClass **ret_cipher)
{
    *ret_cipher = NULL;
    if (!server->encryption)
        return 0;
    const CipherClass *cipher = cipher_find(server->encryption);
    if (!cipher)
        return hint(fail(ERR_CONFIG, "encryption '%s' of server '%s' is not known",
                         server->encryption, server->name),
                    "it is none, gpg or aead");
    if (strcmp(cipher->name, "gpg") == 0 && !server->encryption_key_id)
        return fail(ERR_CONFIG, "encryption = gpg of server '%s' needs encryption_key_id",
                    server->name);
    if (strcmp(cipher->name, "aead") == 0 && !server->encryption_key_file &&
        !server->encryption_key_command)
        return fail(ERR_CONFIG,
                    "encryption = aead of server '%s' needs encryption_key_file or "
                    "encryption_key_command",
                    server->name);
    *ret_cipher = cipher;
    return 0;
}

static int
drop(void *context, const void *data, size_t size)
{
    (void)context, (void)data, (void)size;
    return 0;
}

int
cipher_try(const ServerConfig *server, int64_t timeout_ms)
{
    const CipherClass *cipher = NULL;
    TRY(cipher_configured(server, &cipher));
    if (!cipher)
        return 0;
    AUTO(keyring) Keyring *keyring = keyring_for(server, timeout_ms);
    AUTO(coder) Coder *coder = NULL;
    TRY(encryptor_new(cipher, keyring, "00000001.history", &coder));
    TRY(coder_begin(coder, 0, drop, NULL));
    return coder_finish(coder);
}
