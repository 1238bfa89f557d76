/* SPDX-License-Identifier: PostgreSQL
 * The format xz, with a CRC-64 of its content. The level is xz's preset, but with a small
 * dictionary: there is a coder for each thread, and the presets' own would take up to 700 MB. Reads
 * any number of streams behind one another, and padding. */
#include "flow/recode/coder.h"

#include <lzma.h>

#define DICTIONARY_MAX MIB(1)
#define READ_MEMORY_MAX MIB(1024) /* preset 9 needs 65 MB to read */
#define OUT_SIZE KIB(128)

typedef struct XzCoder {
    Coder coder;
    lzma_stream lzma; /* keeps its memory from stream to stream */
    lzma_options_lzma options;
    uint8_t *out;
} XzCoder;

static int
xz_failed(const Coder *coder, lzma_ret code)
{
    switch (code) {
    case LZMA_MEM_ERROR:
        return coder_fail_unreadable(coder, "not enough memory");
    case LZMA_MEMLIMIT_ERROR:
        return coder_fail_unreadable(coder, "it needs more than 1 GiB of memory");
    case LZMA_OPTIONS_ERROR:
        return coder_fail_unreadable(coder, "it uses options that liblzma does not know");
    case LZMA_FORMAT_ERROR:
        return coder_fail_damaged(coder, "something else than xz in it");
    case LZMA_BUF_ERROR:
        return coder_fail_early_end(coder);
    default:
        return coder_fail_damaged(coder, "wrong contents or checksum");
    }
}

/* LZMA_RUN until the input is used up and the output is out, LZMA_FINISH until the stream has
 * ended. */
static int
xz_run(XzCoder *self, const void *data, size_t size, lzma_action action)
{
    self->lzma.next_in = data;
    self->lzma.avail_in = size;
    lzma_ret code;
    do {
        self->lzma.next_out = self->out;
        self->lzma.avail_out = OUT_SIZE;
        code = lzma_code(&self->lzma, action);
        if (code != LZMA_OK && code != LZMA_STREAM_END &&
            !(code == LZMA_BUF_ERROR && action == LZMA_RUN))
            return xz_failed(&self->coder, code);
        TRY(coder_emit(&self->coder, self->out, OUT_SIZE - self->lzma.avail_out));
    } while (action == LZMA_FINISH ? code != LZMA_STREAM_END
                                   : self->lzma.avail_in > 0 || self->lzma.avail_out == 0);
    return 0;
}

static int
xz_push(Coder *coder, const void *data, size_t size)
{
    return xz_run((XzCoder *)coder, data, size, LZMA_RUN);
}

static int
xz_finish(Coder *coder)
{
    return xz_run((XzCoder *)coder, NULL, 0, LZMA_FINISH);
}

static void
xz_free(Coder *coder)
{
    XzCoder *self = (XzCoder *)coder;
    lzma_end(&self->lzma);
    free(self->out);
    free(self);
}

static int
compress_begin(Coder *coder, int64_t content_size)
{
    XzCoder *self = (XzCoder *)coder;
    (void)content_size;
    const lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &self->options}, {LZMA_VLI_UNKNOWN, NULL}};
    lzma_ret code = lzma_stream_encoder(&self->lzma, filters, LZMA_CHECK_CRC64);
    if (code == LZMA_MEM_ERROR)
        mem_exhausted(0);
    assert(code == LZMA_OK);
    return 0;
}

static int
decompress_begin(Coder *coder, int64_t content_size)
{
    XzCoder *self = (XzCoder *)coder;
    (void)content_size;
    lzma_ret code = lzma_stream_decoder(&self->lzma, READ_MEMORY_MAX, LZMA_CONCATENATED);
    if (code == LZMA_MEM_ERROR)
        mem_exhausted(0);
    assert(code == LZMA_OK);
    return 0;
}

static const struct CoderMethods compress_methods = {compress_begin, xz_push, xz_finish, xz_free};
static const struct CoderMethods decompress_methods = {decompress_begin, xz_push, xz_finish,
                                                       xz_free};

static XzCoder *
xz_new(const struct CoderMethods *methods)
{
    XzCoder *self = mem_alloc(sizeof(*self));
    self->coder.methods = methods;
    self->lzma = (lzma_stream)LZMA_STREAM_INIT;
    self->out = mem_alloc(OUT_SIZE);
    return self;
}

static int
xz_compressor_new(int level, Coder **ret_coder)
{
    XzCoder *self = xz_new(&compress_methods);
    lzma_lzma_preset(&self->options, (uint32_t)level);
    if (self->options.dict_size > DICTIONARY_MAX)
        self->options.dict_size = DICTIONARY_MAX;
    *ret_coder = &self->coder;
    return 0;
}

static int
xz_decompressor_new(Coder **ret_coder)
{
    *ret_coder = &xz_new(&decompress_methods)->coder;
    return 0;
}

static const uint8_t xz_magic[] = {0xfd, '7', 'z', 'X', 'Z', 0x00};

const CodecClass codec_xz = {
    .name = "xz",
    .magic = xz_magic,
    .magic_size = sizeof(xz_magic),
    .level_min = 1,
    .level_max = 9,
    .level_low = 1,
    .level_medium = 3,
    .level_high = 5,
    .compressor_new = xz_compressor_new,
    .decompressor_new = xz_decompressor_new,
};
