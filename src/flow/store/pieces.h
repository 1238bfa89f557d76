/* SPDX-License-Identifier: PostgreSQL
 * Pieces of segments that are still growing, in an object store: so that losing the host that
 * receives them loses seconds. A piece is an object PREFIX/SERVER/partial/NAME/OFFSET-LENGTH, both
 * in hex and of the plain segment, with ".gpg" or ".aead" when it is encrypted; in wals/, where
 * archived files are looked for, nothing is seen of them. Only for remote stores. */
#ifndef WALDEN_FLOW_STORE_PIECES_H
#define WALDEN_FLOW_STORE_PIECES_H

#include "flow/store/store.h"

typedef struct Piece {
    char name[WAL_NAME_ROOM]; /* of the segment */
    uint32_t offset, length;  /* bytes of it */
    char cipher[8];           /* what it is encrypted with, "" for plain; ends the key */
} Piece;

/* Brings these bytes, which the piece is when it is encrypted, to the store. Done, too,
 * when it has the piece already: WAL does not change. */
int piece_put(Store *store, const Piece *piece, const void *data, size_t size);

/* What was put, in order. */
int piece_get(const Store *store, const Piece *piece, Sink *sink, void *context);

/* All pieces of this segment, or of all segments (NULL), ordered by name and offset. */
typedef int PieceVisit(void *context, const Piece *piece);
int piece_list(const Store *store, const char *name, PieceVisit *visit, void *context);

/* Removes all pieces of the segment. */
int piece_remove_all(Store *store, const char *name);

#endif
