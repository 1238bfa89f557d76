/* SPDX-License-Identifier: PostgreSQL
 * errors/: what cannot be archived is kept there, for people to look at. Nothing is ever deleted.
 */
#include "flow/queue/queue.h"

#include "base/file.h"

#include <limits.h>

enum { TRIES = 60 };

int
quarantine(const char *errors_directory, const char *from_directory, const char *name,
           const char *suffix)
{
    AUTO(free) char *from = mem_printf("%s/%s", from_directory, name);
    time_t now = time(NULL);
    AUTO(free) char *up = mem_printf("%s/..", errors_directory);
    TRY(dir_make(errors_directory));
    /* Whoever made the directory may have died before its name was durable. */
    TRY(dir_sync(up));
    for (int later = 0; later < TRIES; later++) {
        char stamp[STAMP_ROOM];
        time_format_stamp(now + later, stamp);
        /* A name near the limit keeps its beginning. */
        int room = NAME_MAX - (int)sizeof(stamp) - (int)strlen(suffix) - 1;
        AUTO(free) char *to = mem_printf("%.*s.%s.%s", room, name, stamp, suffix);
        int moved = file_move(from, errors_directory, to);
        if (moved == FILE_GONE)
            return QUARANTINE_GONE;
        if (moved != FILE_EXISTS)
            return moved;
    }
    return fail(ERR_IO, "no free name for '%s' in '%s'", name, errors_directory);
}
