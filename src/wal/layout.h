/* SPDX-License-Identifier: PostgreSQL
 * How WAL lies in a file: page headers and record headers as PostgreSQL 10 to 18 write them
 * (access/xlog_internal.h, access/xlogrecord.h). Only for the files of this folder. Numbers are
 * little-endian: WAL of a big-endian server does not have a magic that we know. */
#ifndef WALDEN_WAL_LAYOUT_H
#define WALDEN_WAL_LAYOUT_H

#include "wal/wal.h"

#include <endian.h>
#include <stddef.h>

enum {
    PAGE_SHORT_HEADER = 24, /* of every page but the first of a segment */
    PAGE_LONG_HEADER = 40,
    PAGE_SIZE_MIN = 1 << 10,
    PAGE_SIZE_MAX = 1 << 16,
};

/* Flags of a page header */
enum {
    PAGE_CONTINUES = 0x1,  /* begins with the rest of a record; its length is in the header */
    PAGE_LONG = 0x2,       /* has the long header */
    PAGE_REMOVABLE = 0x4,  /* backup blocks may be removed from the records here */
    PAGE_OVERWRITES = 0x8, /* the record before was never finished; a new one begins here */
    PAGE_FLAGS = 0xF,
};

typedef struct PageHeader {
    uint16_t magic;
    uint16_t flags;
    Timeline timeline;
    Lsn address;
    uint32_t rest;         /* bytes of the record that goes on here, on this page and later ones */
    uint64_t system_id;    /* this and those below: only in a long header, else 0 */
    uint32_t segment_size; /* bytes */
    uint32_t page_size;    /* bytes */
} PageHeader;

enum {
    RECORD_ALIGN = 8,
    RECORD_HEADER = 24,
    RECORD_PREV = 8, /* offsets in the header: start of the record before */
    RECORD_INFO = 16,
    RECORD_MANAGER = 17,
    RECORD_CRC = 20, /* over what follows the header, then the header up to here */
};

static inline uint16_t
load_u16(const unsigned char *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof(value));
    return le16toh(value);
}

static inline uint32_t
load_u32(const unsigned char *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return le32toh(value);
}

static inline uint64_t
load_u64(const unsigned char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return le64toh(value);
}

/* Reads the header at the start of a page; size >= PAGE_SHORT_HEADER. The fields of a long header
 * stay 0 if the page has none or is cut off before its end. Checks nothing. */
void page_header_read(const unsigned char *page, size_t size, PageHeader *ret_header);

#endif
