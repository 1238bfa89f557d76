/* SPDX-License-Identifier: PostgreSQL
 * A timeline's history belongs into the archive before its WAL: a recovery finds its way by them.
 * What the server answers is read before it is believed; a file that is there is left alone. */
#include "flow/intake/histories.h"

#include "base/file.h"

int
history_ask(PgConnection *connection, Arena *arena, Timeline timeline, const char **ret_text,
            History *ret_history)
{
    const char *text = NULL;
    History history;
    TRY(pg_timeline_history(connection, arena, timeline, &text));
    TRY(wrap(history_parse(text, arena, &history), "history of timeline %u", timeline));
    Timeline parent = history.entries[history.count - 1].parent;
    if (parent >= timeline)
        return fail(ERR_DATA, "history of timeline %u: its parent is timeline %u", timeline,
                    parent);
    *ret_text = text;
    *ret_history = history;
    return 0;
}

int
history_save(const char *directory, Timeline timeline, const char *text)
{
    AUTO(free) char *name = mem_printf("%08X.history", timeline);
    AUTO(free) char *path = mem_printf("%s/%s", directory, name);
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    if (access(path, F_OK) == 0)
        return 0;
    TRY(atomic_open(directory, name, 0600, &file));
    TRY(file_write(file.fd, text, strlen(text), name));
    TRY(file_sync(file.fd, path));
    int result = atomic_publish(&file);
    return result < 0 ? result : dir_sync(directory);
}
