/* SPDX-License-Identifier: PostgreSQL
 * Brings the segment that is still growing to an object store, in pieces, while it is received. */
#ifndef WALDEN_FLOW_SHIPPER_H
#define WALDEN_FLOW_SHIPPER_H

#include "config/config.h"
#include "wal/wal.h"

/* Ships what was received, every streaming_partial_upload, on a thread of its own; encrypted, where
 * the archive is. A store that fails is told in the log, and never holds up the receiver. */
typedef struct Shipper Shipper;

/* SHIPPER_OFF when the server's configuration does not ask for it. The configuration must stay. */
enum { SHIPPER_OFF = 1 };
int shipper_start(const ServerConfig *server, Shipper **ret_shipper);

/* So much is in the receiver's files. Quick; from one thread. */
void shipper_note(Shipper *shipper, Timeline timeline, Lsn written, uint32_t segment_size);

/* What was received since the last time stays unshipped: this host still has it. */
void shipper_stop(Shipper *shipper);
AUTO_DEFINE(shipper, Shipper *, shipper_stop)

#endif
