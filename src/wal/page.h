/* SPDX-License-Identifier: PostgreSQL
 * Is this segment what its name says? Page headers, the record chain and its CRC-32C, as in
 * PostgreSQL's access/xlog_internal.h and xlogreader.c, PostgreSQL 10 to 18. Works on a stream of
 * bytes; never holds more than one page. */
#ifndef WALDEN_WAL_PAGE_H
#define WALDEN_WAL_PAGE_H

#include "wal/name.h"

#include <stddef.h>

/* First bytes of a segment that hold its long page header. */
enum { WAL_LONG_HEADER_SIZE = 40 };

typedef enum WalHeaderVerdict {
    WAL_HEADER_FITS,     /* a known version's long page header, and it agrees with the name */
    WAL_HEADER_UNKNOWN,  /* no page header of a version that we know; *ret_facts is not set */
    WAL_HEADER_FOREIGN,  /* a known header that contradicts the name; ret_reason says how */
    WAL_HEADER_TOO_SHORT /* fewer than WAL_LONG_HEADER_SIZE bytes, yet what is there may be a header
                          */
} WalHeaderVerdict;

typedef struct WalFacts {
    uint16_t magic;
    int major;          /* PostgreSQL version that writes this magic: 10 .. 18 */
    Timeline timeline;  /* of the first page: that of the name, or an older one (first segment after
                           a timeline switch begins with a copy of the old timeline's pages) */
    uint64_t system_id; /* of the cluster */
    uint32_t segment_size; /* bytes */
    uint32_t page_size;    /* bytes; 8192 unless PostgreSQL was built otherwise */
} WalFacts;

/* Compares the beginning of a segment or partial segment with its name: timeline (not younger than
 * the name's), page address, sane segment and page size. reason has room for 200 bytes, set for
 * FOREIGN. */
enum { WAL_REASON_ROOM = 200 };
WalHeaderVerdict wal_header_check(const void *data, size_t size, const WalName *name,
                                  WalFacts *ret_facts, char *ret_reason);

/* Nothing but zeros, as where the server has written nothing yet? True of nothing at all. */
bool wal_is_zero(const void *data, size_t size);

/* A checker fed with the bytes of one segment from its start (wal_validation = full). Checks every
 * page header (magic, address, timeline not going back, remaining length) and every record that
 * lies in the segment: length, back-link to the record before it, CRC-32C. A record that begins in
 * the segment before, or ends in the next, is checked as far as its bytes are here (header and
 * continuation flags); so is one that a crash of the server cut short. Padding and the cluster's
 * system id are not looked at.
 *
 * A segment must be filled with records to its end, or to a segment switch (pg_switch_wal) and with
 * nothing behind that. A partial may break off anywhere: its first fault is the end of WAL, unless
 * a later page of this segment holds WAL; then it is a fault. */
typedef struct WalChecker WalChecker;

/* facts as returned by wal_header_check for this file. */
WalChecker *wal_checker_new(const WalName *name, const WalFacts *facts);
void wal_checker_free(WalChecker *checker);

/* Any number of bytes at a time; whole pages at a time spare a copy. <0 (ERR_DATA) at the first
 * fault, with the address of page or record and the reason; do not push more after that. */
int wal_checker_push(WalChecker *checker, const void *data, size_t size);

/* What the check of one segment leaves to its neighbours; chain.h holds them together. */
enum { WAL_LEAD_SIZE = 16, WAL_RECORD_HEADER = 24 };
typedef struct WalBorder {
    Lsn start, end; /* of the segment's bytes */
    Lsn sound;      /* up to here there is WAL without a fault: where that of a partial ends */

    uint32_t rest;  /* bytes of an older record that go on here, by the first page's header */
    uint32_t taken; /* of these: in this segment */
    unsigned char lead[WAL_LEAD_SIZE]; /* the first of them */
    uint32_t tail_crc;                 /* CRC-32C of those behind the lead */
    bool overwrites;  /* the older record was never finished, says the first page */
    Lsn first_record; /* the first that begins here with its whole header; 0: none */
    Lsn first_link;   /* where it links back to */

    Lsn last_record;    /* the last that ends here and began here; 0: none */
    uint32_t left;      /* bytes of a record that go on in the next segment; 0: none */
    bool opened;        /* it began here; then: */
    Lsn open_record;    /* where, */
    uint32_t open_seen; /* how many bytes of its header are here, */
    unsigned char open_header[WAL_RECORD_HEADER]; /* which, */
    uint32_t open_crc;                            /* and the CRC-32C of what follows the header */
} WalBorder;

/* To be asked after wal_checker_finish has answered 0. */
void wal_checker_border(const WalChecker *checker, WalBorder *ret_border);

/* The same in the middle of a segment, by what is there of it; a fault in a page that is not all
 * there is not told. */
void wal_checker_peek(const WalChecker *checker, WalBorder *ret_border);

/* The file has ended; a segment must have had all its bytes, a partial may be short. */
int wal_checker_finish(WalChecker *checker);

#endif
