/* SPDX-License-Identifier: PostgreSQL
 * Handing out one file that was found: recognised, decompressed, checked, compressed as asked for.
 */
#ifndef WALDEN_FLOW_HANDOUT_H
#define WALDEN_FLOW_HANDOUT_H

#include "flow/recode/codec.h"
#include "flow/retrieve.h"

/* The open file at `path` to where the retrieval wants it. HANDOUT_ARRIVING when it is WAL that is
 * shorter than its header says (and not a partial file), RETRIEVE_MISSING when it is a partial file
 * without any WAL that would stand in for its segment; then nothing was handed out. *written is set
 * once anything went to the retrieval's fd: from then on it cannot begin again. */
enum { HANDOUT_ARRIVING = 2 };
int
handout(const Retrieval *what, const CustomCodec *custom, int fd, const char *path, bool *written);

#endif
