/* SPDX-License-Identifier: PostgreSQL
 * The configuration has checked that the magic is "0x" or "0X" and pairs of hex digits. */
#include "flow/custom.h"

/* A filter that has not finished one file after this hangs: an hour is long for a segment of 1 GB.
 */
enum { FILTER_TIMEOUT_MS = 3600 * 1000 };

void
custom_codec_init(const ServerConfig *server, Arena *arena, CustomCodec *ret_custom)
{
    *ret_custom = (CustomCodec){.compress = server->custom_compression_filter,
                                .decompress = server->custom_decompression_filter,
                                .path_prefix = server->path_prefix};
    ret_custom->timeout_ms =
        server->hook_timeout > 0 ? server->hook_timeout * 1000 : FILTER_TIMEOUT_MS;
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
