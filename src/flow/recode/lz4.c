/* SPDX-License-Identifier: PostgreSQL
 * The format lz4 (frames, not the legacy format): one frame with a checksum of its content and,
 * where it is known, the content's size. Reads any number of frames, skippable ones too.
 *
 * The checksum of the content comes from libxxhash: in Debian's build of liblz4 it takes a fifth of
 * the time of compressing and half of that of decompressing (2 GB/s instead of 10). So the library
 * is asked for frames without, and for reading without a check, and the two places of it are dealt
 * with here (lz4_Frame_format.md, "Frame Descriptor" and "Content checksum"). */
#include "flow/recode/coder.h"

#include <endian.h>
#include <lz4frame.h>
#include <xxhash.h>

static const uint8_t lz4_magic[] = {0x04, 0x22, 0x4d, 0x18};

#define OUT_SIZE KIB(256) /* decompressing */

enum { MAGIC_SIZE = 4, CONTENT_CHECKSUM = 1 << 2, BLOCK_CHECKSUMS = 1 << 4 }; /* flags behind it */
enum { HEAD_SIZE = MAGIC_SIZE + 1, CHECKSUM_SIZE = 4 };

typedef struct Lz4Compressor {
    Coder coder;
    LZ4F_cctx *lz4;
    LZ4F_preferences_t preferences;
    XXH32_state_t *checksum;
    char *out;
    size_t out_size;
} Lz4Compressor;

typedef struct Lz4Decompressor {
    Coder coder;
    LZ4F_dctx *lz4;
    char *out;
    bool frame_ended;
    XXH32_state_t *checksum;
    unsigned char head[HEAD_SIZE];     /* of the frame */
    unsigned char tail[CHECKSUM_SIZE]; /* the last bytes of it so far */
    size_t have;                       /* bytes of it so far, up to HEAD_SIZE */
    bool checks_own;                   /* the checksum of its content is checked here */
} Lz4Decompressor;

/* Passes on what a call of the library wrote, or its failure. */
static int
compress_wrote(Lz4Compressor *self, size_t code)
{
    if (LZ4F_isError(code))
        return coder_fail_compress(&self->coder, LZ4F_getErrorName(code));
    return coder_emit(&self->coder, self->out, code);
}

/* Sets the flag in a frame's header that a checksum follows its end. */
static void
promise_checksum(char *header, size_t size)
{
    char *descriptor = header + MAGIC_SIZE, *own_checksum = header + size - 1;
    *descriptor |= CONTENT_CHECKSUM;
    *own_checksum = (char)(XXH32(descriptor, (size_t)(own_checksum - descriptor), 0) >> 8);
}

static int
compress_begin(Coder *coder, int64_t content_size)
{
    Lz4Compressor *self = (Lz4Compressor *)coder;
    self->preferences.frameInfo.contentSize =
        content_size < 0 ? 0 : (unsigned long long)content_size;
    XXH32_reset(self->checksum, 0);
    size_t size = LZ4F_compressBegin(self->lz4, self->out, self->out_size, &self->preferences);
    if (!LZ4F_isError(size))
        promise_checksum(self->out, size);
    return compress_wrote(self, size);
}

static int
compress_push(Coder *coder, const void *data, size_t size)
{
    Lz4Compressor *self = (Lz4Compressor *)coder;
    XXH32_update(self->checksum, data, size);
    return compress_wrote(
        self, LZ4F_compressUpdate(self->lz4, self->out, self->out_size, data, size, NULL));
}

static int
compress_finish(Coder *coder)
{
    Lz4Compressor *self = (Lz4Compressor *)coder;
    TRY(compress_wrote(self, LZ4F_compressEnd(self->lz4, self->out, self->out_size, NULL)));
    uint32_t digest = htole32(XXH32_digest(self->checksum));
    return coder_emit(coder, &digest, sizeof(digest));
}

static void
compress_free(Coder *coder)
{
    Lz4Compressor *self = (Lz4Compressor *)coder;
    LZ4F_freeCompressionContext(self->lz4);
    XXH32_freeState(self->checksum);
    free(self->out);
    free(self);
}

static const struct CoderMethods compress_methods = {compress_begin, compress_push, compress_finish,
                                                     compress_free};

static int
lz4_compressor_new(int level, Coder **ret_coder)
{
    Lz4Compressor *self = mem_alloc(sizeof(*self));
    self->coder.methods = &compress_methods;
    LZ4F_createCompressionContext(&self->lz4, LZ4F_VERSION);
    coder_must(self->lz4);
    self->checksum = coder_must(XXH32_createState());
    self->preferences.compressionLevel = level;
    self->preferences.frameInfo.blockSizeID = LZ4F_max256KB; /* pushes need no copy then */
    self->preferences.frameInfo.blockMode = LZ4F_blockIndependent;
    self->out_size = LZ4F_compressBound(PUSH_MAX, &self->preferences);
    self->out = mem_alloc(self->out_size);
    *ret_coder = &self->coder;
    return 0;
}

