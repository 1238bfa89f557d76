/* SPDX-License-Identifier: PostgreSQL
 * The first look of the gate (flow/gate.c), taken where PostgreSQL still has the file and its DBA
 * can be told. Often there is nothing to see: only incoming/ is mounted, the archive is elsewhere,
 * or belongs to an account that lets nobody in. Then nothing is refused, the archiver will look.
 *
 * For each file: one stat and, for a segment, one small read. */
#include "pgmodule/beside.h"

#include "base/file.h"
#include "wal/identity.h"
#include "wal/name.h"
#include "wal/page.h"

void
beside_of(const char *incoming, Beside *beside)
{
    size_t length = strlen(incoming);
    while (length > 0 && incoming[length - 1] == '/')
        length--;
    while (length > 0 && incoming[length - 1] != '/')
        length--;
    while (length > 0 && incoming[length - 1] == '/')
        length--;
    *beside = (Beside){.cluster = beside->cluster};
    snprintf(beside->directory, sizeof(beside->directory), "%.*s", (int)length, incoming);
}

/* The first bytes of a segment against its name. A file that cannot be read is told by whoever
 * needs it. */
static WalHeaderVerdict
look_inside(const char *path, const char *name, WalFacts *ret_facts, char *ret_reason)
{
    char head[WAL_LONG_HEADER_SIZE];
    WalName parts;
    size_t got = 0;
    AUTO(close) int fd = -1;
    if (!wal_name_parse(name, &parts) || (parts.kind != WAL_SEGMENT && parts.kind != WAL_PARTIAL) ||
        file_open(path, &fd) < 0 || file_read(fd, head, sizeof(head), path, &got) < 0)
        return WAL_HEADER_UNKNOWN;
    return wal_header_check(head, got, &parts, ret_facts, ret_reason);
}

/* It is made by the archiver at first contact, and taken away by whoever replaces the cluster. */
static void
learn_owner(Beside *beside)
{
    AUTO(free) char *path = mem_printf("%s/identity.json", beside->directory);
    struct stat now;
    if (stat(path, &now) < 0) {
        beside->owner = 0;
        beside->identity = (struct stat){0};
        return;
    }
    if (file_unchanged(&beside->identity, &now))
        return;
    beside->identity = now;
    if (identity_read(beside->directory, &beside->owner) < 0)
        snprintf(beside->notice, sizeof(beside->notice),
                 "archiving without knowing whose archive it is: %s", error_last()->text);
}

int
beside_admits(Beside *beside, const char *name, const char *path)
{
    char reason[WAL_REASON_ROOM];
    WalFacts facts = {.system_id = beside->cluster};
    if (look_inside(path, name, &facts, reason) == WAL_HEADER_FOREIGN)
        return fail(ERR_DATA, "it is not what its name says: %s", reason);
    learn_owner(beside);
    if (!beside->owner || !facts.system_id || facts.system_id == beside->owner)
        return 0;
    return hint(fail(ERR_DATA,
                     "it is of the cluster with system identifier %llu, and the archive in '%s' is "
                     "that of %llu",
                     (unsigned long long)facts.system_id, beside->directory,
                     (unsigned long long)beside->owner),
                "each cluster needs an archive of its own; see check-wal-archive");
}

bool
beside_has(const Beside *beside, const char *name, char *ret_path)
{
    char relative[WAL_PATH_ROOM];
    struct stat st;
    if (wal_kind(name) == WAL_NONE)
        return false;
    wal_relative_path(name, relative);
    int length = snprintf(ret_path, PATH_MAX, "%s/wals/%s", beside->directory, relative);
    return length < PATH_MAX && stat(ret_path, &st) == 0;
}

bool
beside_is_plain(const char *path, const char *name)
{
    char reason[WAL_REASON_ROOM];
    WalFacts facts;
    WalHeaderVerdict verdict = look_inside(path, name, &facts, reason);
    return verdict == WAL_HEADER_FITS || verdict == WAL_HEADER_FOREIGN;
}
