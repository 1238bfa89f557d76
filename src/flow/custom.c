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
