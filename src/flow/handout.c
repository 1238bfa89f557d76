/* SPDX-License-Identifier: PostgreSQL
 * What leaves here with success is whole: the stored stream was decoded to its end and its
 * checksums were right, a segment's header agrees with its name, and its length with its header. A
 * partial segment is filled up with zeros to full size, which is what PostgreSQL expects behind its
 * end. */
#include "flow/handout.h"

#include "base/file.h"
#include "flow/content.h"
#include "flow/gate.h"

#include <errno.h>

enum { BLOCK = 256 << 10 };

typedef struct Handout {
    const Retrieval *what;
    const char *path;
    int fd;         /* to write to */
    Coder *coder;   /* compresses for the client, or NULL */
    bool partial;   /* the file found is a partial segment */
    bool checking;  /* nothing is written */
    int64_t size;   /* plain bytes so far */
    WalFacts facts; /* of the segment; segment_size 0: not known */
    bool *written;
} Handout;

static int
write_out(void *context, const void *data, size_t size)
{
    const Handout *out = context;
    if (size == 0 || out->checking)
        return 0;
    *out->written = true;
    return file_write(out->fd, data, size,
                      out->what->directory ? out->what->directory : "standard output");
}

/* The head of the plain contents, before anything is written. */
static int
check_head(Handout *out, const void *data, size_t size)
{
    WalName name;
    char reason[WAL_REASON_ROOM];
    wal_name_parse(out->what->name, &name);
    bool checked = strcmp(out->what->server->wal_validation, "off") != 0;
    if (name.kind != WAL_SEGMENT && name.kind != WAL_PARTIAL)
        return 0;
    switch (wal_header_check(data, size, &name, &out->facts, reason)) {
    case WAL_HEADER_FOREIGN:
        out->facts = (WalFacts){0};
        if (checked)
            return hint(fail(ERR_DATA, "'%s' is not what its name says: %s", out->path, reason),
                        "look for another copy of this file");
        break;
    case WAL_HEADER_TOO_SHORT:
        return out->partial ? 0 : HANDOUT_ARRIVING;
    case WAL_HEADER_UNKNOWN:
    case WAL_HEADER_FITS:
        break;
    }
    return 0;
}

/* Plain contents, from the stored file's decoder */
static int
take_plain(void *context, const void *data, size_t size)
{
    Handout *out = context;
    if (out->size == 0 && size > 0) {
        int result = check_head(out, data, size);
        if (result == HANDOUT_ARRIVING)
            return fail(ERR_DATA, "'%s' is only %zu bytes long", out->path, size);
        TRY(result);
    }
    out->size += (int64_t)size;
    return out->coder ? coder_push(out->coder, data, size) : write_out(out, data, size);
}

static int
fill_with_zeros(Handout *out)
{
    AUTO(free) char *zeros = mem_alloc(BLOCK);
    while (out->size < out->facts.segment_size) {
        int64_t left = out->facts.segment_size - out->size;
        size_t piece = left < BLOCK ? (size_t)left : BLOCK;
        TRY(take_plain(out, zeros, piece));
    }
    return 0;
}

static int
finish(Handout *out)
{
    bool stand_in = out->partial && wal_kind(out->what->name) == WAL_SEGMENT;
    if (out->facts.segment_size && stand_in)
        TRY(fill_with_zeros(out));
    if (out->facts.segment_size && out->size != out->facts.segment_size &&
        (stand_in || !out->partial) && strcmp(out->what->server->wal_validation, "off") != 0)
        return hint(fail(ERR_DATA, "'%s' holds %lld bytes of WAL, and its header says %u",
                         out->path, (long long)out->size, out->facts.segment_size),
                    "look for another copy of this file");
    if (out->what->ret_segment_size)
        *out->what->ret_segment_size = out->facts.segment_size;
    return out->coder ? coder_finish(out->coder) : 0;
}

/* What goes out as it is stored is read through before: the client may be unable to tell that it is
 * damaged. */
static int
check_stored(const Handout *out, Content *content)
{
    Handout check = *out;
    check.checking = true;
    TRY(content_decode(content, take_plain, &check));
    TRY(finish(&check));
    return content_rewind(content);
}

