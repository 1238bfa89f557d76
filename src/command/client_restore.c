/* SPDX-License-Identifier: PostgreSQL
 * barman-wal-restore: fetches one WAL file from get-wal on the archive's host, with Barman's
 * options and exit codes, and may fetch those that will be asked for next into a spool meanwhile.
 * WAL_DEST comes into being whole or not at all.
 *
 * PostgreSQL takes the codes 1 to 125 for "there is no such file" and may end a recovery there.
 * Where Barman's client would hand over a damaged file, the code here is therefore 200. */
#include "base/clock.h"
#include "base/file.h"
#include "command/client.h"
#include "command/options.h"
#include "flow/spool.h"
#include "version.h"
#include "wal/identity.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

enum { EXIT_MISSING = 1, EXIT_PLACE = 3, EXIT_UNCERTAIN = 200, EXIT_SIGNAL = 128 };
enum { JOBS_MAX = 64, SLEEP_MAX = 24 * 60 * 60, AHEAD_MS = 10 * 1000 };

enum Option {
    USER,
    PORT,
    CONFIG,
    SLEEP,
    PARALLEL,
    SPOOL,
    PARTIAL,
    GZIP,
    BZIP2,
    KEEP,
    TEST,
    POSTGRES_CODES,
    VERSION,
    HELP,
    OPTIONS
};

static const CommandOption options[] = {
    [USER] = {"user", "U", "USER", "account on the archive's host (barman)"},
    [PORT] = {"port", "", "PORT", "of its ssh server"},
    [CONFIG] = {"config", "c", "FILE", "configuration file on the archive's host"},
    [SLEEP] = {"sleep", "s", "SECONDS", "wait so long before a failure is told (0)"},
    [PARALLEL] = {"parallel", "p", "JOBS",
                  "fetch so many files at once: the one that is\nasked for, and the next (0)"},
    [SPOOL] = {"spool-dir", "", "DIR", "where those wait (/var/tmp/walrestore)"},
    [PARTIAL] = {"partial", "P", NULL, "take a partial segment when there is no whole one"},
    [GZIP] = {"gzip", "z", NULL, "have it compressed on the way; deprecated"},
    [BZIP2] = {"bzip2", "j", NULL, "the same; deprecated"},
    [KEEP] = {"keep-compression", "", NULL, "have it sent as it is stored"},
    [TEST] = {"test", "t", NULL, "only check that WAL could be fetched"},
    [POSTGRES_CODES] = {"postgres-exit-codes", "", NULL,
                        "answer 200 whenever it could not be found out\nwhether the file is there"},
    [VERSION] = {"version", "V", NULL, "print the version and exit"},
    [HELP] = {"help", "h", NULL, "print this and exit"},
};

typedef struct Restore {
    ClientTarget target;
    const char *const *given; /* options */
    const char *server;
    Order order;
    char *to_dir;
    const char *to_name;
    const char *spool_root;
    char *spool; /* NULL: none */
    int64_t jobs, sleep;
} Restore;

/* Asks the far side for one file; *ret_status is its exit code. DELIVERY_NOTHING as that of
 * delivery_finish. */
static int
fetch(const Restore *self, const Order *order, int fd, bool (*stop)(void), int *ret_status)
{
    AUTO(delivery) Delivery delivery;
    const char *words[8] = {"get-wal"};
    size_t count = 1;
    if (self->given[GZIP])
        words[count++] = "--gzip";
    if (self->given[BZIP2])
        words[count++] = "--bzip2";
    if (self->given[KEEP])
        words[count++] = "--keep-compression";
    if (order->partial)
        words[count++] = "--partial";
    words[count++] = self->server;
    words[count++] = order->name;
    delivery_begin(order, fd, &delivery);
    const ClientCall call = {.words = words,
                             .stdin_fd = -1,
                             .on_data = delivery_push,
                             .context = &delivery,
                             .stop = stop};
    TRY(client_call(&self->target, &call, ret_status));
    return *ret_status == 0 ? delivery_finish(&delivery) : 0;
}

