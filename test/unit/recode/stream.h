/* SPDX-License-Identifier: PostgreSQL
 * Contents to compress, and streams from one Str to another. */
#ifndef WALDEN_TEST_RECODE_STREAM_H
#define WALDEN_TEST_RECODE_STREAM_H

#include "../unit.h"

#include "base/str.h"
#include "flow/recode/codec.h"

static inline int
stream_sink(void *context, const void *data, size_t size)
{
    str_append_part(context, data, size);
    return 0;
}

/* All of input, by pushes of that size, replaces what was in output. */
static inline int
stream_run(Coder *coder, const Str *input, size_t piece, int64_t content_size, Str *output)
{
    str_clear(output);
    TRY(coder_begin(coder, content_size, stream_sink, output));
    for (size_t done = 0, part; done < input->length; done += part) {
        part = input->length - done < piece ? input->length - done : piece;
        TRY(coder_push(coder, input->data + done, part));
    }
    return coder_finish(coder);
}

static inline uint32_t
stream_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static inline void
content_zeros(Str *str, size_t size)
{
    AUTO(free) char *zeros = mem_alloc(size);
    str_append_part(str, zeros, size);
}

static inline void
content_random(Str *str, size_t size)
{
    for (uint32_t seed = 4711; str->length < size;) {
        char byte = (char)stream_random(&seed);
        str_append_part(str, &byte, 1);
    }
}

/* Compresses about as well as text does. */
static inline void
content_text(Str *str, size_t size)
{
    static const char *const words[] = {"checkpoint", "segment", "timeline", "record", "of", "the"};
    uint32_t seed = 42;
    while (str->length < size)
        str_appendf(str, "%s %u ", words[stream_random(&seed) % COUNT_OF(words)],
                    stream_random(&seed) % 1000);
}

static inline void
assert_same(const Str *got, const Str *expected, const char *what, size_t piece)
{
    if (got->length != expected->length ||
        (got->length && memcmp(got->data, expected->data, got->length) != 0))
        fail_msg("%s: %zu bytes by pieces of %zu came back as other %zu", what, expected->length,
                 piece, got->length);
}

#endif
