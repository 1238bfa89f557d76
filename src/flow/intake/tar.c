/* SPDX-License-Identifier: PostgreSQL
 * Headers of tar streams. A library that reads all there is in the way of archives brings a dozen
 * others along, which would cost every call of put-wal more than its file does. Whatever is not
 * understood here is refused. */
#include "flow/intake/tar.h"

#include "base/error.h"
#include "base/str.h"

typedef struct Block {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
} Block;

_Static_assert(sizeof(Block) == TAR_BLOCK, "a tar header is one block");

static const char ustar[6] = "ustar";

/* Octal digits between blanks; or, by GNU, a binary number behind a byte of 0x80. */
static bool
parse_number(const char *field, size_t size, int64_t *ret_value)
{
    int64_t value = 0;
    size_t at = 0, digits = 0;
    if ((unsigned char)field[0] == 0x80) {
        for (at = 1; at < size; at++) {
            if (value >> 54)
                return false;
            value = value << 8 | (unsigned char)field[at];
        }
        *ret_value = value;
        return true;
    }
    while (at < size && field[at] == ' ')
        at++;
    for (; at < size && field[at] >= '0' && field[at] <= '7'; at++, digits++)
        value = value << 3 | (field[at] - '0');
    for (; at < size; at++)
        if (field[at] != ' ' && field[at] != '\0')
            return false;
    *ret_value = value; /* at most 12 digits */
    return digits > 0;
}

/* Of all bytes, with blanks where the sum itself stands */
static int64_t
sum_of(const Block *block)
{
    const unsigned char *bytes = (const unsigned char *)block;
    int64_t sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= offsetof(Block, sum) && i < offsetof(Block, type) ? ' ' : bytes[i];
    return sum;
}

int
tar_header_parse(const void *data, TarHeader *ret_header)
{
    const Block *block = data;
    TarHeader header = {.type = TAR_REGULAR};
    int64_t sum = 0, mtime = 0;
    bool zeros = block->name[0] == 0 && memcmp(data, (const char *)data + 1, TAR_BLOCK - 1) == 0;
    if (zeros)
        return TAR_END;
    if (!parse_number(block->sum, sizeof(block->sum), &sum) || sum != sum_of(block))
        return fail(ERR_DATA, "there is no header where one should be");
    if (!parse_number(block->size, sizeof(block->size), &header.size))
        return fail(ERR_DATA, "a header has no size that can be read");
    if (parse_number(block->mtime, sizeof(block->mtime), &mtime))
        header.mtime.tv_sec = mtime;
    bool prefixed = memcmp(block->magic, ustar, sizeof(ustar)) == 0 && block->prefix[0];
    snprintf(header.name, sizeof(header.name), "%.*s%s%.*s",
             prefixed ? (int)sizeof(block->prefix) : 0, block->prefix, prefixed ? "/" : "",
             (int)sizeof(block->name), block->name);
    if (block->type)
        header.type = block->type;
    *ret_header = header;
    return 0;
}

/* Seconds with up to nine digits behind the point; what follows them is cut off. */
static bool
parse_time(const char *text, struct timespec *ret_time)
{
    char *end = NULL;
    if (*text < '0' || *text > '9')
        return false;
    struct timespec time = {.tv_sec = strtoll(text, &end, 10)};
    if (*end == '.') {
        long unit = 100000000;
        for (end++; *end >= '0' && *end <= '9'; end++, unit /= 10)
            time.tv_nsec += (*end - '0') * unit;
    }
    *ret_time = time;
    return *end == '\0';
}

static bool
apply(const char *key, const char *value, TarHeader *header)
{
    if (strcmp(key, "path") == 0)
        snprintf(header->name, sizeof(header->name), "%s", value);
    else if (strcmp(key, "size") == 0)
        return int_parse(value, 0, INT64_MAX, &header->size);
    else if (strcmp(key, "mtime") == 0)
        return parse_time(value, &header->mtime);
    else if (str_starts(key, "GNU.sparse.") || strcmp(key, "linkpath") == 0)
        header->type = '?';
    return true;
}

int
tar_extension_apply(const char *records, size_t size, TarHeader *header)
{
    while (size > 0) {
        /* "<length of all this> <key>=<value>\n" */
        size_t digits = 0, length = 0;
        for (; digits < size && digits < 6 && records[digits] >= '0' && records[digits] <= '9';
             digits++)
            length = length * 10 + (size_t)(records[digits] - '0');
        if (length > size || length < digits + 2 || records[digits] != ' ' ||
            records[length - 1] != '\n')
            return fail(ERR_DATA, "an extended header is damaged");
        AUTO(free)
        char *record = mem_printf("%.*s", (int)(length - digits - 2), records + digits + 1);
        char *value = strchr(record, '=');
        if (!value || strlen(record) != length - digits - 2)
            return fail(ERR_DATA, "an extended header is damaged");
        *value++ = '\0';
        if (!apply(record, value, header))
            return fail(ERR_DATA, "an extended header has a %s of '%.40s'", record, value);
        records += length;
        size -= length;
    }
    return 0;
}

void
tar_extension_format(const TarHeader *header, char *ret_records)
{
    char text[64];
    ret_records[0] = '\0';
    if (header->mtime.tv_nsec == 0 || header->mtime.tv_sec < 0)
        return;
    int length = snprintf(text, sizeof(text), " mtime=%lld.%09ld\n",
                          (long long)header->mtime.tv_sec, header->mtime.tv_nsec);
    snprintf(ret_records, TAR_BLOCK, "%d%s", length + 2, text);
}

int
tar_header_format(const TarHeader *header, void *ret_block)
{
    Block block = {.type = header->type, .mode = "0000644", .uid = "0000000", .gid = "0000000"};
    if (strlen(header->name) >= sizeof(block.name) || header->size >> 33 ||
        header->mtime.tv_sec >> 33)
        return fail(ERR_UNSUPPORTED, "'%s' cannot be sent: its name, size or time is too large",
                    header->name);
    snprintf(block.name, sizeof(block.name), "%s", header->name);
    snprintf(block.size, sizeof(block.size), "%011llo", (unsigned long long)header->size);
    snprintf(block.mtime, sizeof(block.mtime), "%011llo", (unsigned long long)header->mtime.tv_sec);
    memcpy(block.magic, ustar, sizeof(ustar));
    memcpy(block.version, "00", sizeof(block.version));
    snprintf(block.sum, sizeof(block.sum), "%06llo", (unsigned long long)sum_of(&block));
    block.sum[7] = ' ';
    memcpy(ret_block, &block, sizeof(block));
    return 0;
}
