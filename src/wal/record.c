/* SPDX-License-Identifier: PostgreSQL
 * Follows the records through one segment (wal_validation = full): every page header, every link
 * back to the record before, every CRC. Fed piecewise while the segment is on its way to the
 * archive. Works on the caller's bytes where a page lies in them whole, else on a copy of that
 * page. Never interprets what a record is about, but for the segment switch, after which nothing
 * comes.
 *
 * WAL may break off in a partial file: the server died, or a recycled segment was not yet written
 * over. Its first fault is therefore taken for the end of WAL, as in the server's own recovery,
 * unless a later page proves that WAL went on. */
#include "wal/layout.h"
#include "wal/page.h"

#include "base/crc32c.h"
#include "base/error.h"
#include "base/mem.h"

#include <stdarg.h>

enum { RECORD_SWITCH = 0x40, RECORD_INFO_MASK = 0xF0 }; /* of the resource manager 0, XLOG */

struct WalChecker {
    WalName name;
    WalFacts facts;
    Lsn start; /* of the segment */
    Lsn here;  /* of the next page to be checked */
    Timeline timeline;
    size_t have; /* bytes of the next page that wait in page[] */

    Lsn record;        /* start of the record that is being read */
    uint32_t left;     /* its bytes that are still to come; 0: between records */
    bool whole;        /* it began in this segment, so that it can be checked */
    uint32_t seen;     /* bytes of its header in header[] */
    uint32_t crc;      /* of its body so far */
    Lsn previous;      /* start of the last record before it... */
    bool has_previous; /* ...if there was one in this segment */
    Lsn sound;         /* end of the last record that is whole */
    WalBorder border;  /* its fields for the beginning of the segment */
    bool ended;        /* no record follows: a segment switch, or the end of a partial */
    bool faulty;       /* it ended with this fault */
    Error fault;
    unsigned char header[RECORD_HEADER];
    unsigned char page[];
};

static bool
is_switch(uint8_t info, uint8_t manager)
{
    return manager == 0 && (info & RECORD_INFO_MASK) == RECORD_SWITCH;
}

/* Records a fault "WHAT at LSN REASON". */
static int fault_at(const char *what, Lsn lsn, const char *format, ...) PRINTF_LIKE(3, 4);

static int
fault_at(const char *what, Lsn lsn, const char *format, ...)
{
    char reason[WAL_REASON_ROOM], text[LSN_ROOM];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    lsn_format(lsn, text);
    return fail(ERR_DATA, "%s at %s %s", what, text, reason);
}

/* Pages */

static size_t
header_size(const WalChecker *checker)
{
    return checker->here == checker->start ? PAGE_LONG_HEADER : PAGE_SHORT_HEADER;
}

static int
check_page_header(WalChecker *checker, const unsigned char *page, PageHeader *ret_header)
{
    PageHeader header = {0};
    Lsn here = checker->here;
    bool is_first = here == checker->start;

    page_header_read(page, header_size(checker), &header);
    if (header.magic != checker->facts.magic)
        return fault_at("page", here, "has the magic number %04X instead of %04X", header.magic,
                        checker->facts.magic);
    if ((header.flags & ~PAGE_FLAGS) || is_first != !!(header.flags & PAGE_LONG))
        return fault_at("page", here, "has impossible flags %04X", header.flags);
    if (header.address != here) {
        char address[LSN_ROOM];
        lsn_format(header.address, address);
        return fault_at("page", here, "has the address %s", address);
    }
    if (header.timeline < checker->timeline || header.timeline > checker->name.timeline)
        return fault_at("page", here, "is of timeline %u, which must be %u to %u", header.timeline,
                        checker->timeline, checker->name.timeline);
    if (!(header.flags & PAGE_CONTINUES) != (header.rest == 0))
        return fault_at("page", here, "has the flags %04X and %u bytes of a record going on",
                        header.flags, header.rest);
    checker->timeline = header.timeline;
    *ret_header = header;
    return 0;
}

/* Does the page go on with the record that the page before left unfinished? */
static int
check_continuation(WalChecker *checker, const PageHeader *header)
{
    if (checker->here == checker->start) {
        checker->left = header->rest;
        checker->whole = false;
        checker->border.rest = header->rest;
        checker->border.overwrites = header->flags & PAGE_OVERWRITES;
    } else if (checker->left > 0 && (header->flags & PAGE_OVERWRITES)) {
        /* A crash cut the record short; the server notes that and begins a new one here, which
         * links to the record before. */
        checker->left = 0;
    }
    if (header->rest != checker->left)
        return fault_at("page", checker->here,
                        "begins with %u bytes of a record going on instead of %u", header->rest,
                        checker->left);
    return 0;
}

