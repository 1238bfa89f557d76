/* SPDX-License-Identifier: PostgreSQL
 * What the configuration says of a server's custom codec, in the codec's terms. */
#ifndef WALDEN_FLOW_CUSTOM_H
#define WALDEN_FLOW_CUSTOM_H

#include "config/config.h"
#include "flow/recode/codec.h"

/* Texts stay the server's, the magic is the arena's. */
void custom_codec_init(const ServerConfig *server, Arena *arena, CustomCodec *ret_custom);

#endif
