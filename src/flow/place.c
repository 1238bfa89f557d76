/* SPDX-License-Identifier: PostgreSQL
 * From a server's options to the place of its archive, once for all that open it. */
#include "flow/place.h"

static const char advice[] =
    "check that its file system is mounted and that wals_directory is right";

static StorePlace
place_of(const ServerConfig *server)
{
    return (StorePlace){.wals = server->wals_directory, .server = server->name};
}

int
archive_open(const ServerConfig *server, Store **ret_store)
{
    StorePlace place = place_of(server);
    return store_open(&place, ret_store);
}

int
archive_find(const ServerConfig *server, Store **ret_store)
{
    StorePlace place = place_of(server);
    return store_open_existing(&place, ret_store);
}

int
archive_need(const ServerConfig *server, Store **ret_store)
{
    int found = archive_find(server, ret_store);
    return found == STORE_MISSING
               ? hint(fail(ERR_IO, "the archive '%s' does not exist", server->wals_directory),
                      advice)
               : found;
}

int
archive_fail_empty(const ServerConfig *server)
{
    return hint(
        fail(ERR_IO, "the archive '%s' is empty and has no catalog", server->wals_directory),
        advice);
}
