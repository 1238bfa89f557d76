/* SPDX-License-Identifier: PostgreSQL
 * Compression formats. A Coder takes bytes by pushes of any size and hands its result to a sink, so
 * that nothing ever holds a whole segment; it is made once and used for many files.
 *
 * Every stream that we write is one that the format's own command-line tool reads, begins with the
 * format's magic, and carries a checksum of the content where the format has one. */
#ifndef WALDEN_FLOW_RECODE_CODEC_H
#define WALDEN_FLOW_RECODE_CODEC_H

#include "base/error.h"
#include "base/mem.h"
#include "base/sink.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Coder Coder;
typedef struct CodecClass CodecClass;

struct CodecClass {
    const char *name;     /* registry name: what the configuration and xlog.db say */
    const uint8_t *magic; /* first bytes of every stream; NULL: cannot be recognised */
    size_t magic_size;
    const CodecClass
        *recognised_as;       /* what a stream of it is taken for by its magic; NULL: itself */
    int level_min, level_max; /* both 0: levels are ignored */
    int level_low, level_medium, level_high;

    /* Makes the coder's state for compressing at this level, or for decompressing. NULL where only
     * a program can do that. */
    int (*compressor_new)(int level, Coder **ret_coder);
    int (*decompressor_new)(Coder **ret_coder);
};

/* What the classes' coders begin with. */
struct Coder {
    const CodecClass *class;
    const struct CoderMethods {
        int (*begin)(Coder *coder, int64_t content_size); /* new stream; -1: size unknown */
        int (*push)(Coder *coder, const void *data, size_t size);
        int (*finish)(Coder *coder); /* ERR_DATA when a stream to decompress ends too early */
        void (*free)(Coder *coder);
    } * methods;
    Sink *sink;
    void *sink_context;
};

/* The class of that name, or NULL. "none" is the class that copies. */
const CodecClass *codec_find(const char *name);

/* Every class, in alphabetical order of the names. */
const CodecClass *const *codec_all(size_t *ret_count);

/* Which codec wrote a stream that begins so; NULL: none of them. pigz and pygzip are recognised as
 * gzip, pybzip2 as bzip2. */
const CodecClass *codec_recognise(const void *data, size_t size);

/* Level for "low", "medium", "high" or a number, clamped to the codec's range; NULL is medium.
 * False if the text is none of these. */
bool codec_level(const CodecClass *class, const char *text, int *ret_level);

/* A coder for many streams, one after the other; for one thread at a time. Free with coder_free. A
 * compressor takes at most 16 MB at any level; a decompressor what the stream needs, within limits.
 * ERR_UNSUPPORTED where a program has to do it (codec_is_program) or a library is missing. */
int compressor_new(const CodecClass *class, int level, Coder **ret_coder);
int decompressor_new(const CodecClass *class, Coder **ret_coder);
void coder_free(Coder *coder);

/* One stream: begin, any number of pushes, finish. After a failure, begin starts afresh.
 * content_size is the plain size where it is known, else -1. Decompressing takes concatenated
 * streams; anything else behind the end of a stream, or a stream that ends too early, is ERR_DATA.
 * (A snappy stream has no end mark: cut between two of its chunks, it is taken for a whole one.)
 * What goes beyond our limits is ERR_UNSUPPORTED; a failure of the sink is answered as it is. */
int coder_begin(Coder *coder, int64_t content_size, Sink *sink, void *context);
int coder_push(Coder *coder, const void *data, size_t size);
int coder_finish(Coder *coder);

AUTO_DEFINE(coder, Coder *, coder_free)

/* What "custom" stands for at one server, and where programs are looked for. */
typedef struct CustomCodec {
    const char *compress; /* shell line: standard input to standard output; NULL: not configured */
    const char *decompress;
    const uint8_t *magic; /* NULL: not configured */
    size_t magic_size;
    bool presumed; /* without a magic: what the archive holds and nothing recognises is the filter's
                    */
    const char *path_prefix; /* before PATH, or NULL */
    int64_t timeout_ms;      /* after which a program that still runs is ended; 0: never */
    struct Keyring *keyring; /* for what is encrypted, see cipher.h; NULL: there is none */
} CustomCodec;

/* Codecs that are programs: "pigz" for compressing (decompressor_new works for it), "custom" for
 * both. Nothing is known here of the magic of "custom". */
bool codec_is_program(const CodecClass *class);

/* Runs the program from one open file to another (both from their current offset). A non-zero exit
 * is ERR_HOOK with the last line of its standard error; a filter of "custom" that is not configured
 * is ERR_CONFIG. custom may be NULL for pigz. Ends only with the program or when we are told to
 * stop. */
int program_recode(const CodecClass *class, bool compress, int level, const CustomCodec *custom,
                   int from_fd, int to_fd);

#endif
