/* SPDX-License-Identifier: PostgreSQL
 * The registry of compression formats, and what is the same for all of them: finding one by name or
 * by the first bytes of a stream, the meaning of levels, and the calls that lead to a class's own
 * functions. Knows no format itself: each is one file here and one line below. */
#include "flow/recode/codec.h"

#include "base/str.h"
#include "flow/recode/coder.h"

/* In alphabetical order, which is the order of recognition too. */
static const CodecClass *const classes[] = {
    &codec_bzip2,   &codec_custom, &codec_gzip,   &codec_lz4, &codec_none, &codec_pigz,
    &codec_pybzip2, &codec_pygzip, &codec_snappy, &codec_xz,  &codec_zstd,
};

const CodecClass *
codec_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(classes); i++)
        if (strcmp(classes[i]->name, name) == 0)
            return classes[i];
    return NULL;
}

const CodecClass *const *
codec_all(size_t *ret_count)
{
    *ret_count = COUNT_OF(classes);
    return classes;
}

const CodecClass *
codec_recognise(const void *data, size_t size)
{
    for (size_t i = 0; i < COUNT_OF(classes); i++) {
        const CodecClass *class = classes[i];
        if (class->magic && !class->recognised_as && size >= class->magic_size &&
            memcmp(data, class->magic, class->magic_size) == 0)
            return class;
    }
    return NULL;
}

bool
codec_level(const CodecClass *class, const char *text, int *ret_level)
{
    int64_t level;
    if (!text || strcmp(text, "medium") == 0)
        level = class->level_medium;
    else if (strcmp(text, "low") == 0)
        level = class->level_low;
    else if (strcmp(text, "high") == 0)
        level = class->level_high;
    else if (!int_parse(text, INT64_MIN, INT64_MAX, &level))
        return false;
    if (level < class->level_min)
        level = class->level_min;
    if (level > class->level_max)
        level = class->level_max;
    *ret_level = (int)level;
    return true;
}

int
compressor_new(const CodecClass *class, int level, Coder **ret_coder)
{
    if (!class->compressor_new)
        return fail(ERR_UNSUPPORTED, "compression '%s' is done by a program only", class->name);
    assert(level >= class->level_min && level <= class->level_max);
    Coder *coder = NULL;
    TRY(class->compressor_new(level, &coder));
    coder->class = class;
    *ret_coder = coder;
    return 0;
}

int
decompressor_new(const CodecClass *class, Coder **ret_coder)
{
    if (!class->decompressor_new)
        return fail(ERR_UNSUPPORTED, "decompression of '%s' is done by a program only",
                    class->name);
    Coder *coder = NULL;
    TRY(class->decompressor_new(&coder));
    coder->class = class;
    *ret_coder = coder;
    return 0;
}

void
coder_free(Coder *coder)
{
    if (coder)
        coder->methods->free(coder);
}

int
coder_begin(Coder *coder, int64_t content_size, Sink *sink, void *context)
{
    coder->sink = sink;
    coder->sink_context = context;
    return coder->methods->begin(coder, content_size);
}

int
coder_push(Coder *coder, const void *data, size_t size)
{
    for (size_t done = 0, part; done < size; done += part) {
        part = size - done < PUSH_MAX ? size - done : PUSH_MAX;
        TRY(coder->methods->push(coder, (const char *)data + done, part));
    }
    return 0;
}

int
coder_finish(Coder *coder)
{
    return coder->methods->finish(coder);
}

int
coder_fail_early_end(const Coder *coder)
{
    return fail(ERR_DATA, "%s stream ends too early", coder->class->name);
}

int
coder_fail_damaged(const Coder *coder, const char *reason)
{
    return fail(ERR_DATA, "%s stream is damaged: %s", coder->class->name, reason);
}

int
coder_fail_unreadable(const Coder *coder, const char *reason)
{
    return fail(ERR_UNSUPPORTED, "%s stream cannot be read: %s", coder->class->name, reason);
}

int
coder_fail_compress(const Coder *coder, const char *reason)
{
    return fail(ERR_IO, "compress with %s: %s", coder->class->name, reason);
}

void *
coder_must(void *state)
{
    if (!state)
        mem_exhausted(0);
    return state;
}
