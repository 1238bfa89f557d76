/* SPDX-License-Identifier: PostgreSQL
 * What the archive has under the name of a waiting file. */
#ifndef WALDEN_FLOW_ARCHIVED_H
#define WALDEN_FLOW_ARCHIVED_H

#include "flow/item.h"

/* Compares an open source file with what the archive has under the name: ITEM_SAME, ITEM_DIFFERENT,
 * or <0: ERR_DATA when the archived one is damaged for sure. What is encrypted, and cannot be
 * decrypted, cannot be compared unless its digest was recorded. */
int item_compare(const Recipe *recipe, const Item *item);

/* The same with another open file in place of the archived one. */
int item_compare_with(const Recipe *recipe, const Item *item, int fd);

/* What the archive has under the name, as its catalog row says it; STORE_MISSING. */
int archived_row(const Store *store, const CustomCodec *custom, const char *name, WalFile *ret_row);

/* SHA-256 of the plain contents of the item's source, in hexadecimal. */
int item_digest(const Recipe *recipe, const Item *item, char ret_sha256[OBJECT_SHA256_ROOM]);

#endif
