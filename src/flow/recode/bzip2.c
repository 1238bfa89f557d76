/* SPDX-License-Identifier: PostgreSQL
 * The format bzip2, whose library has no reset: its state is made anew for each stream. Reads any
 * number of streams behind one another. */
#include "flow/recode/coder.h"

#include <bzlib.h>

#define OUT_SIZE KIB(128)

typedef struct Bzip2Coder {
    Coder coder;
    bz_stream bzip2;
    char *out;
    int level;         /* compressing */
    bool open;         /* bzip2 holds memory */
    bool stream_ended; /* decompressing */
} Bzip2Coder;

static void
compress_close(Bzip2Coder *self)
{
    if (self->open)
        BZ2_bzCompressEnd(&self->bzip2);
    self->open = false;
}

static int
compress_begin(Coder *coder, int64_t content_size)
{
    Bzip2Coder *self = (Bzip2Coder *)coder;
    (void)content_size;
    compress_close(self);
    if (BZ2_bzCompressInit(&self->bzip2, self->level, 0, 0) != BZ_OK)
        mem_exhausted(0);
    self->open = true;
    return 0;
}

/* BZ_RUN until the input is used up, BZ_FINISH until the stream has ended. */
static int
compress_with(Bzip2Coder *self, int action)
{
    for (int code = BZ_OK;
         code != BZ_STREAM_END && (action == BZ_FINISH || self->bzip2.avail_in);) {
        self->bzip2.next_out = self->out;
        self->bzip2.avail_out = OUT_SIZE;
        code = BZ2_bzCompress(&self->bzip2, action);
        if (code < 0)
            return coder_fail_compress(&self->coder, "wrong order of calls");
        TRY(coder_emit(&self->coder, self->out, OUT_SIZE - self->bzip2.avail_out));
    }
    return 0;
}

static int
compress_push(Coder *coder, const void *data, size_t size)
{
    Bzip2Coder *self = (Bzip2Coder *)coder;
    self->bzip2.next_in = (char *)data;
    self->bzip2.avail_in = (unsigned)size;
    return compress_with(self, BZ_RUN);
}

static int
compress_finish(Coder *coder)
{
    return compress_with((Bzip2Coder *)coder, BZ_FINISH);
}

static void
compress_free(Coder *coder)
{
    Bzip2Coder *self = (Bzip2Coder *)coder;
    compress_close(self);
    free(self->out);
    free(self);
}

static const struct CoderMethods compress_methods = {compress_begin, compress_push, compress_finish,
                                                     compress_free};

static void
decompress_close(Bzip2Coder *self)
{
    if (self->open)
        BZ2_bzDecompressEnd(&self->bzip2);
    self->open = false;
}

static void
decompress_open(Bzip2Coder *self)
{
    decompress_close(self);
    if (BZ2_bzDecompressInit(&self->bzip2, 0, 0) != BZ_OK)
        mem_exhausted(0);
    self->open = true;
    self->stream_ended = false;
}

static int
decompress_begin(Coder *coder, int64_t content_size)
{
    (void)content_size;
    decompress_open((Bzip2Coder *)coder);
    return 0;
}

static int
decompress_push(Coder *coder, const void *data, size_t size)
{
    Bzip2Coder *self = (Bzip2Coder *)coder;
    self->bzip2.next_in = (char *)data;
    self->bzip2.avail_in = (unsigned)size;
    bool full = false;
    /* A full buffer may mean that there is more to come without further input. */
    while (self->bzip2.avail_in > 0 || full) {
        if (self->stream_ended)
            decompress_open(self);
        self->bzip2.next_out = self->out;
        self->bzip2.avail_out = OUT_SIZE;
        int code = BZ2_bzDecompress(&self->bzip2);
        if (code == BZ_MEM_ERROR)
            return coder_fail_unreadable(&self->coder, "not enough memory");
        if (code < 0)
            return coder_fail_damaged(&self->coder, code == BZ_DATA_ERROR_MAGIC
                                                        ? "something else than bzip2 in it"
                                                        : "wrong contents or checksum");
        self->stream_ended = code == BZ_STREAM_END;
        full = self->bzip2.avail_out == 0 && !self->stream_ended;
        TRY(coder_emit(&self->coder, self->out, OUT_SIZE - self->bzip2.avail_out));
    }
    return 0;
}

static int
decompress_finish(Coder *coder)
{
    return ((Bzip2Coder *)coder)->stream_ended ? 0 : coder_fail_early_end(coder);
}

static void
decompress_free(Coder *coder)
{
    Bzip2Coder *self = (Bzip2Coder *)coder;
    decompress_close(self);
    free(self->out);
    free(self);
}

static const struct CoderMethods decompress_methods = {decompress_begin, decompress_push,
                                                       decompress_finish, decompress_free};

static int
bzip2_compressor_new(int level, Coder **ret_coder)
{
    Bzip2Coder *self = mem_alloc(sizeof(*self));
    self->coder.methods = &compress_methods;
    self->level = level;
    self->out = mem_alloc(OUT_SIZE);
    *ret_coder = &self->coder;
    return 0;
}

static int
bzip2_decompressor_new(Coder **ret_coder)
{
    Bzip2Coder *self = mem_alloc(sizeof(*self));
    self->coder.methods = &decompress_methods;
    self->out = mem_alloc(OUT_SIZE);
    *ret_coder = &self->coder;
    return 0;
}

static const uint8_t bzip2_magic[] = {'B', 'Z', 'h'};

#define BZIP2_FIELDS                                                                               \
    .magic = bzip2_magic, .magic_size = sizeof(bzip2_magic), .level_min = 1, .level_max = 9,       \
    .level_low = 1, .level_medium = 5, .level_high = 9, .compressor_new = bzip2_compressor_new,    \
    .decompressor_new = bzip2_decompressor_new

const CodecClass codec_bzip2 = {.name = "bzip2", BZIP2_FIELDS};
const CodecClass codec_pybzip2 = {.name = "pybzip2", .recognised_as = &codec_bzip2, BZIP2_FIELDS};
