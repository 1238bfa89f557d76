/* SPDX-License-Identifier: PostgreSQL
 * What a file holds, whatever it was encrypted and compressed with. An encrypted file is decrypted
 * on the way, by a thread, and never lies anywhere. */
#ifndef WALDEN_FLOW_CONTENT_H
#define WALDEN_FLOW_CONTENT_H

#include "flow/custom.h"
#include "flow/recode/reader.h"

enum { CONTENT_HEAD = DECRYPTION_HEAD };

typedef struct Content {
    const char *name; /* of the WAL file */
    const CustomCodec *custom;
    int file;                  /* the stored file; not owned */
    const CipherClass *cipher; /* it is encrypted with this, or NULL */
    const CodecClass *class;   /* what is compressed with this, or NULL */
    char head[CONTENT_HEAD];   /* its first bytes under the encryption, as they are compressed */
    size_t head_size;
    int fd; /* to read them all from: the file, or a pipe; at the beginning */
    Decryption *decryption;
} Content;

#define CONTENT_NONE ((Content){.file = -1})

/* Looks at the open file from its beginning. ERR_CONFIG when it is encrypted and its key is not at
 * hand, ERR_UNSUPPORTED when a library or program for that is missing. name and custom must outlive
 * it. */
int content_open(int fd, const char *name, const CustomCodec *custom, Content *ret_content);

/* The same without decrypting: fd is the file itself, and class is NULL for an encrypted one. */
int content_open_stored(int fd, const char *name, const CustomCodec *custom, Content *ret_content);

/* Nothing says what it is: it is not encrypted, nor compressed, nor does it begin as a file of its
 * name. */
bool content_is_opaque(const Content *content);

/* Back to the beginning. */
int content_rewind(Content *content);

/* All of it, decrypted and decompressed, into the sink. Once. */
int content_decode(Content *content, Sink *sink, void *context);

/* All of it, decrypted but as it is compressed. Once. */
int content_copy(Content *content, Sink *sink, void *context);

/* To be called when everything was read, with what that came to: was it decrypted to its end? */
int content_finish(Content *content, int result);

/* May be called at any time. */
void content_close(Content *content);

static inline void
auto_content(Content *content)
{
    content_close(content);
}

/* Which codec wrote a file of this name that begins so: the site's custom magic goes before the
 * known ones. */
const CodecClass *
recognise(const CustomCodec *custom, const char *name, const void *head, size_t size);

#endif
