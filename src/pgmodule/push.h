/* SPDX-License-Identifier: PostgreSQL
 * A finished WAL file out of pg_wal/ into incoming/, durably, and those that wait behind it with
 * it. Knows files and names only, nothing of the server that it runs in. */
#ifndef WALDEN_PGMODULE_PUSH_H
#define WALDEN_PGMODULE_PUSH_H

#include "base/error.h"
#include "pgmodule/beside.h"
#include "pgmodule/relay.h"
#include "wal/wal.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

enum {
    PUSH_FILES = 64,         /* at most so many files are synced together */
    PUSH_BYTES = 64 << 20,   /* none is added to so many bytes, */
    PUSH_MS = 200,           /* nor after so long: the archiver has other duties, too */
    PUSH_PIECE = 1 << 20,    /* bytes that are read at once */
    PUSH_HOLE = 64 << 10,    /* zeros at the end of a piece are not written by so many */
    PUSH_ALIGNMENT = 4096,   /* of what is written past the page cache */
    PUSH_NAME_ROOM = 64 + 1, /* the longest name that PostgreSQL may give to an archiver */
};

/* A file of pg_wal/ that rests in incoming/ already, or has gone on from there. */
typedef struct Ahead {
    char name[WAL_NAME_ROOM];
    struct stat source; /* as it was when it was copied */
} Ahead;

typedef struct Push {
    bool (*stop)(void);       /* are we to end? Asked between pieces; NULL: never */
    uint32_t segment_size;    /* of the server */
    char directory[PATH_MAX]; /* incoming/ */
    Beside beside;            /* the archive, where it can be seen; its cluster may be set */
    Relay program; /* is asked what is archived where we cannot read it; no server: not */
    Ahead ahead[PUSH_FILES];
    size_t ahead_count;
    char room[2 * PUSH_PIECE + PUSH_ALIGNMENT]; /* of two pieces, see piece() */
} Push;

/* Where to from now on. ERR_CONFIG when the path is not absolute, or too long. */
int push_to(Push *push, const char *directory);

/* When it returns 0, the file `path`, whose base name is `name`, is durable under that name in the
 * directory, or was there, or in the archive, with the same contents. ERR_DATA when a file with
 * other contents has the name in one of them; that one is left alone. ERR_DATA also when it is of
 * another cluster than the archive, or not what its name says. ERR_STOPPED when stop() said so.
 *
 * What is archived and cannot be compared does not hold up the file: the archiver compares it, who
 * takes it from the directory; beside.notice says so then.
 *
 * Segments that follow it, and are marked ready in archive_status/ beside it, are brought along as
 * far as the limits go, and answered from memory when they are asked for; no mark is touched, and
 * what is wrong with one of them is told when its turn comes. */
int push_file(Push *push, const char *name, const char *path);

#endif
