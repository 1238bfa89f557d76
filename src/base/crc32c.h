/* SPDX-License-Identifier: PostgreSQL
 * CRC-32C (Castagnoli), as in WAL records and the snappy framing format. */
#ifndef WALDEN_BASE_CRC32C_H
#define WALDEN_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of all the bytes so far and these; crc_so_far is that of the bytes before, 0 when
 * there are none. Takes and returns the finished value: crc32c(0, "123456789", 9) is 0xE3069283. */
uint32_t crc32c(uint32_t crc_so_far, const void *data, size_t size);

/* The checksum of bytes that were checked in two parts: of the first, of the second alone (from 0),
 * and how many bytes the second has. */
uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size);

/* The same as crc32c without the processor's instruction; only for tests to compare the two. */
uint32_t crc32c_portable(uint32_t crc_so_far, const void *data, size_t size);

#endif
