/* SPDX-License-Identifier: PostgreSQL
 * First stage of the way of a segment: what archive_command, put-wal or the archive module left in
 * incoming/. Only names are read here, never contents, so that a million waiting files cost a
 * million names and one pass over the directory. */
#include "flow/intake/intake.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static bool
is_regular(DIR *dir, const struct dirent *entry)
{
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_REG;
    struct stat st; /* some file systems do not tell in the directory */
    return fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* The mark stands in the byte before the name. */
static void
found_add(Found *found, Arena *arena, const char *name, bool is_file)
{
    if (found->count == found->room) {
        found->room = found->room ? found->room * 2 : 64;
        found->names = mem_resize(found->names, found->room, sizeof(char *));
    }
    size_t length = strlen(name);
    char *copy = arena_alloc(arena, length + 2);
    copy[0] = is_file ? 'f' : 'x';
    memcpy(copy + 1, name, length);
    found->names[found->count++] = copy + 1;
}

bool
found_is_file(const char *name)
{
    return name[-1] == 'f';
}

void
found_done(Found *found)
{
    free(found->names);
    *found = (Found){0};
}

int
incoming_scan(const char *directory, Arena *arena, Found *ret_found)
{
    AUTO(closedir) DIR *dir = opendir(directory);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return fail_errno("open directory '%s'", directory);
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0)
        if (entry->d_name[0] != '.' && !str_ends(entry->d_name, ".tmp"))
            found_add(ret_found, arena, entry->d_name, is_regular(dir, entry));
    if (errno)
        return fail_errno("read directory '%s'", directory);
    return 0;
}
