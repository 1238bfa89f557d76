/* SPDX-License-Identifier: PostgreSQL
 * Where bytes go: a file, a coder, an upload, a checksum. */
#ifndef WALDEN_BASE_SINK_H
#define WALDEN_BASE_SINK_H

#include <stddef.h>

/* Takes the next piece of a stream. 0 or <0. */
typedef int Sink(void *context, const void *data, size_t size);

#endif
