/* SPDX-License-Identifier: PostgreSQL
 * Giving up root for the account that owns the archive. */
#include "base/user.h"

#include "base/mem.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

static int
find_account(const char *name, struct passwd *ret_entry, char *buffer, size_t size, bool *ret_found)
{
    struct passwd *found = NULL;
    errno = getpwnam_r(name, ret_entry, buffer, size, &found);
    if (errno)
        return fail_errno("look up the account '%s'", name);
    *ret_found = found != NULL;
    return 0;
}

int
user_become(const char *name, bool must_be)
{
    struct passwd entry;
    char buffer[4096];
    bool found = false;
    TRY(find_account(name, &entry, buffer, sizeof(buffer), &found));
    if (!found && must_be)
        return hint(fail(ERR_CONFIG, "the account '%s' of option barman_user does not exist", name),
                    "create it, or set barman_user to the account that owns the archive");
    if (!found || entry.pw_uid == geteuid())
        return 0;
    if (geteuid() != 0 && must_be)
        return fail(ERR_CONFIG, "please run as user '%s' (option barman_user)", name);
    if (geteuid() != 0)
        return 0;
    if (initgroups(entry.pw_name, entry.pw_gid) < 0 || setgid(entry.pw_gid) < 0 ||
        setuid(entry.pw_uid) < 0)
        return fail_errno("become user '%s'", name);
    setenv("HOME", entry.pw_dir, 1); /* NOLINT(concurrency-mt-unsafe): before any thread */
    return 0;
}
