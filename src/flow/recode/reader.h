/* SPDX-License-Identifier: PostgreSQL
 * Reading the plain contents of a file whatever it was compressed with, a block at a time. */
#ifndef WALDEN_FLOW_RECODE_READER_H
#define WALDEN_FLOW_RECODE_READER_H

#include "flow/recode/codec.h"

typedef struct Reader Reader;

/* Reads the open file from its current offset. class NULL or "none": as it is. custom is for the
 * class "custom" and may be NULL otherwise. Neither fd nor custom is owned; both must outlive the
 * reader. */
int reader_open(int fd, const CodecClass *class, const CustomCodec *custom, Reader **ret_reader);

/* The other way round: reads what the program that this class is (codec_is_program) makes of the
 * plain contents of the file. */
int reader_open_compressing(int fd, const CodecClass *class, int level, const CustomCodec *custom,
                            Reader **ret_reader);

/* Fills the buffer unless the contents end before: *ret_got < size means the end. A stream that is
 * damaged or cut off is ERR_DATA, told at the latest with the end. name is for messages. */
int reader_read(Reader *reader, void *buffer, size_t size, const char *name, size_t *ret_got);

/* May be called at any time. */
void reader_close(Reader *reader);
AUTO_DEFINE(reader, Reader *, reader_close)

/* Decompresses (or copies) everything from the file's current offset into the sink; the same
 * without a thread, for whoever wants the bytes pushed. Not for the class "custom". */
int decode_file(int fd, const CodecClass *class, const char *name, Sink *sink, void *context);

/* The same for any class. */
int decode_any(int fd, const CodecClass *class, const CustomCodec *custom, const char *name,
               Sink *sink, void *context);

#endif
