/* SPDX-License-Identifier: PostgreSQL
 * A parcel: one WAL file with its checksum in a tar stream, as barman-wal-archive sends it. */
#ifndef WALDEN_FLOW_INTAKE_PARCEL_H
#define WALDEN_FLOW_INTAKE_PARCEL_H

#include "base/file.h"
#include "wal/wal.h"

typedef struct Parcel {
    char name[WAL_NAME_ROOM]; /* of a WAL file */
    AtomicFile file;          /* its contents and time, without a name yet and not synced */
} Parcel;

#define PARCEL_NONE ((Parcel){.file = ATOMIC_NONE})

/* Reads the stream to its end into a file that may be published in the directory. The stream holds
 * exactly one regular file with the name of a WAL file and a list SHA256SUMS or MD5SUMS (or both)
 * which knows this file alone, before or behind it; all else is ERR_DATA, and so is a stream that
 * ends too early or goes on behind its end. ERR_TIMEOUT when the sender falls silent,
 * ERR_UNSUPPORTED when a library is missing. */
int parcel_receive(int fd, const char *directory, Parcel *ret_parcel);

/* A file that is to be sent */
typedef struct ParcelSource {
    int fd;           /* its contents from the current offset on, */
    int64_t size;     /* and how many bytes they are */
    const char *name; /* base name */
    struct timespec mtime;
    _Atomic int64_t *sent; /* NULL, or counts the bytes that were written */
    bool md5; /* for receivers of Barman before 3.5: a list MD5SUMS in place of SHA256SUMS */
} ParcelSource;

/* Writes the stream of this one file. On a failure the stream has no end, so that no receiver takes
 * it for whole. */
int parcel_send(const ParcelSource *source, int to_fd);

/* What was not published is gone. */
void parcel_done(Parcel *parcel);

static inline void
auto_parcel(Parcel *parcel)
{
    parcel_done(parcel);
}

#endif
