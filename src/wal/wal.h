/* SPDX-License-Identifier: PostgreSQL
 * What travels through flow/: one WAL file and what is known of it. */
#ifndef WALDEN_WAL_WAL_H
#define WALDEN_WAL_WAL_H

#include <stdint.h>

typedef uint64_t Lsn;      /* byte position in the WAL, as PostgreSQL's pg_lsn */
typedef uint32_t Timeline; /* 1 and up */

typedef enum WalKind {
    WAL_NONE,    /* not the name of a WAL file */
    WAL_SEGMENT, /* TTTTTTTTLLLLLLLLSSSSSSSS */
    WAL_PARTIAL, /* ... .partial: last segment of a promoted timeline, or a receiver's live file */
    WAL_LABEL,   /* ... .OOOOOOOO.backup */
    WAL_HISTORY, /* TTTTTTTT.history */
} WalKind;

enum {
    WAL_NAME_ROOM = 48,            /* longest name: 24 + 1 + 8 + 7 digits, and the NUL */
    WAL_SEGMENT_LENGTH = 24,       /* characters of a segment's name */
    WAL_SEGMENT_MIN = 1 << 20,     /* segment sizes are powers of two from 1 MiB */
    WAL_SEGMENT_MAX = 1 << 30,     /* to 1 GiB */
    WAL_SEGMENT_DEFAULT = 16 << 20 /* what initdb chooses */
};

typedef struct WalFile {
    char name[WAL_NAME_ROOM]; /* base name */
    WalKind kind;
    int64_t size;            /* bytes of the file as it is stored (or waits) */
    struct timespec mtime;   /* modification time of the WAL */
    const char *compression; /* registry name of the codec, static storage; NULL: none */
    const char *encryption;  /* "gpg"; NULL: none */
} WalFile;

#endif
