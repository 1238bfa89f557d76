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

#include <catalog/pg_control.h>
#include <fcntl.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <postmaster/interrupt.h>
#include <storage/pmsignal.h>
#include <utils/guc.h>
#include <utils/pidfile.h>
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

#include "base/clock.h"
#include "base/mem.h"
#include "pgmodule/push.h"
#include "pgmodule/relay.h"

#if PG_VERSION_NUM < 150000
#error "archive modules came with PostgreSQL 15"
#endif

enum {
    RESERVE = 1 << 20, /* more than one call ever asks for */
    LOOK_MS = 1000,
    GRACE_MS = 10000,
};

enum { MODE_DIRECTORY, MODE_PUT_WAL, MODE_OBJECT_STORE };

static const struct config_enum_entry modes[] = {{"directory", MODE_DIRECTORY, false},
                                                 {"put-wal", MODE_PUT_WAL, false},
                                                 {"object-store", MODE_OBJECT_STORE, false},
                                                 {NULL, 0, false}};

/* The settings */
static int mode = MODE_DIRECTORY;
static char *incoming_wals_directory, *config_file, *server_name, *host, *program;

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

/* What a file of the data directory holds from there on, as far as there is room; <0: nothing. */
static ssize_t
peek(const char *path, off_t from, void *ret_data, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : pread(fd, ret_data, room, from);
    if (fd >= 0)
        close(fd);
    return size;
}

/* The status is in the lock file of the data directory. */
static bool
server_is_stopping(void)
{
    char text[2048];
    ssize_t size = peek("postmaster.pid", 0, text, sizeof(text) - 1);
    if (size < 0)
        return false;
    text[size] = '\0';
    const char *line = text;
    for (int i = 1; line && i < LOCK_FILE_LINE_PM_STATUS; i++)
        line = (line = strchr(line, '\n')) ? line + 1 : NULL;
    return line && strncmp(line, PM_STATUS_STOPPING, strlen(PM_STATUS_STOPPING)) == 0;
}

/* A stopping server may go on for hours with the sessions that it has (smart), and some time with
 * its last checkpoint; only behind that it waits for its archiver. */
static bool
last_checkpoint_is_done(void)
{
    DBState state;
    return peek("global/pg_control", offsetof(ControlFileData, state), &state, sizeof(state)) ==
               sizeof(state) &&
           (state == DB_SHUTDOWNED || state == DB_SHUTDOWNED_IN_RECOVERY);
}

/* PostgreSQL does not tell its archiver that it shuts down, but asks it to bring the last files,
 * and waits for that. A helper may hang, and must not keep it from its end; but one that is at work
 * on the last file gets some time. */
static bool
must_stop_helper(void)
{
    static int64_t looked_ms, noticed_ms;
    int64_t now = clock_ms();
    if (now - looked_ms >= LOOK_MS) {
        looked_ms = now;
        if (!server_is_stopping() || !last_checkpoint_is_done())
            noticed_ms = 0;
        else if (!noticed_ms)
            noticed_ms = now;
    }
    return must_stop() || (noticed_ms && now - noticed_ms >= GRACE_MS);
}

static Relay
relay_of_settings(void)
{
    static const RelayRoad roads[] = {[MODE_DIRECTORY] = RELAY_NONE,
                                      [MODE_PUT_WAL] = RELAY_PUT_WAL,
                                      [MODE_OBJECT_STORE] = RELAY_OBJECT_STORE};
    return (Relay){.road = roads[mode],
                   .program = program,
                   .config_file = config_file,
                   .server = server_name,
                   .host = host,
                   .stop = must_stop_helper};
}

/* PostgreSQL warns that archiving is not configured, and tries again; this says what is missing. */
static bool
configured(void)
{
    Relay relay = relay_of_settings();
    bool has_directory = incoming_wals_directory && *incoming_wals_directory;
    const char *lacks = mode != MODE_DIRECTORY ? relay_lacks(&relay)
                        : has_directory        ? NULL
                                               : "walden.incoming_wals_directory";
    if (!lacks)
        return true;
#if PG_VERSION_NUM >= 170000
    arch_module_check_errdetail("%s is not set.", lacks);
#else
    ereport(WARNING, (errmsg("%s is not set", lacks)));
#endif
    return false;
}

static int
bring(const char *file, const char *path)
{
    if (mode != MODE_DIRECTORY) {
        Relay relay = relay_of_settings();
        return relay_file(&relay, path);
    }
    push.segment_size = (uint32_t)wal_segment_size;
    push.program = relay_of_settings();
    push.beside.cluster = GetSystemIdentifier();
    int result = push_to(&push, incoming_wals_directory);
    return result == 0 ? push_file(&push, file, path) : result;
}

/* Whoever reads the log shall know why files are left that wait; an archiver lives to see one
 * shutdown. */
static void
tell_stopped(const char *file)
{
    static bool told;
    if (told || mode == MODE_DIRECTORY || !PostmasterIsAlive())
        return;
    told = true;
    ereport(WARNING,
            (errmsg("could not archive \"%s\": the helper was ended, because the server shuts down",
                    file),
             errhint("What is not archived yet will be after the next start.")));
}

static bool
archive(const char *file, const char *path)
{
    if (!reserve && !(reserve = malloc(RESERVE))) {
        ereport(WARNING, (errmsg("could not archive \"%s\": out of memory", file)));
        return false;
    }
    int result = bring(file, path);
    if (push.beside.notice[0])
        ereport(WARNING, (errmsg("%s", push.beside.notice)));
    push.beside.notice[0] = '\0';
    if (result == 0)
        return true;
    const Error *error = error_last();
    if (error->class == ERR_STOPPED)
        tell_stopped(file);
    else
        ereport(WARNING, (errmsg("could not archive \"%s\": %s", file, error->text),
                          error->hint[0] ? errhint("%s.", error->hint) : 0));
    return false;
}

void
_PG_init(void)
{
    const struct {
        const char *name, *what;
        char **value;
    } texts[] = {
        {"walden.incoming_wals_directory",
         "The directory from which Walden, or Barman, takes the WAL of this server.",
         &incoming_wals_directory},
        {"walden.config_file", "Walden's configuration file, for its program.", &config_file},
        {"walden.server", "The name that this server has in Walden's configuration.", &server_name},
        {"walden.host", "[USER@]HOST to which put-wal sends WAL, by ssh.", &host},
        {"walden.program", "The program that brings WAL to another host or an object store.",
         &program},
    };
    DefineCustomEnumVariable("walden.mode", "Where finished WAL goes.", NULL, &mode, MODE_DIRECTORY,
                             modes, PGC_SIGHUP, 0, NULL, NULL, NULL);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        DefineCustomStringVariable(texts[i].name, texts[i].what, NULL, texts[i].value, "",
                                   PGC_SIGHUP, 0, NULL, NULL, NULL);
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
