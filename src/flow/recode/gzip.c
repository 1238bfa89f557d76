/* SPDX-License-Identifier: PostgreSQL
 * The format gzip. Written by libdeflate, which compresses whole buffers only: a stream is
 * therefore a row of members of at most MEMBER_SIZE plain bytes, which every reader of gzip takes
 * for one file. Read by zlib, any number of members; as for gzip itself, zeros may follow the last
 * one. */
#include "flow/recode/coder.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <zlib.h>

/* Each member begins without history and costs 18 bytes: at this size neither can be measured. */
#define MEMBER_SIZE MIB(2)
#define OUT_SIZE KIB(256)

/* ISA-L's level 2 is as fast as its level 1, and smaller. */
enum { FAST_LEVEL = 1, FAST_ISAL_LEVEL = 2, FAST_TABLES = ISAL_DEF_LVL2_DEFAULT };

typedef struct GzipCompressor {
    Coder coder;
    struct libdeflate_compressor *deflate;
    uint8_t *plain; /* the member that is being filled */
    size_t plain_size;
    uint8_t *out;
    size_t out_size;
    bool wrote; /* this stream has a member already */
} GzipCompressor;

typedef struct FastCompressor {
    Coder coder;
    struct isal_zstream isal;
    uint8_t *tables;
    uint8_t *out;
} FastCompressor;

typedef struct GzipDecompressor {
    Coder coder;
    z_stream zlib;
    uint8_t *out;
    enum { GZIP_START, GZIP_MEMBER, GZIP_BETWEEN, GZIP_ZEROS } state;
} GzipDecompressor;

static int
compress_begin(Coder *coder, int64_t content_size)
{
    GzipCompressor *self = (GzipCompressor *)coder;
    (void)content_size;
    self->plain_size = 0;
    self->wrote = false;
    return 0;
}

static int
compress_member(GzipCompressor *self)
{
    size_t size = libdeflate_gzip_compress(self->deflate, self->plain, self->plain_size, self->out,
                                           self->out_size);
    assert(size > 0); /* the buffer has room for the worst case */
    self->plain_size = 0;
    self->wrote = true;
    return coder_emit(&self->coder, self->out, size);
}

static int
compress_push(Coder *coder, const void *data, size_t size)
{
    GzipCompressor *self = (GzipCompressor *)coder;
    for (const uint8_t *from = data; size > 0;) {
        size_t room = MEMBER_SIZE - self->plain_size, part = size < room ? size : room;
        memcpy(self->plain + self->plain_size, from, part);
        self->plain_size += part;
        from += part;
        size -= part;
        if (self->plain_size == MEMBER_SIZE)
            TRY(compress_member(self));
    }
    return 0;
}

static int
compress_finish(Coder *coder)
{
    GzipCompressor *self = (GzipCompressor *)coder;
    return self->plain_size > 0 || !self->wrote ? compress_member(self) : 0;
}

static void
compress_free(Coder *coder)
{
    GzipCompressor *self = (GzipCompressor *)coder;
    libdeflate_free_compressor(self->deflate);
    free(self->plain);
    free(self->out);
    free(self);
}

static const struct CoderMethods compress_methods = {compress_begin, compress_push, compress_finish,
                                                     compress_free};

static int
fast_begin(Coder *coder, int64_t content_size)
{
    FastCompressor *self = (FastCompressor *)coder;
    (void)content_size;
    isal_deflate_init(&self->isal); /* its reset would leave out the next header */
    self->isal.gzip_flag = IGZIP_GZIP;
    self->isal.level = FAST_ISAL_LEVEL;
    self->isal.level_buf_size = FAST_TABLES;
    self->isal.level_buf = self->tables;
    return 0;
}

/* Compresses until the input is used up and the output is out. */
static int
fast_push(Coder *coder, const void *data, size_t size)
{
    FastCompressor *self = (FastCompressor *)coder;
    self->isal.next_in = (uint8_t *)data;
    self->isal.avail_in = (uint32_t)size;
    do {
        self->isal.next_out = self->out;
        self->isal.avail_out = OUT_SIZE;
        int code = isal_deflate(&self->isal);
        if (code != COMP_OK)
            return coder_fail_compress(coder, "ISA-L refused");
        TRY(coder_emit(coder, self->out, OUT_SIZE - self->isal.avail_out));
    } while (self->isal.avail_in > 0 || self->isal.avail_out == 0);
    return 0;
}

static int
fast_finish(Coder *coder)
{
    FastCompressor *self = (FastCompressor *)coder;
    self->isal.end_of_stream = 1;
    TRY(fast_push(coder, "", 0));
    if (self->isal.internal_state.state != ZSTATE_END)
        return coder_fail_compress(coder, "ISA-L did not come to an end");
    return 0;
}

static void
fast_free(Coder *coder)
{
    FastCompressor *self = (FastCompressor *)coder;
    free(self->tables);
    free(self->out);
    free(self);
}

