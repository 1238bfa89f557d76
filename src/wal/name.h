/* SPDX-License-Identifier: PostgreSQL
 * Names of WAL files and the arithmetic behind them (PostgreSQL's
 * access/xlog_internal.h). Pure functions over text and numbers. */
#ifndef WALDEN_WAL_NAME_H
#define WALDEN_WAL_NAME_H

#include "wal/wal.h"

#include <stdbool.h>

/* What kind of WAL file has this base name. Strictly ASCII, nothing before or behind; hex digits in
 * either case, suffix words in lower case. Never looks for a '/'. */
WalKind wal_kind(const char *name);

/* The parts of a name of any kind but WAL_NONE: absent parts are 0. */
typedef struct WalName {
    WalKind kind;
    Timeline timeline;
    uint32_t log;    /* second group of eight digits */
    uint32_t seg;    /* third group */
    uint32_t offset; /* of a backup label */
} WalName;

/* False if the name is none of a WAL file. */
bool wal_name_parse(const char *name, WalName *ret_name);

/* The directory below wals/ in which the file rests: 16 hex digits in upper case, or "" for a
 * history file. ret_dir has room for 17 bytes. The name must be of a WAL file. */
enum { WAL_HASH_DIR_ROOM = 17 };
void wal_hash_dir(const char *name, char *ret_dir);

/* Path below wals/: "<hash dir>/<name>" or "<name>". ret_path has room for WAL_PATH_ROOM bytes. */
enum { WAL_PATH_ROOM = WAL_HASH_DIR_ROOM + WAL_NAME_ROOM };
void wal_relative_path(const char *name, char *ret_path);

/* A power of two between 1 MiB and 1 GiB. */
bool wal_segment_size_valid(uint64_t size);

/* The name of the segment that holds the byte at lsn; a position on a border belongs to the segment
 * that begins there. ret_name has room for WAL_NAME_ROOM bytes. */
void wal_segment_name(Timeline timeline, Lsn lsn, uint32_t segment_size, char *ret_name);

/* First byte of the segment. False if its number is out of range for the segment size. */
bool wal_segment_start(const WalName *name, uint32_t segment_size, Lsn *ret_lsn);

/* The segment that follows on the same timeline; of a label, the one after the segment that it
 * names. segment_size 0: unknown; then only the last group is counted up, also past the border
 * where the middle one would move on, and the caller has to look whether such a file exists. False
 * at the end of the number space, for a history file, and for a segment that is out of range. */
bool wal_name_next(const WalName *name, uint32_t segment_size, WalName *ret_next);

/* Formats a segment's name (kind WAL_SEGMENT), in upper case. ret_name has room for WAL_NAME_ROOM
 * bytes. */
void wal_name_format(const WalName *name, char *ret_name);

/* "X/Y" as PostgreSQL prints LSNs: one to eight hex digits on each side, nothing else. ret_text has
 * room for LSN_ROOM bytes. */
bool lsn_parse(const char *text, Lsn *ret_lsn);
enum { LSN_ROOM = 20 };
void lsn_format(Lsn lsn, char *ret_text);

/* Order in which files are archived: history files first, then byte order, which is timeline and
 * position order. Negative, 0 or positive, as strcmp. */
int wal_archive_order(const char *a, const char *b);

#endif
