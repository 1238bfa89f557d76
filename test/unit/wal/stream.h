/* SPDX-License-Identifier: PostgreSQL
 * WAL with records in it that are valid, across segments. */
#ifndef WALDEN_TEST_STREAM_H
#define WALDEN_TEST_STREAM_H

#include "../unit.h"
#include "base/crc32c.h"
#include "pages.h"

/* WAL of several segments as a server writes it. */
enum { SEGMENTS = 5, FIRST = 3, START = FIRST * TEST_SEGMENT, SIZE = SEGMENTS * TEST_SEGMENT };

typedef struct Stream {
    unsigned char *data;
    size_t at;
    uint64_t previous; /* start of the record before */
    uint32_t left;     /* of the record that is put */
} Stream;

static inline void
put_header(Stream *stream, unsigned flags)
{
    bool is_long = stream->at % TEST_SEGMENT == 0;
    flags |= (is_long ? 2 : 0) | (stream->left ? 1 : 0);
    put_page_header(stream->data + stream->at, flags, 1, START + stream->at, stream->left);
    stream->at += is_long ? 40 : 24;
}

static inline size_t
put_record(Stream *stream, uint32_t length, uint8_t manager, uint8_t info)
{
    AUTO(free) unsigned char *record = mem_alloc(length);
    if (stream->at % TEST_PAGE == 0)
        put_header(stream, 0);
    size_t offset = stream->at;
    put(record, length, 4);
    put(record + 8, stream->previous, 8);
    record[16] = info;
    record[17] = manager;
    for (uint32_t i = 24; i < length; i++)
        record[i] = (unsigned char)(i * 7 + length);
    put(record + 20, crc32c(crc32c(0, record + 24, length - 24), record, 20), 4);
    for (uint32_t i = 0; i < length && stream->at < SIZE; i++) {
        stream->left = length - i;
        if (stream->at % TEST_PAGE == 0)
            put_header(stream, 0);
        stream->data[stream->at++] = record[i];
    }
    stream->left = 0;
    stream->at = (stream->at + 7) & ~(size_t)7;
    stream->previous = START + offset;
    return offset;
}

/* Records up to `rest` bytes before the end of segment number `segment`. */
static inline void
fill(Stream *stream, size_t segment, size_t rest)
{
    size_t end = (segment + 1) * TEST_SEGMENT - rest;
    while (end - stream->at > 8000)
        put_record(stream, 100 + (uint32_t)stream->at % 3001, 10, 0);
    size_t left = end - stream->at, page = TEST_PAGE - stream->at % TEST_PAGE;
    if (left > page)
        left -= 24; /* the page header on the way */
    if (left > 0)
        put_record(stream, (uint32_t)left, 10, 0);
    assert_int_equal(stream->at, end);
}

/* The first border is crossed by a record's header with `rest` bytes before it, the second to
 * fourth by one record. */
static inline Stream
make_stream(size_t rest)
{
    Stream stream = {.data = mem_alloc(SIZE), .previous = START - 800};
    put_header(&stream, 0);
    fill(&stream, 0, rest);
    put_record(&stream, 64, 10, 0);
    fill(&stream, 1, 5000);
    put_record(&stream, 2 * TEST_SEGMENT + 9000, 10, 0);
    fill(&stream, 4, 0);
    return stream;
}

#endif