static const struct CoderMethods fast_methods = {fast_begin, fast_push, fast_finish, fast_free};

static int
fast_compressor_new(Coder **ret_coder)
{
    FastCompressor *self = mem_alloc(sizeof(*self));
    self->coder.methods = &fast_methods;
    self->tables = mem_alloc(FAST_TABLES);
    self->out = mem_alloc(OUT_SIZE);
    *ret_coder = &self->coder;
    return 0;
}

static int
gzip_compressor_new(int level, Coder **ret_coder)
{
    if (level == FAST_LEVEL)
        return fast_compressor_new(ret_coder);
    GzipCompressor *self = mem_alloc(sizeof(*self));
    self->coder.methods = &compress_methods;
    self->deflate = coder_must(libdeflate_alloc_compressor(level));
    self->plain = mem_alloc(MEMBER_SIZE);
    self->out_size = libdeflate_gzip_compress_bound(self->deflate, MEMBER_SIZE);
    self->out = mem_alloc(self->out_size);
    *ret_coder = &self->coder;
    return 0;
}

static int
decompress_begin(Coder *coder, int64_t content_size)
{
    GzipDecompressor *self = (GzipDecompressor *)coder;
    (void)content_size;
    inflateReset(&self->zlib);
    self->state = GZIP_START;
    return 0;
}

/* Decompresses until the input is used up or the member ends. */
static int
decompress_member(GzipDecompressor *self)
{
    z_stream *zlib = &self->zlib;
    do {
        zlib->next_out = self->out;
        zlib->avail_out = OUT_SIZE;
        int code = inflate(zlib, Z_NO_FLUSH);
        if (code == Z_MEM_ERROR)
            return coder_fail_unreadable(&self->coder, "not enough memory");
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return coder_fail_damaged(&self->coder, zlib->msg ? zlib->msg : "wrong contents");
        if (code == Z_STREAM_END)
            self->state = GZIP_BETWEEN;
        TRY(coder_emit(&self->coder, self->out, OUT_SIZE - zlib->avail_out));
    } while (self->state == GZIP_MEMBER && (zlib->avail_in > 0 || zlib->avail_out == 0));
    return 0;
}

static int
decompress_zeros(GzipDecompressor *self)
{
    for (; self->zlib.avail_in > 0; self->zlib.avail_in--)
        if (*self->zlib.next_in++ != 0)
            return coder_fail_damaged(&self->coder, "something else follows its end");
    return 0;
}

static int
decompress_push(Coder *coder, const void *data, size_t size)
{
    GzipDecompressor *self = (GzipDecompressor *)coder;
    self->zlib.next_in = (uint8_t *)data;
    self->zlib.avail_in = (unsigned)size;
    while (self->zlib.avail_in > 0) {
        if (self->state == GZIP_BETWEEN && *self->zlib.next_in == 0)
            self->state = GZIP_ZEROS;
        else if (self->state == GZIP_BETWEEN)
            inflateReset(&self->zlib);
        if (self->state != GZIP_ZEROS)
            self->state = GZIP_MEMBER;
        TRY(self->state == GZIP_ZEROS ? decompress_zeros(self) : decompress_member(self));
    }
    return 0;
}

static int
decompress_finish(Coder *coder)
{
    GzipDecompressor *self = (GzipDecompressor *)coder;
    return self->state >= GZIP_BETWEEN ? 0 : coder_fail_early_end(coder);
}

static void
decompress_free(Coder *coder)
{
    GzipDecompressor *self = (GzipDecompressor *)coder;
    inflateEnd(&self->zlib);
    free(self->out);
    free(self);
}

static const struct CoderMethods decompress_methods = {decompress_begin, decompress_push,
                                                       decompress_finish, decompress_free};

int
gzip_decompressor_new(Coder **ret_coder)
{
    GzipDecompressor *self = mem_alloc(sizeof(*self));
    self->coder.methods = &decompress_methods;
    if (inflateInit2(&self->zlib, 16 + MAX_WBITS) != Z_OK)
        mem_exhausted(0);
    self->out = mem_alloc(OUT_SIZE);
    *ret_coder = &self->coder;
    return 0;
}

const uint8_t gzip_magic[3] = {0x1f, 0x8b, 0x08};

#define GZIP_FIELDS                                                                                \
    .magic = gzip_magic, .magic_size = sizeof(gzip_magic), .level_min = 1, .level_max = 9,         \
    .level_low = 1, .level_medium = 6, .level_high = 9, .compressor_new = gzip_compressor_new,     \
    .decompressor_new = gzip_decompressor_new

const CodecClass codec_gzip = {.name = "gzip", GZIP_FIELDS};
const CodecClass codec_pygzip = {.name = "pygzip", .recognised_as = &codec_gzip, GZIP_FIELDS};
