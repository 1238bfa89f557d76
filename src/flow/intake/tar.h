/* SPDX-License-Identifier: PostgreSQL
 * As much of the tar format as one file and its checksum need: regular files with short names, in
 * the forms ustar, GNU and pax. Pure functions. */
#ifndef WALDEN_FLOW_INTAKE_TAR_H
#define WALDEN_FLOW_INTAKE_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { TAR_BLOCK = 512, TAR_NAME_ROOM = 256, TAR_PIECE = 10240 };

typedef struct TarHeader {
    char name[TAR_NAME_ROOM]; /* a longer one is cut, which makes it no WAL file's all the more */
    int64_t size;             /* of the contents, which are padded to whole blocks */
    struct timespec mtime;
    char type; /* one of those below; any other is none that we take */
} TarHeader;

/* TAR_EXTENSION holds records for the next member, TAR_GLOBAL for all. */
enum { TAR_REGULAR = '0', TAR_EXTENSION = 'x', TAR_GLOBAL = 'g' };

/* A block of zeros, with which the stream ends, is TAR_END. ERR_DATA when it is no header. */
enum { TAR_END = 1 };
int tar_header_parse(const void *block, TarHeader *ret_header);

/* Applies the records of a TAR_EXTENSION to the header of the next member. ERR_DATA. */
int tar_extension_apply(const char *records, size_t size, TarHeader *header);

/* Both for a regular file: the records that a time with a fraction needs, "" when it needs none.
 * Room for TAR_BLOCK bytes. */
void tar_extension_format(const TarHeader *header, char *ret_records);

/* A header block. ERR_UNSUPPORTED for a name or a size that do not fit. */
int tar_header_format(const TarHeader *header, void *ret_block);

/* How many bytes of padding follow contents of that size. */
static inline size_t
tar_padding(int64_t size)
{
    return (size_t)(-size & (TAR_BLOCK - 1));
}

#endif
