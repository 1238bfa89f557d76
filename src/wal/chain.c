/* SPDX-License-Identifier: PostgreSQL
 * The checks that need two neighbours. Each was checked by itself before, in any order and by any
 * thread, so that all that is left to do here is small: a record across the border is put together
 * from the checksums of its parts. */
#include "wal/chain.h"

#include "base/crc32c.h"
#include "base/error.h"
#include "wal/layout.h"

#include <assert.h>

static_assert((int)WAL_RECORD_HEADER == (int)RECORD_HEADER, "the header of a record");
static_assert(WAL_LEAD_SIZE >= RECORD_HEADER - RECORD_ALIGN, "what is missing of a header");

static int
check_link(Lsn record, Lsn link, Lsn expected)
{
    char text[3][LSN_ROOM];
    if (expected == 0 || link == expected)
        return 0;
    lsn_format(record, text[0]);
    lsn_format(link, text[1]);
    lsn_format(expected, text[2]);
    return fail(ERR_DATA, "record at %s links back to %s instead of %s", text[0], text[1], text[2]);
}

/* What the segment has of the record that came from before. */
static int
continue_record(WalChain *chain, const WalBorder *border)
{
    size_t lead = border->taken < WAL_LEAD_SIZE ? border->taken : WAL_LEAD_SIZE;
    size_t part = RECORD_HEADER - chain->open_seen;
    if (part > lead)
        part = lead;
    memcpy(chain->open_header + chain->open_seen, border->lead, part);
    chain->open_seen += (uint32_t)part;
    chain->open_crc = crc32c(chain->open_crc, border->lead + part, lead - part);
    chain->open_crc = crc32c_combine(chain->open_crc, border->tail_crc, border->taken - lead);
    chain->left -= border->taken;
    if (chain->left > 0)
        return 0;

    Lsn before = chain->last_record;
    chain->last_record = chain->open_record;
    TRY(check_link(chain->open_record, load_u64(chain->open_header + RECORD_PREV), before));
    uint32_t crc = crc32c(chain->open_crc, chain->open_header, RECORD_CRC);
    uint32_t expected = load_u32(chain->open_header + RECORD_CRC);
    if (crc == expected)
        return 0;
    char text[LSN_ROOM];
    lsn_format(chain->open_record, text);
    return fail(ERR_DATA,
                "record at %s, which goes on from the segment before, has the CRC %08X instead of "
                "%08X",
                text, crc, expected);
}

static int
join(WalChain *chain, const WalBorder *border)
{
    bool given_up = border->overwrites && border->rest == 0;
    if (given_up)
        chain->left = 0;
    if (border->rest != chain->left) {
        char text[LSN_ROOM];
        lsn_format(border->start, text);
        return fail(ERR_DATA,
                    "page at %s begins with %u bytes of a record going on, and the segment before "
                    "ends with %u to come",
                    text, border->rest, chain->left);
    }
    if (chain->left > 0 && chain->opened)
        TRY(continue_record(chain, border));
    else if (chain->left > 0 && (chain->left -= border->taken) == 0)
        chain->last_record = 0; /* it began before the chain */
    return border->first_record
               ? check_link(border->first_record, border->first_link, chain->last_record)
               : 0;
}

int
wal_chain_join(WalChain *chain, const WalBorder *border)
{
    bool follows = chain->known && chain->next == border->start;
    if (!follows)
        *chain = (WalChain){.left = border->rest};
    int result = follows ? join(chain, border) : 0;
    if (result < 0 || !follows) {
        chain->opened = false;
        chain->last_record = 0;
    }
    chain->known = true;
    chain->next = border->end;
    if (border->last_record)
        chain->last_record = border->last_record;
    chain->left = border->left;
    if (border->opened) {
        chain->opened = true;
        chain->open_record = border->open_record;
        chain->open_seen = border->open_seen;
        chain->open_crc = border->open_crc;
        memcpy(chain->open_header, border->open_header, sizeof(chain->open_header));
    }
    return result;
}
