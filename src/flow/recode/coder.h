/* SPDX-License-Identifier: PostgreSQL
 * What the classes of coders share among themselves; callers include codec.h. */
#ifndef WALDEN_FLOW_RECODE_CODER_H
#define WALDEN_FLOW_RECODE_CODER_H

#include "flow/recode/codec.h"

extern const CodecClass codec_bzip2, codec_custom, codec_gzip, codec_lz4, codec_none, codec_pigz,
    codec_pybzip2, codec_pygzip, codec_snappy, codec_xz, codec_zstd;

/* What coder_push hands to a class at a time: 1 .. PUSH_MAX bytes. */
#define PUSH_MAX KIB(256)

/* pigz writes what gzip reads. */
extern const uint8_t gzip_magic[3];
int gzip_decompressor_new(Coder **ret_coder);

/* Hands output to the sink, if there is any. */
static inline int
coder_emit(Coder *coder, const void *data, size_t size)
{
    return size > 0 ? coder->sink(coder->sink_context, data, size) : 0;
}

/* Failures, all -1. The reason is the library's or our own text, or NULL. */
int coder_fail_early_end(const Coder *coder);
int coder_fail_damaged(const Coder *coder, const char *reason);
int
coder_fail_unreadable(const Coder *coder, const char *reason); /* sound, but beyond our limits */
int coder_fail_compress(const Coder *coder, const char *reason);

/* What a library's constructor answered; does not return without memory. */
void *coder_must(void *state);

#endif