/* Fetching ahead */

typedef struct Ahead {
    const Restore *restore;
    StrList names;        /* that come after the one that is asked for */
    atomic_bool hopeless; /* that one could not be had */
} Ahead;

typedef struct AheadFile {
    const Restore *restore;
    const char *name;
    pthread_t thread;
    bool started;
} AheadFile;

/* PostgreSQL waits for us, and what it has asked for is there: as long again as that took, and ten
 * seconds, but no longer. Of the whole process, as is what it was asked for. */
static _Atomic int64_t ahead_until = INT64_MAX;

static bool
ahead_is_late(void)
{
    return clock_ms() >= ahead_until;
}

static int
fetch_ahead(const Restore *self, const char *name)
{
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    const Order order = {.name = name, .system_id = self->order.system_id};
    int status = 0;
    TRY(atomic_open(self->spool, name, 0666, &file));
    int result = fetch(self, &order, file.fd, ahead_is_late, &status);
    return result == 0 && status == 0 ? spool_add(&file) : result;
}

static void *
run_file(void *context)
{
    const AheadFile *file = context;
    if (fetch_ahead(file->restore, file->name) < 0)
        fprintf(stderr, "WARNING: fetching '%s' ahead: %s\n", file->name, error_last()->text);
    return NULL;
}

static void
note_name(void *context, bool is_stderr, const char *line)
{
    Ahead *self = context;
    const Order *order = &self->restore->order;
    if (is_stderr)
        fprintf(stderr, "%s\n", line);
    else if (wal_kind(line) == WAL_SEGMENT && strncmp(line, order->name, 8) == 0 &&
             strcmp(line, order->name) > 0 && self->names.count < (size_t)self->restore->jobs - 1)
        strlist_add(&self->names, line);
}

/* Which files come next? */
static int
peek(Ahead *self)
{
    const Restore *restore = self->restore;
    AUTO(free) char *count = mem_printf("%d", (int)restore->jobs);
    const char *const words[] = {"get-wal",           "--peek", count, restore->server,
                                 restore->order.name, NULL};
    const ClientCall call = {.words = words,
                             .stdin_fd = -1,
                             .on_line = note_name,
                             .context = self,
                             .stop = ahead_is_late};
    int status = 0;
    TRY(client_call(&restore->target, &call, &status));
    if (status != 0 || self->names.count == 0 || self->hopeless)
        return 0;
    TRY(spool_make(restore->spool_root, restore->spool));
    return spool_sweep(restore->spool_root, restore->spool, &self->names);
}

static void *
run_ahead(void *context)
{
    Ahead *self = context;
    AheadFile files[JOBS_MAX];
    if (peek(self) < 0)
        fprintf(stderr, "WARNING: nothing is fetched ahead: %s\n", error_last()->text);
    size_t count = self->hopeless ? 0 : self->names.count;
    for (size_t i = 0; i < count; i++) {
        AUTO(free) char *path = mem_printf("%s/%s", self->restore->spool, self->names.items[i]);
        files[i] = (AheadFile){.restore = self->restore, .name = self->names.items[i]};
        files[i].started = access(path, F_OK) < 0 &&
                           pthread_create(&files[i].thread, NULL, run_file, &files[i]) == 0;
    }
    for (size_t i = 0; i < count; i++)
        if (files[i].started)
            pthread_join(files[i].thread, NULL);
    return NULL;
}

/* The file that is asked for */

/* What PostgreSQL is to be told. A standby asks again by itself: there, and only there, no code
 * ends it that would end others for their own good. */
static int
answer(const Restore *self, int code)
{
    bool certain = code == EXIT_DONE || code == EXIT_MISSING;
    if (self->given[POSTGRES_CODES] && !certain)
        code = EXIT_UNCERTAIN;
    if (code <= EXIT_HIGHEST || access("standby.signal", F_OK) < 0)
        return code;
    fprintf(stderr, "WARNING: this is a standby, which will ask again: answering that the file is "
                    "missing\n");
    return EXIT_MISSING;
}

