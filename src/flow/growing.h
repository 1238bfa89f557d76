/* SPDX-License-Identifier: PostgreSQL
 * The segment that is still growing, in pieces in an object store: brought there while it is
 * received, and put together again for a recovery that has nothing better. */
#ifndef WALDEN_FLOW_GROWING_H
#define WALDEN_FLOW_GROWING_H

#include "config/config.h"
#include "flow/store/store.h"
#include "wal/wal.h"

/* Ships what was received, every streaming_partial_upload, on a thread of its own. A store that
 * fails is told in the log, and never holds up the receiver. */
typedef struct Shipper Shipper;

/* SHIPPER_OFF when the server's configuration does not ask for it. The configuration must stay. */
enum { SHIPPER_OFF = 1 };
int shipper_start(const ServerConfig *server, Shipper **ret_shipper);

/* So much is in the receiver's files. Quick; from one thread. */
void shipper_note(Shipper *shipper, Timeline timeline, Lsn written, uint32_t segment_size);

/* What was received since the last time stays unshipped: this host still has it. */
void shipper_stop(Shipper *shipper);
AUTO_DEFINE(shipper, Shipper *, shipper_stop)

/* What the store has of the segment from its beginning on, without a gap, as an open file without a
 * name, in memory. GROWING_NONE when it has nothing. */
enum { GROWING_NONE = 1 };
int growing_assemble(const Store *store, const char *name, int *ret_fd);

#endif