static int
convert(Handout *out, Content *content)
{
    const CodecClass *class = content->class;
    const char *wanted = out->what->compress;
    bool as_stored = out->what->keep_compression ||
                     (wanted && class && strcmp(class->name, wanted) == 0 && !out->partial);
    if (as_stored && class && (!codec_is_program(class) || content->custom->decompress))
        TRY(check_stored(out, content));
    if (as_stored)
        return content_copy(content, write_out, out);
    AUTO(coder) Coder *coder = NULL;
    if (wanted) {
        const CodecClass *codec = codec_find(wanted);
        int level = codec->level_medium;
        const char *text = out->what->server->compression_level;
        if (text)
            codec_level(codec, text, &level);
        TRY(compressor_new(codec, level, &coder));
        TRY(coder_begin(coder, -1, write_out, out));
        out->coder = coder;
    }
    TRY(content_decode(content, take_plain, out));
    return finish(out);
}

/* A raw file that is not whole is told apart before anything is written. What is encrypted has been
 * archived, and was whole then. */
static int
check_whole(Handout *out, const Content *content)
{
    struct stat st;
    if (fstat(content->file, &st) < 0)
        return fail_errno("stat '%s'", out->path);
    if (st.st_size == 0 && !out->partial)
        return HANDOUT_ARRIVING;
    int result = check_head(out, content->head, content->head_size);
    if (result != 0)
        return result;
    return out->facts.segment_size && st.st_size < out->facts.segment_size && !out->partial &&
                   !content->cipher
               ? HANDOUT_ARRIVING
               : 0;
}

/* A partial segment into which no WAL was written yet, made longer beforehand or not, has nothing
 * to stand in with: PostgreSQL gives up over a file that is too short. */
static bool
holds_no_wal(const Content *content)
{
    size_t zeros = 0;
    while (zeros < content->head_size && zeros < WAL_LONG_HEADER_SIZE && content->head[zeros] == 0)
        zeros++;
    return content->head_size < WAL_LONG_HEADER_SIZE || zeros == WAL_LONG_HEADER_SIZE;
}

/* "As it is stored" means without the encryption, as Barman has it, where the configuration says
 * how to decrypt; else the caller has to do it. */
static int
open_content(const Handout *out, const CustomCodec *custom, int fd, Content *ret_content)
{
    const char *name = strrchr(out->path, '/') + 1;
    TRY(wrap(content_open_stored(fd, name, custom, ret_content), "'%s'", out->path));
    const CipherClass *cipher = ret_content->cipher;
    if (!cipher || (out->what->keep_compression && !cipher->can_decrypt(custom->keyring)))
        return 0;
    return wrap(content_open(fd, name, custom, ret_content), "'%s'", out->path);
}

/* The site's archive_command may encrypt, too, before our own encryption or without it. */
static int
check_readable(const Handout *out, const Content *content)
{
    if (out->facts.magic || out->what->keep_compression ||
        !cipher_recognise(content->head, content->head_size))
        return 0;
    return hint(fail(ERR_UNSUPPORTED, "'%s' was encrypted before it was archived", out->path),
                "get it with --keep-compression, and decrypt it");
}

int
handout(const Retrieval *what, const CustomCodec *custom, int fd, const char *path, bool *written)
{
    AUTO(content) Content content = CONTENT_NONE;
    bool to_file = false;
    Handout out = {.what = what,
                   .path = path,
                   .fd = what->fd,
                   .partial = str_ends(path, ".partial"),
                   .written = what->directory ? &to_file : written};
    TRY(open_content(&out, custom, fd, &content));
    bool plain = !content.class;
    if (plain && out.partial && wal_kind(what->name) == WAL_SEGMENT && holds_no_wal(&content))
        return RETRIEVE_MISSING;
    if (plain) {
        int result = check_whole(&out, &content);
        if (result != 0)
            return result;
        TRY(check_readable(&out, &content));
        out.facts = (WalFacts){0};
    }
    if (!what->directory)
        return convert(&out, &content);

    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    TRY(atomic_open(what->directory, what->name, 0666, &file));
    out.fd = file.fd;
    TRY(convert(&out, &content));
    return atomic_replace(&file);
}
