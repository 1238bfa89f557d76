/* SPDX-License-Identifier: PostgreSQL
 * Archiving one file for somebody who keeps no catalog and whose file it is: the commands that
 * PostgreSQL calls on its own host, with an object store as the archive. */
#ifndef WALDEN_FLOW_DEPOSIT_H
#define WALDEN_FLOW_DEPOSIT_H

#include "flow/item.h"

/* Puts an open file into recipe->store under the name, durable when it returns 0, and leaves the
 * file itself alone. Of the recipe, directory is not used; a gate that is all zeros lets everything
 * pass. *compressor is made at the first need and kept for the next file; each thread has its own.
 *
 * Nothing archived is ever replaced: DEPOSIT_SAME when this very content is there already,
 * DEPOSIT_DIFFERENT when other content is. ERR_DATA when the file is not what its name says.
 * *ret_wal: name, sizes and compression as they are stored; set for 0 only. */
enum { DEPOSIT_SAME = 1, DEPOSIT_DIFFERENT = 2 };
int deposit(const Recipe *recipe, Coder **compressor, const char *name, int fd, WalFile *ret_wal);

#endif
