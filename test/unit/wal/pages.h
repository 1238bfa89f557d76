/* SPDX-License-Identifier: PostgreSQL
 * Makes WAL as a server would, so that the tests need no files. Little-endian only. */
#ifndef WALDEN_TEST_PAGES_H
#define WALDEN_TEST_PAGES_H

#include <stdint.h>
#include <string.h>

static inline void
put(unsigned char *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

enum { TEST_MAGIC = 0xD110, TEST_PAGE = 8192, TEST_SEGMENT = 1 << 20 };

/* A page header of PostgreSQL 15 with segments of 1 MiB; long if flags have 2. */
static inline void
put_page_header(unsigned char *page, unsigned flags, uint32_t timeline, uint64_t address,
                uint32_t rest)
{
    put(page, TEST_MAGIC, 2);
    put(page + 2, flags, 2);
    put(page + 4, timeline, 4);
    put(page + 8, address, 8);
    put(page + 16, rest, 8);
    if (flags & 2) {
        put(page + 24, 0x1122334455667788, 8);
        put(page + 32, TEST_SEGMENT, 4);
        put(page + 36, TEST_PAGE, 4);
    }
}

#endif