static int
decompress_begin(Coder *coder, int64_t content_size)
{
    Lz4Decompressor *self = (Lz4Decompressor *)coder;
    (void)content_size;
    /* liblz4's reset forgets to forget the content size of a frame that was broken off. */
    if (!self->frame_ended) {
        LZ4F_freeDecompressionContext(self->lz4);
        LZ4F_createDecompressionContext(&self->lz4, LZ4F_VERSION);
        coder_must(self->lz4);
    }
    self->frame_ended = self->checks_own = false;
    self->have = 0;
    return 0;
}

/* The bytes of the frame that the library has taken. */
static void
note_taken(Lz4Decompressor *self, const char *bytes, size_t size)
{
    if (self->have < HEAD_SIZE) {
        memcpy(self->head + self->have, bytes, size);
        self->have += size;
    }
    if (size < CHECKSUM_SIZE) {
        memmove(self->tail, self->tail + size, CHECKSUM_SIZE - size);
        memcpy(self->tail + CHECKSUM_SIZE - size, bytes, size);
    } else {
        memcpy(self->tail, bytes + size - CHECKSUM_SIZE, CHECKSUM_SIZE);
    }
}

/* With checksums of its blocks, too, the library checks all; a skippable frame has none. */
static bool
wants_own_check(const Lz4Decompressor *self)
{
    int flags = self->head[MAGIC_SIZE];
    return memcmp(self->head, lz4_magic, MAGIC_SIZE) == 0 && (flags & CONTENT_CHECKSUM) &&
           !(flags & BLOCK_CHECKSUMS);
}

/* One call of the library. How much there is to do comes from *taken, the frame's first bytes
 * alone.
 */
static int
decompress_some(Lz4Decompressor *self, const char *from, size_t *taken, size_t *ret_written)
{
    if (self->have<HEAD_SIZE && * taken> HEAD_SIZE - self->have)
        *taken = HEAD_SIZE - self->have;
    LZ4F_decompressOptions_t options = {.skipChecksums = self->checks_own};
    size_t written = OUT_SIZE;
    size_t wanted = LZ4F_decompress(self->lz4, self->out, &written, from, taken, &options);
    if (LZ4F_isError(wanted))
        return coder_fail_damaged(&self->coder, LZ4F_getErrorName(wanted));
    bool had_head = self->have == HEAD_SIZE;
    note_taken(self, from, *taken);
    if (!had_head && self->have == HEAD_SIZE) {
        self->checks_own = wants_own_check(self);
        XXH32_reset(self->checksum, 0);
    }
    if (self->checks_own)
        XXH32_update(self->checksum, self->out, written);
    self->frame_ended = wanted == 0;
    *ret_written = written;
    return 0;
}

/* The frame is complete. */
static int
end_frame(Lz4Decompressor *self)
{
    uint32_t expected;
    memcpy(&expected, self->tail, sizeof(expected));
    bool wrong = self->checks_own && XXH32_digest(self->checksum) != le32toh(expected);
    self->checks_own = false;
    self->have = 0;
    return wrong ? coder_fail_damaged(&self->coder, "the checksum of its content is wrong") : 0;
}

static int
decompress_push(Coder *coder, const void *data, size_t size)
{
    Lz4Decompressor *self = (Lz4Decompressor *)coder;
    const char *from = data, *end = from + size;
    bool full = false;
    /* A full buffer may mean that there is more to come without further input. */
    while (from < end || full) {
        size_t written = 0, taken = (size_t)(end - from);
        TRY(decompress_some(self, from, &taken, &written));
        from += taken;
        full = written == OUT_SIZE && !self->frame_ended;
        TRY(coder_emit(coder, self->out, written));
        if (self->frame_ended && (taken > 0 || written > 0))
            TRY(end_frame(self));
    }
    return 0;
}

static int
decompress_finish(Coder *coder)
{
    return ((Lz4Decompressor *)coder)->frame_ended ? 0 : coder_fail_early_end(coder);
}

static void
decompress_free(Coder *coder)
{
    Lz4Decompressor *self = (Lz4Decompressor *)coder;
    LZ4F_freeDecompressionContext(self->lz4);
    XXH32_freeState(self->checksum);
    free(self->out);
    free(self);
}

static const struct CoderMethods decompress_methods = {decompress_begin, decompress_push,
                                                       decompress_finish, decompress_free};

static int
lz4_decompressor_new(Coder **ret_coder)
{
    Lz4Decompressor *self = mem_alloc(sizeof(*self));
    self->coder.methods = &decompress_methods;
    self->checksum = coder_must(XXH32_createState());
    self->out = mem_alloc(OUT_SIZE);
    *ret_coder = &self->coder;
    return 0;
}

const CodecClass codec_lz4 = {
    .name = "lz4",
    .magic = lz4_magic,
    .magic_size = sizeof(lz4_magic),
    .level_min = 0,
    .level_max = 16,
    .level_low = 0,
    .level_medium = 6,
    .level_high = 10,
    .compressor_new = lz4_compressor_new,
    .decompressor_new = lz4_decompressor_new,
};
