/* SPDX-License-Identifier: PostgreSQL
 * walden_archive, for PostgreSQL's archive_library: gives the archiver's calls to push.c, and what
 * comes of them back to the server's log. The only place that knows PostgreSQL's headers; 15 to 18.
 *
 * It runs inside the server's archiver process. A failure is a WARNING and `false`, on which
 * PostgreSQL tries again, and never an ERROR, which up to 16 ends the process. Of PostgreSQL's
 * functions only those are called that do not raise one, and none while push.c is at work, so that
 * no longjmp crosses its frames. When memory is gone, a reserve is given back, the call fails, and
 * the next one begins by laying in a new reserve. */
#pragma GCC visibility push(default) /* 15 does not say itself what is to be seen from outside */
#include <postgres.h>

#include <fmgr.h>
#include <miscadmin.h>
#include <postmaster/interrupt.h>
#include <storage/pmsignal.h>
#include <utils/guc.h>
#if PG_VERSION_NUM >= 160000
#include <archive/archive_module.h>
#else
#include <postmaster/pgarch.h>
#endif
#include <access/xlog.h>

PG_MODULE_MAGIC;
extern void _PG_init(void);
#if PG_VERSION_NUM >= 160000
extern const ArchiveModuleCallbacks *_PG_archive_module_init(void);
#else
extern void _PG_archive_module_init(ArchiveModuleCallbacks *callbacks);
#endif
#pragma GCC visibility pop

#include "base/mem.h"
#include "pgmodule/push.h"

#if PG_VERSION_NUM < 150000
#error "archive modules came with PostgreSQL 15"
#endif

enum { RESERVE = 1 << 20 }; /* more than one call ever asks for */

static char *incoming_wals_directory; /* the setting */
static void *reserve;
static Push push;

static void
give_reserve(size_t size)
{
    (void)size;
    free(take(reserve));
}

static bool
must_stop(void)
{
    return ShutdownRequestPending || !PostmasterIsAlive();
}

/* PostgreSQL warns that archiving is not configured, and tries again; this says what is missing. */
static bool
configured(void)
{
    if (incoming_wals_directory && *incoming_wals_directory)
        return true;
#if PG_VERSION_NUM >= 170000
    arch_module_check_errdetail("%s is not set.", "walden.incoming_wals_directory");
#else
    ereport(WARNING, (errmsg("walden.incoming_wals_directory is not set")));
#endif
    return false;
}

static bool
archive(const char *file, const char *path)
{
    if (!reserve && !(reserve = malloc(RESERVE))) {
        ereport(WARNING, (errmsg("could not archive \"%s\": out of memory", file)));
        return false;
    }
    push.segment_size = (uint32_t)wal_segment_size;
    int result = push_to(&push, incoming_wals_directory);
    if (result == 0)
        result = push_file(&push, file, path);
    if (result == 0)
        return true;
    const Error *error = error_last();
    if (error->class != ERR_STOPPED)
        ereport(WARNING, (errmsg("could not archive \"%s\": %s", file, error->text),
                          error->hint[0] ? errhint("%s.", error->hint) : 0));
    return false;
}

void
_PG_init(void)
{
    DefineCustomStringVariable(
        "walden.incoming_wals_directory",
        "The directory from which Walden, or Barman, takes the WAL of this server.", NULL,
        &incoming_wals_directory, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
    MarkGUCPrefixReserved("walden");
    mem_exhausted = give_reserve;
    push.stop = must_stop;
    /* Makes the C library provide for the thread's record now: later it would abort if it cannot.
     */
    error_restore(&(Error){.class = ERR_IO});
}

#if PG_VERSION_NUM >= 160000

static bool
check_configured(ArchiveModuleState *state)
{
    (void)state;
    return configured();
}

static bool
archive_file(ArchiveModuleState *state, const char *file, const char *path)
{
    (void)state;
    return archive(file, path);
}

const ArchiveModuleCallbacks *
_PG_archive_module_init(void)
{
    static const ArchiveModuleCallbacks callbacks = {
        .check_configured_cb = check_configured,
        .archive_file_cb = archive_file,
    };
    return &callbacks;
}

#else

void
_PG_archive_module_init(ArchiveModuleCallbacks *callbacks)
{
    callbacks->check_configured_cb = configured;
    callbacks->archive_file_cb = archive;
}

#endif
