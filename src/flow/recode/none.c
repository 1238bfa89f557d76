/* SPDX-License-Identifier: PostgreSQL
 * The format "none": bytes go through as they are, without a copy. So that a caller need not ask
 * whether there is anything to compress. */
#include "flow/recode/coder.h"

static int
none_begin(Coder *coder, int64_t content_size)
{
    (void)coder, (void)content_size;
    return 0;
}

static int
none_finish(Coder *coder)
{
    (void)coder;
    return 0;
}

static void
none_free(Coder *coder)
{
    free(coder);
}

static const struct CoderMethods none_methods = {none_begin, coder_emit, none_finish, none_free};

static int
none_decompressor_new(Coder **ret_coder)
{
    *ret_coder = mem_alloc(sizeof(Coder));
    (*ret_coder)->methods = &none_methods;
    return 0;
}

static int
none_compressor_new(int level, Coder **ret_coder)
{
    (void)level;
    return none_decompressor_new(ret_coder);
}

const CodecClass codec_none = {
    .name = "none",
    .compressor_new = none_compressor_new,
    .decompressor_new = none_decompressor_new,
};
