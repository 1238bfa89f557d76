/* SPDX-License-Identifier: PostgreSQL
 * The format snappy: the framing format around blocks of libsnappy, which itself knows blocks only.
 * A stream is an identifier and chunks of at most 64 KiB plain bytes, each with its CRC-32C. It has
 * no end mark: a stream that was cut between two chunks is taken for a whole one.
 * The library is loaded when a coder is made: it is C++, whose own library would cost every start
 * of a program more time than all other formats together. */
#include "base/crc32c.h"
#include "base/library.h"
#include "flow/recode/coder.h"

#include <snappy-c.h>

enum {
    CHUNK_COMPRESSED = 0x00,
    CHUNK_PLAIN = 0x01,
    CHUNK_UNKNOWN_FIRST = 0x02, /* up to 0x7f: must not be skipped */
    CHUNK_UNKNOWN_LAST = 0x7f,
    CHUNK_IDENTIFIER = 0xff, /* begins a stream, and each one appended to it */
};
enum { HEADER_SIZE = 4, CRC_SIZE = 4, IDENTIFIER_SIZE = 10 };

#define PLAIN_MAX KIB(64)
#define OUT_FLUSH KIB(256)

static const uint8_t identifier[IDENTIFIER_SIZE] = {
    CHUNK_IDENTIFIER, 6, 0, 0, 's', 'N', 'a', 'P', 'p', 'Y'};

#define SNAPPY_FUNCTIONS(X)                                                                        \
    X(snappy_compress)                                                                             \
    X(snappy_max_compressed_length)                                                                \
    X(snappy_uncompress)

static struct {
    SNAPPY_FUNCTIONS(LIBRARY_FIELD)
} lib;

static Library library = {LIBRARY("libsnappy.so.1", "libsnappy1v5", SNAPPY_FUNCTIONS, lib)};

typedef struct SnappyCompressor {
    Coder coder;
    char *plain; /* of the chunk that is being filled by small pushes */
    size_t plain_size;
    uint8_t *out; /* has room for one chunk more when it holds OUT_FLUSH */
    size_t out_size;
} SnappyCompressor;

typedef struct SnappyDecompressor {
    Coder coder;
    uint8_t *chunk; /* header and body of the one that is being read */
    size_t chunk_size, chunk_have, chunk_need;
    size_t skip; /* bytes left of a chunk that means nothing to us */
    char *plain;
    bool identified;
} SnappyDecompressor;

