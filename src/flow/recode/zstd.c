/* SPDX-License-Identifier: PostgreSQL
 * The format zstd: one frame with a checksum of its content and, where it is known, the content's
 * size, so that readers may check both. Reads any number of frames, skippable ones too.
 * The library's tables are kept small, because WAL repeats itself at short distance and there is a
 * coder for each thread. */
#include "flow/recode/coder.h"

#include <zstd.h>
#include <zstd_errors.h>

/* Logarithms of the sizes of window and tables; 0: the library's own for the level. On WAL of
 * pgbench and of bulk loads the levels up to 12 are 10 to 100 % faster with these than with the
 * library's own, which do not fit the processor's cache, and the output is as large, give or take
 * 2 %. From 9 on, the library's own would also take more than 16 MB. */
typedef struct Tables {
    int level_min, level_max;
    int window, hash, chain;
} Tables;

static const Tables tables[] = {
    {2, 4, 0, 14, 14},
    {5, 12, 21, 18, 18},
    {13, 22, 21, 20, 20},
};

/* What a reader allows: the largest WAL segment has 2^30 bytes, nothing needs a larger window. */
enum { WINDOW_LOG_MAX = 30 };

typedef struct ZstdCompressor {
    Coder coder;
    ZSTD_CCtx *zstd;
    ZSTD_outBuffer out;
} ZstdCompressor;

typedef struct ZstdDecompressor {
    Coder coder;
    ZSTD_DCtx *zstd;
    void *out;
    bool frame_ended;
} ZstdDecompressor;

static int
compress_failed(const Coder *coder, size_t code)
{
    return coder_fail_compress(coder, ZSTD_getErrorName(code));
}

static int
compress_begin(Coder *coder, int64_t content_size)
{
    ZstdCompressor *self = (ZstdCompressor *)coder;
    ZSTD_CCtx_reset(self->zstd, ZSTD_reset_session_only);
    self->out.pos = 0;
    size_t code = ZSTD_CCtx_setPledgedSrcSize(
        self->zstd, content_size < 0 ? ZSTD_CONTENTSIZE_UNKNOWN : (unsigned long long)content_size);
    return ZSTD_isError(code) ? compress_failed(coder, code) : 0;
}

static int
compress_flush(ZstdCompressor *self)
{
    size_t size = self->out.pos;
    self->out.pos = 0;
    return coder_emit(&self->coder, self->out.dst, size);
}

/* The buffer always has room for a block, so that zstd writes into it without a copy. */
static int
compress_with(ZstdCompressor *self, const void *data, size_t size, ZSTD_EndDirective directive)
{
    ZSTD_inBuffer in = {data, size, 0};
    bool done;
    do {
        size_t left = ZSTD_compressStream2(self->zstd, &self->out, &in, directive);
        if (ZSTD_isError(left))
            return compress_failed(&self->coder, left);
        done = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
        if (directive == ZSTD_e_end || self->out.size - self->out.pos < ZSTD_CStreamOutSize())
            TRY(compress_flush(self));
    } while (!done);
    return 0;
}

static int
compress_push(Coder *coder, const void *data, size_t size)
{
    return compress_with((ZstdCompressor *)coder, data, size, ZSTD_e_continue);
}

static int
compress_finish(Coder *coder)
{
    return compress_with((ZstdCompressor *)coder, NULL, 0, ZSTD_e_end);
}

static void
compress_free(Coder *coder)
{
    ZstdCompressor *self = (ZstdCompressor *)coder;
    ZSTD_freeCCtx(self->zstd);
    free(self->out.dst);
    free(self);
}

static const struct CoderMethods compress_methods = {compress_begin, compress_push, compress_finish,
                                                     compress_free};

static int
zstd_compressor_new(int level, Coder **ret_coder)
{
    ZstdCompressor *self = mem_alloc(sizeof(*self));
    self->coder.methods = &compress_methods;
    self->zstd = coder_must(ZSTD_createCCtx());
    self->out.size = KIB(256) + ZSTD_CStreamOutSize();
    self->out.dst = mem_alloc(self->out.size);
    ZSTD_CCtx_setParameter(self->zstd, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(self->zstd, ZSTD_c_checksumFlag, 1);
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        if (level < tables[i].level_min || level > tables[i].level_max)
            continue;
        ZSTD_CCtx_setParameter(self->zstd, ZSTD_c_windowLog, tables[i].window);
        ZSTD_CCtx_setParameter(self->zstd, ZSTD_c_hashLog, tables[i].hash);
        ZSTD_CCtx_setParameter(self->zstd, ZSTD_c_chainLog, tables[i].chain);
    }
    *ret_coder = &self->coder;
    return 0;
}

static int
decompress_begin(Coder *coder, int64_t content_size)
{
    ZstdDecompressor *self = (ZstdDecompressor *)coder;
    (void)content_size;
    ZSTD_DCtx_reset(self->zstd, ZSTD_reset_session_only);
    self->frame_ended = false;
    return 0;
}

static int
decompress_failed(const Coder *coder, size_t code)
{
    const char *reason = ZSTD_getErrorName(code);
    switch (ZSTD_getErrorCode(code)) {
    case ZSTD_error_frameParameter_windowTooLarge:
    case ZSTD_error_memory_allocation:
        return coder_fail_unreadable(coder, reason);
    default:
        return coder_fail_damaged(coder, reason);
    }
}

static int
decompress_push(Coder *coder, const void *data, size_t size)
{
    ZstdDecompressor *self = (ZstdDecompressor *)coder;
    ZSTD_inBuffer in = {data, size, 0};
    ZSTD_outBuffer out = {self->out, ZSTD_DStreamOutSize(), 0};
    /* A full buffer may mean that there is more to come without further input. */
    while (in.pos < in.size || out.pos == out.size) {
        out.pos = 0;
        size_t wanted = ZSTD_decompressStream(self->zstd, &out, &in);
        if (ZSTD_isError(wanted))
            return decompress_failed(coder, wanted);
        self->frame_ended = wanted == 0;
        TRY(coder_emit(coder, out.dst, out.pos));
        if (self->frame_ended)
            out.pos = 0;
    }
    return 0;
}

static int
decompress_finish(Coder *coder)
{
    return ((ZstdDecompressor *)coder)->frame_ended ? 0 : coder_fail_early_end(coder);
}

static void
decompress_free(Coder *coder)
{
    ZstdDecompressor *self = (ZstdDecompressor *)coder;
    ZSTD_freeDCtx(self->zstd);
    free(self->out);
    free(self);
}

static const struct CoderMethods decompress_methods = {decompress_begin, decompress_push,
                                                       decompress_finish, decompress_free};

static int
zstd_decompressor_new(Coder **ret_coder)
{
    ZstdDecompressor *self = mem_alloc(sizeof(*self));
    self->coder.methods = &decompress_methods;
    self->zstd = coder_must(ZSTD_createDCtx());
    self->out = mem_alloc(ZSTD_DStreamOutSize());
    ZSTD_DCtx_setParameter(self->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    *ret_coder = &self->coder;
    return 0;
}

static const uint8_t zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};

const CodecClass codec_zstd = {
    .name = "zstd",
    .magic = zstd_magic,
    .magic_size = sizeof(zstd_magic),
    .level_min = -22,
    .level_max = 22,
    .level_low = 1,
    .level_medium = 4,
    .level_high = 9,
    .compressor_new = zstd_compressor_new,
    .decompressor_new = zstd_decompressor_new,
};
