/* SPDX-License-Identifier: PostgreSQL
 * Receiving one WAL file from an archive_command elsewhere (put-wal). */
#ifndef WALDEN_FLOW_PUT_H
#define WALDEN_FLOW_PUT_H

#include "config/config.h"
#include "wal/wal.h"

/* Reads a parcel (flow/intake/parcel.h) from fd to its end. 0: this very content rests durably
 * under its name, in incoming/ or in the archive, and ret_name (room for WAL_NAME_ROOM bytes) says
 * which. <0: it was not taken; ERR_DATA when the stream is damaged, the file does not belong into
 * this archive, or there is other content under its name. Nothing is ever replaced. An archive in
 * an object store is asked only for what the catalog says that it has; that it does not answer
 * keeps no file from waiting. */
int put_wal(const Config *config, const ServerConfig *server, int fd, char *ret_name);

#endif