/* A page after the last record. */
static int
check_page_after_end(WalChecker *checker, const unsigned char *page, size_t size)
{
    size_t header_end = header_size(checker);
    PageHeader header = {0};

    if (wal_is_zero(page, size))
        return 0;
    if (size < header_end)
        return checker->faulty ? 0 : fault_at("page", checker->here, "is cut off");
    bool is_next = check_page_header(checker, page, &header) == 0;
    if (is_next && header.rest == 0 && wal_is_zero(page + header_end, size - header_end))
        return 0;
    if (checker->faulty && is_next) {
        error_restore(&checker->fault);
        return -1;
    }
    if (checker->name.kind == WAL_PARTIAL && !is_next)
        return 0; /* left over from when the segment had another number */
    return is_next ? fault_at("page", checker->here, "has records after a segment switch") : -1;
}

/* Records */

/* A record that began in a segment before goes on: what is needed to check it from there. */
static void
tail_feed(WalBorder *border, const unsigned char *data, size_t size)
{
    size_t lead = border->taken < WAL_LEAD_SIZE ? WAL_LEAD_SIZE - border->taken : 0;
    if (lead > size)
        lead = size;
    memcpy(border->lead + (lead ? border->taken : 0), data, lead);
    border->tail_crc = crc32c(border->tail_crc, data + lead, size - lead);
    border->taken += (uint32_t)size;
}

/* The record's header is complete. */
static int
check_link(const WalChecker *checker)
{
    Lsn previous = load_u64(checker->header + RECORD_PREV);
    bool fits = checker->has_previous ? previous == checker->previous : previous < checker->start;

    if (fits)
        return 0;
    char text[LSN_ROOM], expected[LSN_ROOM];
    lsn_format(previous, text);
    lsn_format(checker->previous, expected);
    if (checker->has_previous)
        return fault_at("record", checker->record, "links back to %s instead of %s", text,
                        expected);
    return fault_at("record", checker->record, "is the first of the segment, yet links back to %s",
                    text);
}

static int
check_crc(const WalChecker *checker)
{
    uint32_t expected = load_u32(checker->header + RECORD_CRC);
    uint32_t crc = crc32c(checker->crc, checker->header, RECORD_CRC);

    if (crc != expected)
        return fault_at("record", checker->record, "has the CRC %08X instead of %08X", crc,
                        expected);
    return 0;
}

static int
record_begin(WalChecker *checker, Lsn lsn, const unsigned char *data)
{
    uint32_t length = load_u32(data);

    if (length == 0) {
        int result = fault_at("record", lsn, "is missing: the segment breaks off there");
        return hint(result,
                    "the file was not complete when it was copied; or a cascading standby with "
                    "archive_mode = always sent the last segment of a timeline that ended");
    }
    if (length < RECORD_HEADER)
        return fault_at("record", lsn, "has an impossible length of %u bytes", length);
    checker->record = lsn;
    checker->left = length;
    checker->whole = true;
    checker->seen = 0;
    checker->crc = 0;
    return 0;
}

/* The next bytes of the record, all on one page. */
static int
record_feed(WalChecker *checker, const unsigned char *data, size_t size)
{
    if (checker->seen < RECORD_HEADER) {
        size_t part = RECORD_HEADER - checker->seen;
        if (part > size)
            part = size;
        memcpy(checker->header + checker->seen, data, part);
        checker->seen += (uint32_t)part;
        data += part;
        size -= part;
        if (checker->seen < RECORD_HEADER)
            return 0;
        TRY(check_link(checker));
        if (checker->border.first_record == 0) {
            checker->border.first_record = checker->record;
            checker->border.first_link = load_u64(checker->header + RECORD_PREV);
        }
    }
    checker->crc = crc32c(checker->crc, data, size);
    return 0;
}

/* The record that ends at data is complete; rest bytes of the page follow it. */
static int
record_end(WalChecker *checker, const unsigned char *data, size_t rest)
{
    if (checker->whole) {
        TRY(check_crc(checker));
        checker->previous = checker->record;
        checker->has_previous = true;
        checker->ended = is_switch(checker->header[RECORD_INFO], checker->header[RECORD_MANAGER]);
    }
    if (checker->ended && !wal_is_zero(data, rest))
        return fault_at("record", checker->record, "switches the segment, yet data follow it");
    return 0;
}

/* The record of a segment switch may begin in the last bytes of the segment before. Then the server
 * switches away from this one: it holds the last 8 or 16 bytes of the record, info and manager
 * among them, and nothing else. */
static bool
is_end_of_switch(const unsigned char *page, const PageHeader *header, size_t size)
{
    size_t used = PAGE_LONG_HEADER + (size_t)header->rest;

    if ((header->rest != 8 && header->rest != 16) || used > size)
        return false;
    const unsigned char *tail = page + used - (RECORD_HEADER - RECORD_INFO);
    return is_switch(tail[0], tail[RECORD_MANAGER - RECORD_INFO]) &&
           wal_is_zero(page + used, size - used);
}

