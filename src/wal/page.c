/* SPDX-License-Identifier: PostgreSQL
 * What the first bytes of a segment say about it. Every segment passes here on its way into the
 * archive, so that a file that stands under another's name is not taken for good. Looks at the
 * bytes it is given and at nothing else; never decides what happens to the file. */
#include "wal/page.h"

#include "wal/layout.h"

#include <assert.h>

static_assert((int)WAL_LONG_HEADER_SIZE == (int)PAGE_LONG_HEADER, "the long page header");

static const struct {
    uint16_t magic;
    int major;
} versions[] = {
    {0xD097, 10}, {0xD098, 11}, {0xD101, 12}, {0xD106, 13}, {0xD10D, 14},
    {0xD110, 15}, {0xD113, 16}, {0xD116, 17}, {0xD118, 18},
};

/* The PostgreSQL version that writes this magic, 0 if we know of none. */
static int
major_of(uint16_t magic)
{
    for (size_t i = 0; i < COUNT_OF(versions); i++)
        if (versions[i].magic == magic)
            return versions[i].major;
    return 0;
}

void
page_header_read(const unsigned char *page, size_t size, PageHeader *ret_header)
{
    assert(size >= PAGE_SHORT_HEADER);
    *ret_header = (PageHeader){
        .magic = load_u16(page),
        .flags = load_u16(page + 2),
        .timeline = load_u32(page + 4),
        .address = load_u64(page + 8),
        .rest = load_u32(page + 16),
    };
    if ((ret_header->flags & PAGE_LONG) && size >= PAGE_LONG_HEADER) {
        ret_header->system_id = load_u64(page + 24);
        ret_header->segment_size = load_u32(page + 32);
        ret_header->page_size = load_u32(page + 36);
    }
}

#define REASON(...) (snprintf(ret_reason, WAL_REASON_ROOM, __VA_ARGS__), WAL_HEADER_FOREIGN)

static WalHeaderVerdict
check_sizes(const PageHeader *header, char *ret_reason)
{
    uint32_t page_size = header->page_size;

    if (!wal_segment_size_valid(header->segment_size))
        return REASON("its page header gives a segment size of %u bytes, which is none",
                      header->segment_size);
    if (page_size < PAGE_SIZE_MIN || page_size > PAGE_SIZE_MAX || (page_size & (page_size - 1)))
        return REASON("its page header gives a page size of %u bytes, which is none", page_size);
    return WAL_HEADER_FITS;
}

static WalHeaderVerdict
check_place(const PageHeader *header, const WalName *name, char *ret_reason)
{
    Lsn start;
    char here[LSN_ROOM], there[LSN_ROOM];

    if (header->timeline == 0 || header->timeline > name->timeline)
        return REASON("its first page is of timeline %u, the name says %u", header->timeline,
                      name->timeline);
    lsn_format(header->address, here);
    if (!wal_segment_start(name, header->segment_size, &start))
        return REASON("its first page has the address %s, and there is no segment number %08X with "
                      "segments of %u bytes",
                      here, name->seg, header->segment_size);
    lsn_format(start, there);
    if (header->address != start)
        return REASON("its first page has the address %s, the name says %s", here, there);
    return WAL_HEADER_FITS;
}

WalHeaderVerdict
wal_header_check(const void *data, size_t size, const WalName *name, WalFacts *ret_facts,
                 char *ret_reason)
{
    PageHeader header;

    assert(name->kind == WAL_SEGMENT || name->kind == WAL_PARTIAL);
    if (size >= sizeof(uint16_t) && major_of(load_u16(data)) == 0)
        return WAL_HEADER_UNKNOWN;
    if (size < PAGE_LONG_HEADER)
        return WAL_HEADER_TOO_SHORT;
    page_header_read(data, size, &header);
    if (!(header.flags & PAGE_LONG) || (header.flags & ~PAGE_FLAGS))
        return REASON("its page header has the flags %04X, not those of a first page",
                      header.flags);
    WalHeaderVerdict verdict = check_sizes(&header, ret_reason);
    if (verdict == WAL_HEADER_FITS)
        verdict = check_place(&header, name, ret_reason);
    if (verdict == WAL_HEADER_FITS)
        *ret_facts = (WalFacts){
            .magic = header.magic,
            .major = major_of(header.magic),
            .timeline = header.timeline,
            .system_id = header.system_id,
            .segment_size = header.segment_size,
            .page_size = header.page_size,
        };
    return verdict;
}

bool
wal_is_zero(const void *data, size_t size)
{
    const char *bytes = data;
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}
