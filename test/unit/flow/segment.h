/* SPDX-License-Identifier: PostgreSQL
 * A small whole segment that every check accepts: page header, one record, a segment switch. And
 * compressed forms of any contents. */
#ifndef WALDEN_TEST_SEGMENT_H
#define WALDEN_TEST_SEGMENT_H

#include "../files.h"
#include "../wal/pages.h"

#include "base/crc32c.h"
#include "flow/recode/codec.h"
#include "wal/page.h"

#define SEG_1 "000000010000000000000001"
#define SEG_2 "000000010000000000000002"
#define SEG_3 "000000010000000000000003"
#define HASH_DIR "0000000100000000"

#define SYSTEM_ID UINT64_C(0x1122334455667788)

enum { SEGMENT_RECORD = 40, SEGMENT_RECORD_LENGTH = 4096 };

static inline void
segment_put_record(unsigned char *at, uint32_t length, uint64_t previous, unsigned info)
{
    put(at, length, 4);
    put(at + 8, previous, 8);
    at[16] = (unsigned char)info;
    at[17] = 0;
    put(at + 20, crc32c(crc32c(0, at + 24, length - 24), at, 20), 4);
}

/* TEST_SEGMENT bytes for the name; the seed makes the contents differ. Free it. */
static inline unsigned char *
segment_make(const char *name, unsigned seed)
{
    WalName parts;
    Lsn start = 0;
    unsigned char *data = mem_alloc(TEST_SEGMENT);
    assert_true(wal_name_parse(name, &parts));
    assert_true(wal_segment_start(&parts, TEST_SEGMENT, &start));
    put_page_header(data, 2, parts.timeline, start, 0);
    unsigned char *record = data + SEGMENT_RECORD;
    for (size_t i = 24; i < SEGMENT_RECORD_LENGTH; i++)
        record[i] = (unsigned char)((seed + 1) * (i * 2654435761u) >> 13);
    segment_put_record(record, SEGMENT_RECORD_LENGTH, start - 100, 0x30);
    segment_put_record(record + SEGMENT_RECORD_LENGTH, 24, start + SEGMENT_RECORD, 0x40);
    return data;
}

static inline void
segment_write(const char *path, const char *name, unsigned seed)
{
    AUTO(free) unsigned char *data = segment_make(name, seed);
    write_bytes(path, data, TEST_SEGMENT);
}

static inline int
segment_sink(void *context, const void *data, size_t size)
{
    str_append_part(context, data, size);
    return 0;
}

/* Appends the data compressed by a codec of the registry. */
static inline void
compress_bytes(const char *codec, const void *data, size_t size, Str *ret_stream)
{
    AUTO(coder) Coder *coder = NULL;
    const CodecClass *class = codec_find(codec);
    assert_done(compressor_new(class, class->level_low, &coder));
    assert_done(coder_begin(coder, (int64_t)size, segment_sink, ret_stream));
    assert_done(coder_push(coder, data, size));
    assert_done(coder_finish(coder));
}

/* Writes the first `part` bytes (0: all) of the compressed data. */
static inline void
write_compressed(const char *path, const char *codec, const void *data, size_t size, size_t part)
{
    AUTO(str) Str stream = {0};
    compress_bytes(codec, data, size, &stream);
    assert_true(part < stream.length);
    write_bytes(path, stream.data, part ? part : stream.length);
}

#endif
