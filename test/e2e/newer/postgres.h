/* SPDX-License-Identifier: PostgreSQL
 * The archive module for servers whose headers cannot be had here: 15's headers, and of the API
 * what changed since, as PostgreSQL documents it (Archive Module Callbacks). SERVER_VERSION_NUM is
 * given. */
#include_next <postgres.h>

#undef PG_VERSION_NUM
#define PG_VERSION_NUM SERVER_VERSION_NUM