static uint32_t
checksum(const void *data, size_t size)
{
    uint32_t crc = crc32c(0, data, size);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

static void
little_endian_put(uint8_t *to, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t
little_endian_get(const uint8_t *from, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint32_t)from[i] << 8 * i;
    return value;
}

static int
compress_begin(Coder *coder, int64_t content_size)
{
    SnappyCompressor *self = (SnappyCompressor *)coder;
    (void)content_size;
    self->plain_size = 0;
    memcpy(self->out, identifier, IDENTIFIER_SIZE);
    self->out_size = IDENTIFIER_SIZE;
    return 0;
}

static int
compress_flush(SnappyCompressor *self)
{
    size_t size = self->out_size;
    self->out_size = 0;
    return coder_emit(&self->coder, self->out, size);
}

static int
compress_chunk(SnappyCompressor *self, const char *plain, size_t size)
{
    uint8_t *header = self->out + self->out_size, *body = header + HEADER_SIZE + CRC_SIZE;
    size_t body_size = lib.snappy_max_compressed_length(size);
    lib.snappy_compress(plain, size, (char *)body, &body_size);
    header[0] = CHUNK_COMPRESSED;
    if (body_size >= size - size / 8) { /* not worth the reader's time */
        header[0] = CHUNK_PLAIN;
        memcpy(body, plain, size);
        body_size = size;
    }
    little_endian_put(header + 1, (uint32_t)(CRC_SIZE + body_size), 3);
    little_endian_put(header + HEADER_SIZE, checksum(plain, size), CRC_SIZE);
    self->out_size += HEADER_SIZE + CRC_SIZE + body_size;
    return self->out_size >= OUT_FLUSH ? compress_flush(self) : 0;
}

static int
compress_push(Coder *coder, const void *data, size_t size)
{
    SnappyCompressor *self = (SnappyCompressor *)coder;
    for (const char *from = data; size > 0;) {
        if (self->plain_size == 0 && size >= PLAIN_MAX) {
            TRY(compress_chunk(self, from, PLAIN_MAX));
            from += PLAIN_MAX;
            size -= PLAIN_MAX;
            continue;
        }
        size_t room = PLAIN_MAX - self->plain_size, part = size < room ? size : room;
        memcpy(self->plain + self->plain_size, from, part);
        self->plain_size += part;
        from += part;
        size -= part;
        if (self->plain_size == PLAIN_MAX) {
            self->plain_size = 0;
            TRY(compress_chunk(self, self->plain, PLAIN_MAX));
        }
    }
    return 0;
}

static int
compress_finish(Coder *coder)
{
    SnappyCompressor *self = (SnappyCompressor *)coder;
    if (self->plain_size > 0)
        TRY(compress_chunk(self, self->plain, self->plain_size));
    return compress_flush(self);
}

static void
compress_free(Coder *coder)
{
    SnappyCompressor *self = (SnappyCompressor *)coder;
    free(self->plain);
    free(self->out);
    free(self);
}

static const struct CoderMethods compress_methods = {compress_begin, compress_push, compress_finish,
                                                     compress_free};

static int
snappy_compressor_new(int level, Coder **ret_coder)
{
    (void)level;
    TRY(library_need(&library));
    SnappyCompressor *self = mem_alloc(sizeof(*self));
    self->coder.methods = &compress_methods;
    self->plain = mem_alloc(PLAIN_MAX);
    self->out =
        mem_alloc(OUT_FLUSH + HEADER_SIZE + CRC_SIZE + lib.snappy_max_compressed_length(PLAIN_MAX));
    *ret_coder = &self->coder;
    return 0;
}

static int
decompress_begin(Coder *coder, int64_t content_size)
{
    SnappyDecompressor *self = (SnappyDecompressor *)coder;
    (void)content_size;
    self->chunk_have = 0;
    self->chunk_need = HEADER_SIZE;
    self->skip = 0;
    self->identified = false;
    return 0;
}

/* Says by the header how many bytes to wait for, or to skip. */
static int
chunk_header(SnappyDecompressor *self)
{
    uint8_t type = self->chunk[0];
    size_t size = little_endian_get(self->chunk + 1, 3);
    bool has_data = type == CHUNK_COMPRESSED || type == CHUNK_PLAIN;
    if (!self->identified && type != CHUNK_IDENTIFIER)
        return coder_fail_damaged(&self->coder, "it does not begin with the identifier");
    if (type >= CHUNK_UNKNOWN_FIRST && type <= CHUNK_UNKNOWN_LAST)
        return coder_fail_unreadable(&self->coder, "it has a chunk of a type not known");
    if (has_data ? size <= CRC_SIZE || size > self->chunk_size - HEADER_SIZE
                 : type == CHUNK_IDENTIFIER && size != IDENTIFIER_SIZE - HEADER_SIZE)
        return coder_fail_damaged(&self->coder, "wrong size of a chunk");
    if (has_data || type == CHUNK_IDENTIFIER) {
        self->chunk_need = HEADER_SIZE + size;
    } else {
        self->skip = size;
        self->chunk_have = 0;
    }
    return 0;
}

static int
chunk_body(SnappyDecompressor *self)
{
    uint8_t *body = self->chunk + HEADER_SIZE + CRC_SIZE;
    size_t size = self->chunk_need - HEADER_SIZE - CRC_SIZE, plain_size = size;
    const char *plain = (const char *)body;
    if (self->chunk[0] == CHUNK_IDENTIFIER) {
        self->identified = true;
        if (memcmp(self->chunk, identifier, IDENTIFIER_SIZE) != 0)
            return coder_fail_damaged(&self->coder, "wrong identifier");
        return 0;
    }
    if (self->chunk[0] == CHUNK_COMPRESSED) {
        plain_size = PLAIN_MAX;
        plain = self->plain;
        if (lib.snappy_uncompress((char *)body, size, self->plain, &plain_size) != SNAPPY_OK)
            return coder_fail_damaged(&self->coder, "wrong contents of a chunk");
    } else if (plain_size > PLAIN_MAX) {
        return coder_fail_damaged(&self->coder, "wrong size of a chunk");
    }
    if (checksum(plain, plain_size) != little_endian_get(self->chunk + HEADER_SIZE, CRC_SIZE))
        return coder_fail_damaged(&self->coder, "wrong checksum");
    return coder_emit(&self->coder, plain, plain_size);
}

static int
decompress_push(Coder *coder, const void *data, size_t size)
{
    SnappyDecompressor *self = (SnappyDecompressor *)coder;
    for (const uint8_t *from = data; size > 0;) {
        size_t wanted = self->skip ? self->skip : self->chunk_need - self->chunk_have;
        size_t part = size < wanted ? size : wanted;
        if (self->skip) {
            self->skip -= part;
        } else {
            memcpy(self->chunk + self->chunk_have, from, part);
            self->chunk_have += part;
        }
        from += part;
        size -= part;
        if (self->chunk_have < self->chunk_need)
            continue;
        if (self->chunk_need == HEADER_SIZE) {
            TRY(chunk_header(self));
        } else {
            TRY(chunk_body(self));
            self->chunk_have = 0;
            self->chunk_need = HEADER_SIZE;
        }
    }
    return 0;
}

static int
decompress_finish(Coder *coder)
{
    SnappyDecompressor *self = (SnappyDecompressor *)coder;
    if (!self->identified || self->chunk_have > 0 || self->skip > 0)
        return coder_fail_early_end(coder);
    return 0;
}

static void
decompress_free(Coder *coder)
{
    SnappyDecompressor *self = (SnappyDecompressor *)coder;
    free(self->chunk);
    free(self->plain);
    free(self);
}

static const struct CoderMethods decompress_methods = {decompress_begin, decompress_push,
                                                       decompress_finish, decompress_free};

static int
snappy_decompressor_new(Coder **ret_coder)
{
    TRY(library_need(&library));
    SnappyDecompressor *self = mem_alloc(sizeof(*self));
    self->coder.methods = &decompress_methods;
    self->chunk_size = HEADER_SIZE + CRC_SIZE + lib.snappy_max_compressed_length(PLAIN_MAX);
    self->chunk = mem_alloc(self->chunk_size);
    self->plain = mem_alloc(PLAIN_MAX);
    *ret_coder = &self->coder;
    return 0;
}

const CodecClass codec_snappy = {
    .name = "snappy",
    .magic = identifier,
    .magic_size = sizeof(identifier),
    .compressor_new = snappy_compressor_new,
    .decompressor_new = snappy_decompressor_new,
};
