/* SPDX-License-Identifier: PostgreSQL
 * The segment that was growing when the host was lost that received it: put together from pieces in
 * an object store, see shipper.h. */
#ifndef WALDEN_FLOW_GROWING_H
#define WALDEN_FLOW_GROWING_H

#include "flow/recode/cipher.h"
#include "flow/store/pieces.h"

/* What a piece is encrypted for, so that it cannot take another's place; free it. */
char *growing_binding(const Piece *piece);

/* A PieceVisit that finds out how far pieces reach without a gap; context is the uint32_t, 0 at
 * first. */
int growing_reach(void *context, const Piece *piece);

/* Does the first piece begin the segment that is open as fd? Names come again in another cluster,
 * and its WAL must not go on where this one's ended. GROWING_OTHER when not. What this host cannot
 * decrypt is taken for it. */
enum { GROWING_OTHER = 1 };
int growing_compare(const Store *store, Keyring *keyring, const char *name, int fd);

/* What the store has of the segment from its beginning on, without a gap, as an open file without a
 * name, in memory. GROWING_NONE when it has nothing. */
enum { GROWING_NONE = 1 };
int growing_assemble(const Store *store, Keyring *keyring, const char *name, int *ret_fd);

#endif