static int
answer_failure(const Restore *self)
{
    ErrorClass class = error_last()->class;
    if (class == ERR_STOPPED) /* as PostgreSQL expects it of a shutdown */
        return client_fail(EXIT_SIGNAL + stop_signal());
    return client_fail(answer(self, class == ERR_HOOK ? EXIT_CANNOT : EXIT_UNCERTAIN));
}

static int
answer_status(const Restore *self, int status)
{
    fail(ERR_IO, status == EXIT_SSH ? "Connection problem with ssh"
                                    : "Remote 'barman get-wal' command has failed!");
    clock_pause_ms(self->sleep * 1000);
    return client_fail(answer(self, status == EXIT_SSH        ? EXIT_CANNOT
                                    : status > EXIT_UNCERTAIN ? EXIT_UNCERTAIN
                                                              : status));
}

static int
restore_file(const Restore *self, AtomicFile *file)
{
    int status = 0, result = fetch(self, &self->order, file->fd, NULL, &status);
    if (result == 0 && status == 0)
        result = atomic_replace(file);
    if (result < 0)
        return answer_failure(self);
    if (result == DELIVERY_NOTHING) {
        fail(ERR_DATA, "nothing was written into the partial '%s' yet", self->order.name);
        return client_fail(EXIT_MISSING);
    }
    return status == 0 ? EXIT_DONE : answer_status(self, status);
}

/* The spool is there to spare time: without one, the file is fetched. */
static bool
spooled(const Restore *self)
{
    int result =
        spool_take(self->spool_root, self->spool, &self->order, self->to_dir, self->to_name);
    if (result < 0)
        fprintf(stderr, "WARNING: %s\n", error_last()->text);
    return result == 0;
}

static int
restore(const Restore *self)
{
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    Ahead ahead = {.restore = self};
    pthread_t thread;
    struct stat st;
    AUTO(free) char *path = mem_printf("%s/%s", self->to_dir, self->to_name);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        fail(ERR_USAGE, "WAL_DEST cannot be a directory, nor anything but a file: %s", path);
        return client_fail(answer(self, EXIT_PLACE));
    }
    if (spooled(self))
        return EXIT_DONE;
    if (atomic_open(self->to_dir, self->to_name, 0666, &file) < 0)
        return client_fail(answer(self, EXIT_PLACE));
    bool parallel = self->jobs > 1 && wal_kind(self->order.name) == WAL_SEGMENT &&
                    pthread_create(&thread, NULL, run_ahead, &ahead) == 0;
    int64_t began = clock_ms();
    int code = restore_file(self, &file);
    ahead_until = clock_ms() + (clock_ms() - began) + AHEAD_MS;
    ahead.hopeless = code != EXIT_DONE;
    if (parallel)
        pthread_join(thread, NULL);
    strlist_done(&ahead.names);
    return code;
}

static int
test(const Restore *self)
{
    const char *const words[] = {"get-wal", "--test", self->server, "000000010000000000000001",
                                 NULL};
    const ClientCall call = {.words = words, .stdin_fd = -1};
    int status = 0;
    if (client_call(&self->target, &call, &status) < 0)
        return client_fail(EXIT_CANNOT);
    return status == 0 ? EXIT_DONE : answer_status(self, status);
}

static int
print_help(void)
{
    puts("Usage: barman-wal-restore [OPTIONS] BARMAN_HOST SERVER_NAME WAL_NAME WAL_DEST\n\n"
         "Fetches a WAL file by ssh from the archive on another host, for restore_command:\n"
         "    restore_command = 'barman-wal-restore BARMAN_HOST SERVER_NAME %f %p'\n\n"
         "Exit codes: 0 it is whole and durable at WAL_DEST; 1 it is not there; 2 no connection\n"
         "by ssh; 3 WAL_NAME is none, or WAL_DEST cannot be written; 200 what came is damaged or\n"
         "not whole; else what get-wal answered there. At a code above 125 PostgreSQL stops its\n"
         "recovery, at others it may end it: --postgres-exit-codes makes all but 0 and 1 such.\n\n"
         "Options:");
    options_print(options, OPTIONS);
    return EXIT_DONE;
}

