/* SPDX-License-Identifier: PostgreSQL
 * Do segments that follow each other belong together? What a checker found at their borders: the
 * record that goes on from one to the next, its CRC-32C, and the link back of the first record. */
#ifndef WALDEN_WAL_CHAIN_H
#define WALDEN_WAL_CHAIN_H

#include "wal/page.h"

/* What is known where the segments so far end; {0}: nothing. May be copied. */
typedef struct WalChain {
    bool known;
    Lsn next;        /* where the next segment begins */
    Lsn last_record; /* the last that is whole; 0: not known */
    uint32_t left;   /* bytes of a record that are still to come; 0: none */
    bool opened;     /* all of it so far was seen */
    Lsn open_record; /* these as in WalBorder */
    uint32_t open_seen;
    unsigned char open_header[WAL_RECORD_HEADER];
    uint32_t open_crc;
} WalChain;

/* The next segment. Where it does not begin at the end of the chain, that begins anew with it. <0
 * (ERR_DATA) when the two do not fit together; the chain goes on behind the segment all the same.
 */
int wal_chain_join(WalChain *chain, const WalBorder *border);

#endif
