/* SPDX-License-Identifier: PostgreSQL
 * What of a server's WAL is held already, wherever it lies: what comes next is held against it. */
#ifndef WALDEN_FLOW_INTAKE_HELD_H
#define WALDEN_FLOW_INTAKE_HELD_H

#include "flow/intake/receiver.h"

/* Opens what has this name in streaming/, else in the archive (where the spec's open_archived
 * finds it), for reading its plain contents. HELD_NONE: neither has it, or there is no archive to
 * look into. What could not be read is told at debug level and is HELD_NONE, too: an archive that
 * does not answer must not keep WAL from being received. <0 when we are told to stop. */
enum { HELD_NONE = 1 };
int held_open(const ReceiverSpec *spec, const char *name, int *ret_fd);

#endif
