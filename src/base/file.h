/* SPDX-License-Identifier: PostgreSQL
 * Files that survive a crash: whole reads and writes, directories made durably, and AtomicFile, by
 * which everything that we keep comes into being. All descriptors are close-on-exec. */
#ifndef WALDEN_BASE_FILE_H
#define WALDEN_BASE_FILE_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Reads until the buffer is full or the file ends; *ret_got < size means the end. `name` is for
 * messages. */
int file_read(int fd, void *buffer, size_t size, const char *name, size_t *ret_got);

/* Writes everything. */
int file_write(int fd, const void *buffer, size_t size, const char *name);

/* Opens a file for reading, and refuses (ERR_DATA) what is no regular file: the open of a pipe
 * would wait for whoever writes into it. */
int file_open(const char *path, int *ret_fd);

/* The whole of a small file, refused (ERR_DATA) when larger than max bytes. */
int file_read_text(const char *path, size_t max, Str *ret_text);

/* fsync of the open file. */
int file_sync(int fd, const char *name);

/* fsync of a directory: makes names in it (created, removed, renamed) survive a crash of the
 * machine. */
int dir_sync(const char *path);

/* Creates the directory and its missing parents (0777 & ~umask) and fsyncs every parent that got a
 * new entry. An existing directory is fine. */
int dir_make(const char *path);

/* Moves a file, also between file systems, without ever replacing anything: FILE_EXISTS when
 * to_dir/to_name is taken, FILE_GONE when there is no `from` any more. Durable when it returns 0:
 * the copy and its directory are synced before the source is removed. What is no regular file can
 * only be moved within its file system. */
enum { FILE_EXISTS = 1, FILE_GONE = 2 };
int file_move(const char *from, const char *to_dir, const char *to_name);

/* Copies the whole of an open file to another, contents and attributes, and syncs it. Fails when
 * the source changes meanwhile. */
int file_copy(int from_fd, int to_fd, const char *name);

/* Mode, access and modification time, and user attributes of `like` onto the open file. */
int file_copy_attributes(int from_fd, const struct stat *like, int to_fd, const char *name);

/* Does the path, which is no symbolic link, still lead to the open file? */
bool file_has_name(int fd, const char *path);

/* The same file, with the same size and modification time? */
bool file_unchanged(const struct stat *before, const struct stat *now);

/* Modification time as in xlog.db: sec + 1e-9 * nsec. */
static inline double
timespec_seconds(struct timespec time)
{
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* A file that comes into being whole or not at all. Where the file system can, it has no name
 * before it is published (O_TMPFILE), so that a crash leaves nothing behind; elsewhere it is called
 * ".NAME.RANDOM.tmp", which dir_sweep removes after a crash. */
typedef struct AtomicFile {
    int fd;     /* write here; -1 when closed */
    char *dir;  /* where it will be */
    char *name; /* under which name */
    char *temp; /* temporary path, NULL while it has none */
} AtomicFile;

#define ATOMIC_NONE ((AtomicFile){.fd = -1})

/* Mode as in open(2). The directory must exist. */
int atomic_open(const char *dir, const char *name, mode_t mode, AtomicFile *ret_file);

/* Gives the file its final name without replacing anything: ATOMIC_EXISTS when the name is taken.
 * Where a nameless file can get no name, or the file system has no links, a copy under a temporary
 * name is published in its place: then file->fd is that copy's. A copy is synced.
 * Neither the file nor the directory is synced: whoever publishes many does that once for all. */
enum { ATOMIC_EXISTS = 1 };
int atomic_publish(AtomicFile *file);

/* Takes the name back from what was published, if it still has it. */
void atomic_withdraw(const AtomicFile *file);

/* fsync, then take the place of whatever has the name, then fsync the directory. For files that are
 * ours to replace; never for archived WAL. */
int atomic_replace(AtomicFile *file);

/* Ends it; what was not published is gone. */
void atomic_close(AtomicFile *file);

static inline void
auto_atomic(AtomicFile *file)
{
    atomic_close(file);
}

/* Removes the named temporary files (".*.RANDOM.tmp") that a crash left in the directory: those
 * that were not written to for an hour. There need be no directory. */
int dir_sweep(const char *path);

#endif