static int
check_options(const char *const *given, Restore *self)
{
    if (!!given[GZIP] + !!given[BZIP2] + !!given[KEEP] > 1)
        return fail(ERR_USAGE, "--gzip, --bzip2 and --keep-compression exclude each other");
    if (given[SLEEP] && !int_parse(given[SLEEP], 0, SLEEP_MAX, &self->sleep))
        return fail(ERR_USAGE, "--sleep needs a number of seconds, not '%s'", given[SLEEP]);
    if (given[PARALLEL] && !int_parse(given[PARALLEL], 0, INT32_MAX, &self->jobs))
        return fail(ERR_USAGE, "--parallel needs a number, not '%s'", given[PARALLEL]);
    self->jobs = self->jobs > JOBS_MAX ? JOBS_MAX : self->jobs;
    return 0;
}

/* A spool of its own for each far side and each data directory here, in which PostgreSQL calls us.
 */
static char *
find_spool(const Restore *self)
{
    char here[PATH_MAX];
    const ClientTarget *to = &self->target;
    AUTO(free)
    char *source = mem_printf("%s\n%s\n%s\n%s\n%s\n%s", to->host, to->user,
                              to->port ? to->port : "", to->config ? to->config : "", self->server,
                              getcwd(here, sizeof(here)) ? here : "");
    return spool_directory(self->spool_root, self->server, source);
}

static int
run(Restore *self, char *const *arguments)
{
    const char *to = arguments[3], *slash = strrchr(to, '/');
    if (self->given[GZIP] || self->given[BZIP2])
        printf(
            "WARNING: --gzip and --bzip2 are deprecated, --keep-compression takes their place\n");
    stop_on_signals();
    if (self->given[TEST])
        return test(self);
    if (wal_kind(self->order.name) == WAL_NONE) {
        fail(ERR_USAGE, "'%s' is not a valid wal file name", self->order.name);
        return client_fail(EXIT_PLACE);
    }
    /* PostgreSQL names a place in its data directory, where we are. */
    self->order.system_id = to[0] == '/' ? 0 : identity_of_cluster(".");
    AUTO(free)
    char *to_dir =
        slash ? mem_printf("%.*s", slash == to ? 1 : (int)(slash - to), to) : mem_dup(".");
    self->to_dir = to_dir;
    self->to_name = slash ? slash + 1 : to;
    AUTO(free) char *spool = find_spool(self);
    self->spool = spool;
    return restore(self);
}

int
client_wal_restore(int argc, char **argv)
{
    const char *given[OPTIONS_MAX];
    int first = 0;
    Restore self = {.given = given};
    int result = options_parse(argc, argv, options, OPTIONS, false, given, &first);
    if (result == 0 && given[HELP])
        return print_help();
    if (result == 0 && given[VERSION])
        return puts("barman-wal-restore (Walden) " WALDEN_VERSION) < 0 ? EXIT_FAILED : EXIT_DONE;
    if (result == 0 && argc - first != 4)
        result = fail(ERR_USAGE, "it needs BARMAN_HOST, SERVER_NAME, WAL_NAME and WAL_DEST");
    if (result == 0)
        result = check_options(given, &self);
    if (result < 0)
        return client_fail(EXIT_USAGE);
    self.target = (ClientTarget){.host = argv[first],
                                 .user = given[USER] ? given[USER] : "barman",
                                 .port = given[PORT],
                                 .config = given[CONFIG]};
    self.server = argv[first + 1];
    self.order = (Order){.name = argv[first + 2], .partial = given[PARTIAL] != NULL};
    self.spool_root = given[SPOOL] ? given[SPOOL] : "/var/tmp/walrestore";
    return run(&self, argv + first);
}
