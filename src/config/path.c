/* SPDX-License-Identifier: PostgreSQL
 * Home directories, and which directory a path means when parts of it do not exist yet. Nothing is
 * created or opened here. */
#include "config/path.h"

#include <pwd.h>

const char *
path_expand(Arena *arena, const char *path)
{
    if (*path != '~')
        return path;
    size_t length = strcspn(path, "/");
    const char *home = length == 1 ? getenv("HOME") : NULL;
    struct passwd entry, *found = NULL;
    char buffer[4096];
    if (!home && length == 1)
        getpwuid_r(getuid(), &entry, buffer, sizeof(buffer), &found);
    else if (!home)
        getpwnam_r(arena_dup_part(arena, path + 1, length - 1), &entry, buffer, sizeof(buffer),
                   &found);
    home = found ? found->pw_dir : home;
    return home ? arena_printf(arena, "%s%s", home, path + length) : path;
}

const char *
path_real(Arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    AUTO(free) char *real = *path ? realpath(path, NULL) : NULL;
    if (real)
        return arena_dup(arena, real);
    if (!slash && (!*path || strcmp(path, ".") == 0))
        return path; /* there is no working directory */
    if (slash == path && !path[1])
        return "/";

    /* The last part is missing: it is taken by its name, within what the rest means. */
    const char *last = slash ? slash + 1 : path, *parent = ".";
    if (slash)
        parent = slash == path ? "/" : arena_dup_part(arena, path, (size_t)(slash - path));
    parent = path_real(arena, parent);
    if (!*last || strcmp(last, ".") == 0)
        return parent;
    if (strcmp(last, "..") == 0) {
        slash = strrchr(parent, '/');
        return slash && slash > parent ? arena_dup_part(arena, parent, (size_t)(slash - parent))
                                       : "/";
    }
    const char *whole = arena_printf(arena, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, last);
    real = realpath(whole, NULL); /* it is there after all, behind a ".." */
    return real ? arena_dup(arena, real) : whole;
}
