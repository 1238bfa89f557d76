/* SPDX-License-Identifier: PostgreSQL
 * Where WAL files wait that were fetched ahead of their turn, each under its name once it is whole.
 */
#ifndef WALDEN_FLOW_SPOOL_H
#define WALDEN_FLOW_SPOOL_H

#include "base/file.h"
#include "flow/delivery.h"

/* The directory in `root` for what comes from this source to this server. A source is whatever text
 * says where from, and where to; what others fetch is never seen. Free it. */
char *spool_directory(const char *root, const char *server, const char *source);

/* Makes it, for us alone. ERR_CONFIG when it or its root is somebody else's, or others may write
 * there: they could put WAL in our way. */
int spool_make(const char *root, const char *directory);

/* Moves the file that was ordered to to_dir/to_name, in place of what is there, durably.
 * SPOOL_MISSING when it is not in the spool, or not fit for use: then it is taken away. */
enum { SPOOL_MISSING = 1 };
int spool_take(const char *root, const char *directory, const Order *order, const char *to_dir,
               const char *to_name);

/* Removes from the directory all but the names to keep, and all spools in the root that have not
 * been touched for a day. */
int spool_sweep(const char *root, const char *directory, const StrList *keep);

/* Gives the file its name in the spool, durably; that it has one already is fine. */
int spool_add(AtomicFile *file);

#endif
