/* SPDX-License-Identifier: PostgreSQL
 * The catalog of the archive, xlog.db: one line for each archived WAL file, appended
 * in the order of archiving. Shared with Barman under its lock, in either generation of the format:
 *
 *   <xlogdb_directory>/<server>-xlog.db   name size time compression encryption
 *   <wals_directory>/xlog.db              name size time compression    (Barman before 3.13)
 *
 * The old file is gone on with where it is there and the new one is not. */
#ifndef WALDEN_FLOW_XLOGDB_XLOGDB_H
#define WALDEN_FLOW_XLOGDB_XLOGDB_H

#include "base/error.h"
#include "base/mem.h"
#include "config/config.h"
#include "wal/wal.h"

#include <stdbool.h>

typedef struct XlogDb XlogDb;

/* Where a server's catalog and its lock are; nothing is opened yet. */
typedef struct XlogDbPlace {
    const char *server;
    const char *directory;      /* xlogdb_directory */
    const char *wals_directory; /* where the old form is */
    const char *lock_directory;
    int64_t lock_wait_ms; /* how long to wait for the lock at most; 0: the usual minute */
} XlogDbPlace;

/* As the configuration says; it must outlive what is made of it. */
XlogDbPlace xlogdb_place(const Config *config, const ServerConfig *server);

XlogDb *xlogdb_new(const XlogDbPlace *place);
void xlogdb_free(XlogDb *db);

AUTO_DEFINE(xlogdb, XlogDb *, xlogdb_free)

/* Path of the file in use; valid until the next call. */
const char *xlogdb_path(XlogDb *db);

/* True once a catalog file is there. */
bool xlogdb_exists(XlogDb *db);

/* ERR_UNSUPPORTED when the catalog has no column for what a file is encrypted with. */
int xlogdb_can_say_encrypted(XlogDb *db);

/* Appends the rows and returns when they are durable: all of them or, on failure, none. Creates the
 * file when it is missing. Waits for the lock up to its deadline, then ERR_BUSY.
 *
 * A last line that a crash has left torn is overwritten, after its lost row was made anew: lookup
 * is called with the WAL file name in it and answers the row, or XLOGDB_UNKNOWN when there is no
 * such file. */
typedef int XlogDbLookup(void *context, const char *name, WalFile *ret_row);
enum { XLOGDB_UNKNOWN = 1 };
int
xlogdb_append(XlogDb *db, const WalFile *rows, size_t count, XlogDbLookup *lookup, void *context);

/* Which of the names have a row: ret_found[i]. One reading for all of them. */
int xlogdb_contains(XlogDb *db, const char *const *names, size_t count, bool *ret_found);

/* Calls visit for each row in file order, under the shared lock; a visit that returns non-zero ends
 * it with that result. Damaged lines, a torn last one too, are counted and passed over. A missing
 * file has no rows. */
typedef int XlogDbVisit(void *context, const WalFile *row);
int xlogdb_read(XlogDb *db, XlogDbVisit *visit, void *context, size_t *ret_damaged);

/* The same, and at which byte of the file the row's line begins. */
typedef int XlogDbVisitAt(void *context, const WalFile *row, int64_t offset);
int xlogdb_read_at(XlogDb *db, XlogDbVisitAt *visit, void *context, size_t *ret_damaged);

/* Replaces the whole catalog: written beside it, made durable, renamed over it, all under the lock,
 * so that a crash leaves the one or the other. `produce` is called under the lock and calls
 * xlogdb_edit_emit for each row of the new one; xlogdb_edit_read reads the present one. When it
 * answers XLOGDB_UNCHANGED, the present one stays. */
enum { XLOGDB_UNCHANGED = 1 };
typedef struct XlogDbEdit XlogDbEdit;
typedef int XlogDbProduce(void *context, XlogDbEdit *edit);
int xlogdb_replace(XlogDb *db, XlogDbProduce *produce, void *context);
int xlogdb_edit_emit(XlogDbEdit *edit, const WalFile *row);
int xlogdb_edit_read(XlogDbEdit *edit, XlogDbVisit *visit, void *context, size_t *ret_damaged);

/* Replaces the catalog by one without the rows of these names, which are in the order of strcmp.
 * Every other line, also one that is damaged, stays as it is, byte for byte. */
int xlogdb_remove(XlogDb *db, const char *const *names, size_t count);

/* One line as it is written, with its line feed. columns is 4 or 5. Room for XLOGDB_LINE_ROOM
 * bytes; returns the length. */
enum { XLOGDB_LINE_ROOM = 256 };
size_t xlogdb_line_format(const WalFile *row, int columns, char *ret_line);

/* A line of 3 to 5 columns; false if it is damaged. Unknown codec names become "custom". */
bool xlogdb_line_parse(const char *line, size_t length, WalFile *ret_row);

/* Does a line without a line feed have all its columns and end in a word of the last one, so that
 * only the line feed is missing? Otherwise a crash has torn it, and what it seems to say may be
 * wrong. */
bool xlogdb_line_is_whole(const char *line, int columns);

/* The time column: shortest decimal text that reads back as the same double, as Python writes it.
 * Room for 32 bytes. */
enum { XLOGDB_TIME_ROOM = 32 };
void xlogdb_time_format(struct timespec time, char *ret_text);

#endif