static int
check_records(WalChecker *checker, const unsigned char *page, size_t size)
{
    size_t at = header_size(checker);

    while (at < size) {
        if (checker->left == 0) {
            if (size - at < sizeof(uint32_t))
                return 0; /* the end of a partial */
            TRY(record_begin(checker, checker->here + at, page + at));
        }
        size_t part = checker->left < size - at ? checker->left : size - at;
        if (checker->whole)
            TRY(record_feed(checker, page + at, part));
        else
            tail_feed(&checker->border, page + at, part);
        checker->left -= (uint32_t)part;
        at += part;
        if (checker->left > 0)
            return 0;
        TRY(record_end(checker, page + at, size - at));
        at = (at + RECORD_ALIGN - 1) & ~(size_t)(RECORD_ALIGN - 1);
        checker->sound = checker->here + at;
        if (checker->ended)
            return 0;
    }
    return 0;
}

static int
check_page_content(WalChecker *checker, const unsigned char *page, size_t size)
{
    PageHeader header = {0};

    if (size < header_size(checker))
        return 0;                   /* the end of a partial */
    checker->sound = checker->here; /* should it be the end, also of a record that was cut short */
    TRY(check_page_header(checker, page, &header));
    TRY(check_continuation(checker, &header));
    if (checker->here == checker->start && is_end_of_switch(page, &header, size)) {
        tail_feed(&checker->border, page + PAGE_LONG_HEADER, header.rest);
        checker->sound = checker->start + PAGE_LONG_HEADER + header.rest;
        checker->left = 0;
        checker->ended = true;
        return 0;
    }
    return check_records(checker, page, size);
}

/* size is the page size, except at the end of a partial. */
static int
check_page(WalChecker *checker, const unsigned char *page, size_t size)
{
    int result = checker->ended ? check_page_after_end(checker, page, size)
                                : check_page_content(checker, page, size);

    if (result < 0 && checker->name.kind == WAL_PARTIAL && !checker->ended) {
        checker->fault = *error_last();
        checker->faulty = checker->ended = true;
        result = 0;
    }
    checker->here += size;
    return result;
}

/* The stream */

WalChecker *
wal_checker_new(const WalName *name, const WalFacts *facts)
{
    WalChecker *checker = mem_alloc(sizeof(WalChecker) + facts->page_size);
    bool in_range = wal_segment_start(name, facts->segment_size, &checker->start);

    assert(in_range && (name->kind == WAL_SEGMENT || name->kind == WAL_PARTIAL));
    (void)in_range;
    checker->name = *name;
    checker->facts = *facts;
    checker->here = checker->start;
    checker->timeline = facts->timeline;
    return checker;
}

void
wal_checker_free(WalChecker *checker)
{
    free(checker);
}

int
wal_checker_push(WalChecker *checker, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    size_t page_size = checker->facts.page_size;

    if (size > checker->facts.segment_size - (checker->here - checker->start) - checker->have)
        return fail(ERR_DATA, "it is longer than the %u bytes of a segment",
                    checker->facts.segment_size);
    while (size > 0) {
        size_t part = page_size - checker->have;
        if (part > size)
            part = size;
        if (part == page_size) {
            TRY(check_page(checker, bytes, page_size));
        } else {
            memcpy(checker->page + checker->have, bytes, part);
            checker->have += part;
            if (checker->have == page_size) {
                checker->have = 0;
                TRY(check_page(checker, checker->page, page_size));
            }
        }
        bytes += part;
        size -= part;
    }
    return 0;
}

int
wal_checker_finish(WalChecker *checker)
{
    uint64_t size = checker->here - checker->start + checker->have;

    if (checker->name.kind == WAL_SEGMENT && size != checker->facts.segment_size)
        return fail(ERR_DATA, "it has %llu of the %u bytes of a segment", (unsigned long long)size,
                    checker->facts.segment_size);
    size_t have = checker->have;
    checker->have = 0;
    return have > 0 ? check_page(checker, checker->page, have) : 0;
}

void
wal_checker_border(const WalChecker *checker, WalBorder *ret_border)
{
    WalBorder border = checker->border;
    border.start = checker->start;
    border.end = checker->here;
    border.sound = checker->sound;
    border.last_record = checker->has_previous ? checker->previous : 0;
    border.left = checker->ended ? 0 : checker->left;
    border.opened = border.left > 0 && checker->whole;
    if (border.opened) {
        border.open_record = checker->record;
        border.open_seen = checker->seen;
        border.open_crc = checker->crc;
        memcpy(border.open_header, checker->header, sizeof(border.open_header));
    }
    *ret_border = border;
}

void
wal_checker_peek(const WalChecker *checker, WalBorder *ret_border)
{
    size_t size = sizeof(WalChecker) + checker->facts.page_size;
    AUTO(free) WalChecker *copy = mem_alloc(size);
    memcpy(copy, checker, size);
    copy->name.kind = WAL_PARTIAL; /* which may break off anywhere */
    if (copy->have > 0)
        (void)check_page(copy, copy->page, copy->have);
    wal_checker_border(copy, ret_border);
}
