/* SPDX-License-Identifier: PostgreSQL
 * CRC-32C over buffers: with the instruction of SSE 4.2 where the processor has it, else by tables,
 * eight bytes at a time ("slicing by 8"). The tables are made at the first call that needs them, by
 * whichever thread comes first. Never allocates, cannot fail. */
#include "base/crc32c.h"

#include <endian.h>
#include <pthread.h>

static const uint32_t polynomial = 0x82F63B78; /* bits reversed */

static uint32_t tables[8][256];
static pthread_once_t tables_made = PTHREAD_ONCE_INIT;

static void
make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ polynomial : crc >> 1;
        tables[0][i] = crc;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++)
            tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xFF];
}

static inline uint64_t
load_u64(const unsigned char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return le64toh(value);
}

uint32_t
crc32c_portable(uint32_t crc_so_far, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint32_t crc = ~crc_so_far;

    pthread_once(&tables_made, make_tables);
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t word = load_u64(bytes) ^ crc;
        crc = 0;
        for (int i = 0; i < 8; i++)
            crc ^= tables[7 - i][word >> 8 * i & 0xFF];
    }
    for (; size > 0; bytes++, size--)
        crc = crc >> 8 ^ tables[0][(crc ^ *bytes) & 0xFF];
    return ~crc;
}

#ifdef __x86_64__

__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc_so_far, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t crc = ~crc_so_far;

    for (; size >= 8; bytes += 8, size -= 8)
        crc = __builtin_ia32_crc32di(crc, load_u64(bytes));
    for (; size > 0; bytes++, size--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *bytes);
    return ~(uint32_t)crc;
}

uint32_t
crc32c(uint32_t crc_so_far, const void *data, size_t size)
{
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc_so_far, data, size);
    return crc32c_portable(crc_so_far, data, size);
}

#else

uint32_t
crc32c(uint32_t crc_so_far, const void *data, size_t size)
{
    return crc32c_portable(crc_so_far, data, size);
}

#endif

/* Remainders are polynomials over one bit, the highest power in the lowest bit. */
static uint32_t
multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ polynomial : b >> 1;
    }
    return product;
}

/* Each byte that follows multiplies what was there by x^8; both checksums are inverted alike. */
uint32_t
crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size)
{
    uint32_t power = UINT32_C(1) << 23; /* x^8 */
    for (; second_size > 0; second_size >>= 1) {
        if (second_size & 1)
            first = multiply(power, first);
        power = multiply(power, power);
    }
    return first ^ second;
}
