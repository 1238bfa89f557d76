/* SPDX-License-Identifier: PostgreSQL
 * Looks for a held file where the receiver itself has put it, and then where the archiver may have
 * brought it. Knows nothing of what is in it. */
#include "flow/intake/held.h"

#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"

#include <errno.h>

static int
open_anywhere(const ReceiverSpec *spec, const char *name, int *ret_fd)
{
    AUTO(free) char *path = mem_printf("%s/%s", spec->server->streaming_wals_directory, name);
    /* The archiver may take it away in between, into the archive. */
    if (access(path, F_OK) == 0 && file_open(path, ret_fd) == 0)
        return 0;
    return spec->open_archived ? spec->open_archived(spec->context, name, ret_fd) : HELD_NONE;
}

int
held_open(const ReceiverSpec *spec, const char *name, int *ret_fd)
{
    int result = open_anywhere(spec, name, ret_fd);
    if (result >= 0)
        return result;
    TRY(stop_check());
    log_debug("server '%s': '%s' was not read, to hold against it what comes: %s",
              spec->server->name, name, error_last()->text);
    return HELD_NONE;
}
