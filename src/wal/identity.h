/* SPDX-License-Identifier: PostgreSQL
 * Whose WAL is it? identity.json in a server's backup directory, as Barman writes it. */
#ifndef WALDEN_WAL_IDENTITY_H
#define WALDEN_WAL_IDENTITY_H

#include <stdint.h>

/* The cluster's system identifier from <backup_directory>/identity.json; 0 when there is no such
 * file. A damaged one is ERR_DATA. */
int identity_read(const char *backup_directory, uint64_t *ret_system_id);

/* Holds the cluster that answers against the one whose archive this is: ERR_DATA if they are not
 * the same. At first contact it is written down, durably; the directory is made. major: "15". */
int identity_check(const char *backup_directory, uint64_t system_id, int major);

/* The system identifier of the cluster in a data directory; 0 when it is none. */
uint64_t identity_of_cluster(const char *data_directory);

#endif
