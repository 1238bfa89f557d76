/* SPDX-License-Identifier: PostgreSQL
 * First stage of the way of a segment: what archive_command, put-wal or the archive module left in
 * incoming/. Only names are read here, never contents, so that a million waiting files cost a
 * million names and one pass over the directory. */
#include "flow/intake/intake.h"

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

int
incoming_scan(const char *directory, StrList *files, StrList *others)
{
    AUTO(closedir) DIR *dir = opendir(directory);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return fail_errno("open directory '%s'", directory);
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0)
        if (entry->d_name[0] != '.' && !str_ends(entry->d_name, ".tmp"))
            strlist_add(is_regular(dir, entry) ? files : others, entry->d_name);
    if (errno)
        return fail_errno("read directory '%s'", directory);
    return 0;
}
