/* SPDX-License-Identifier: PostgreSQL
 * A loss is acknowledged by a person, for a reason; from then on it is told as known each time, and
 * no longer as a fault. Nothing is ever forgotten here: to take an entry back is to edit the file.
 */
#include "flow/losses.h"

#include "base/file.h"
#include "wal/name.h"

#include <errno.h>
#include <jansson.h>
#include <pwd.h>

enum { FILE_MAX = 16 << 20 };

static char *
file_name(const ServerConfig *server)
{
    return mem_printf("%s-xlog.db.lost", server->name);
}

static int
parse_range(const char *first, const char *last, WalName *ret_first, WalName *ret_last)
{
    const char *names[] = {first, last};
    WalName *parsed[] = {ret_first, ret_last};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (!wal_name_parse(names[i], parsed[i]) || parsed[i]->kind != WAL_SEGMENT)
            return fail(ERR_USAGE, "'%s' is not the name of a WAL segment", names[i]);
    if (ret_first->timeline != ret_last->timeline)
        return fail(ERR_USAGE, "'%s' and '%s' are of different timelines", first, last);
    if (strcasecmp(first, last) > 0)
        return fail(ERR_USAGE, "'%s' comes after '%s'", first, last);
    return 0;
}

/* The entries of the file; an empty list without one. */
static int
read_entries(const ServerConfig *server, json_t **ret_root)
{
    AUTO(free) char *name = file_name(server);
    AUTO(free) char *path = mem_printf("%s/%s", server->xlogdb_directory, name);
    AUTO(str) Str text = {0};
    json_error_t error;
    int result = file_read_text(path, FILE_MAX, &text);
    if (result < 0 && error_last()->os_error == ENOENT) {
        *ret_root = json_pack("{s:[]}", "lost");
        return 0;
    }
    TRY(result);
    json_t *root = json_loadb(text.data ? text.data : "", text.length, 0, &error);
    if (json_is_array(json_object_get(root, "lost"))) {
        *ret_root = root;
        return 0;
    }
    json_decref(root);
    return hint(fail(ERR_DATA, "'%s' is no list of acknowledged losses", path),
                "restore the file, or remove it and acknowledge them again");
}

static const char *
member(const json_t *entry, const char *key, Arena *arena)
{
    return arena_dup(arena, json_string_value(json_object_get(entry, key)));
}

static int
load_entry(const json_t *entry, Arena *arena, Loss *ret_loss)
{
    WalName first, last;
    Loss loss = {.first = member(entry, "first", arena),
                 .last = member(entry, "last", arena),
                 .reason = member(entry, "reason", arena),
                 .by = member(entry, "by", arena),
                 .at = member(entry, "at", arena)};
    if (!loss.first || !loss.last || !loss.reason || !loss.by || !loss.at)
        return fail(ERR_DATA, "an acknowledged loss has not all of first, last, reason, by, at");
    if (parse_range(loss.first, loss.last, &first, &last) < 0)
        return fail(ERR_DATA, "an acknowledged loss is no range: '%s' to '%s'", loss.first,
                    loss.last);
    loss.timeline = first.timeline;
    *ret_loss = loss;
    return 0;
}

int
losses_load(const ServerConfig *server, Arena *arena, Losses *ret_losses)
{
    json_t *root = NULL;
    TRY(read_entries(server, &root));
    const json_t *list = json_object_get(root, "lost");
    Losses losses = {.count = json_array_size(list)};
    losses.items = arena_alloc(arena, losses.count * sizeof(Loss));
    int result = 0;
    for (size_t i = 0; i < losses.count && result == 0; i++)
        result = load_entry(json_array_get(list, i), arena, &losses.items[i]);
    json_decref(root);
    if (result < 0)
        return hint(wrap(result, "'%s/%s-xlog.db.lost'", server->xlogdb_directory, server->name),
                    "correct the file, or remove it and acknowledge them again");
    *ret_losses = losses;
    return 0;
}

/* Who did it: the person behind sudo, if there is one. */
static char *
person(void)
{
    const char *sudo = getenv("SUDO_USER"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    struct passwd entry, *found = NULL;
    char buffer[4096];
    if (sudo && *sudo)
        return mem_dup(sudo);
    if (getpwuid_r(getuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found)
        return mem_dup(found->pw_name);
    return mem_printf("%u", (unsigned)getuid());
}

static int
write_entries(const ServerConfig *server, const json_t *root)
{
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    AUTO(free) char *name = file_name(server);
    char *text = json_dumps(root, JSON_INDENT(4) | JSON_ENSURE_ASCII);
    int result = text ? atomic_open(server->xlogdb_directory, name, 0666, &file)
                      : fail(ERR_DATA, "'%s' cannot be written as JSON", name);
    if (result == 0)
        result = file_write(file.fd, text, strlen(text), name);
    if (result == 0)
        result = file_write(file.fd, "\n", 1, name);
    free(text);
    return result < 0 ? result : atomic_replace(&file);
}

int
losses_add(const ServerConfig *server, const char *first, const char *last, const char *reason)
{
    WalName from, to;
    char at[STAMP_ROOM];
    json_t *root = NULL;
    TRY(parse_range(first, last, &from, &to));
    TRY(read_entries(server, &root));
    AUTO(free) char *by = person();
    time_format_stamp(time(NULL), at);
    json_t *entry = json_pack("{s:s, s:s, s:s, s:s, s:s}", "first", first, "last", last, "reason",
                              reason, "by", by, "at", at);
    int result = entry ? 0 : fail(ERR_USAGE, "the reason is not UTF-8 text");
    if (entry)
        json_array_append_new(json_object_get(root, "lost"), entry);
    if (result == 0)
        result = write_entries(server, root);
    json_decref(root);
    return result;
}

int
losses_place(Losses *losses, uint32_t segment_size)
{
    for (size_t i = 0; i < losses->count; i++) {
        Loss *loss = &losses->items[i];
        WalName first, last;
        bool fits = wal_name_parse(loss->first, &first) && wal_name_parse(loss->last, &last) &&
                    wal_segment_start(&first, segment_size, &loss->begin) &&
                    wal_segment_start(&last, segment_size, &loss->end);
        if (!fits || loss->end > UINT64_MAX - segment_size)
            return fail(ERR_DATA,
                        "the acknowledged loss '%s' to '%s' cannot be one of segments of %u bytes",
                        loss->first, loss->last, segment_size);
        loss->end += segment_size;
    }
    return 0;
}

int
losses_explaining(const Losses *losses, Timeline timeline, Lsn lsn)
{
    for (size_t i = 0; i < losses->count; i++) {
        const Loss *loss = &losses->items[i];
        if (loss->timeline == timeline && lsn >= loss->begin && lsn < loss->end)
            return (int)i;
    }
    return -1;
}
