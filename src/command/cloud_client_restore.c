/* SPDX-License-Identifier: PostgreSQL
 * barman-cloud-wal-restore: fetches one WAL file from an object store, for restore_command, with
 * Barman's options and exit codes. What is chosen is the object of exactly this name, before a
 * compressed one, before a partial segment, which is filled up with zeros. WAL_DEST comes into
 * being whole, verified and durable, or not at all.
 *
 * PostgreSQL takes the codes 1 to 125 for "there is no such file" and may end a recovery there.
 * Where Barman's client would hand over a damaged file, the code here is therefore 200. */
#include "command/cloud_client.h"

#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"
#include "flow/handout.h"
#include "wal/name.h"

enum Option { NO_PARTIAL = CLOUD_OPTIONS, POSTGRES_CODES, OPTIONS };

static const Argument options[] = {
    CLOUD_COMMON,
    [NO_PARTIAL] = {{"no-partial", "", NULL, "do not take a partial segment"}},
    [POSTGRES_CODES] = {{"postgres-exit-codes", "", NULL,
                         "answer 200 whenever it could not be found out\nwhether the file is "
                         "there"}},
};

static const CloudProgram program = {
    .name = "barman-cloud-wal-restore",
    .arguments = "SOURCE_URL SERVER_NAME WAL_NAME WAL_DEST",
    .help = "Fetches a WAL file from an object store, for restore_command:\n"
            "    barman-cloud-wal-restore s3://BUCKET/PREFIX SERVER %f %p\n"
            "\n"
            "Exit codes: 0 it is whole and durable at WAL_DEST; 1 it is certainly not\n"
            "there; 2 the store could not be reached; 3 the command line or WAL_NAME is\n"
            "wrong; 4 anything else; 200 what is there is damaged. At a code above 125\n"
            "PostgreSQL stops its recovery, at others it may end it: --postgres-exit-codes\n"
            "makes all but 0 and 1 such.",
    .options = options,
    .option_count = OPTIONS,
    .word_min = 4,
    .word_max = 4,
};

typedef struct Restore {
    const Arguments *found;
    const char *url, *server, *name, *to;
    BucketSettings settings;
} Restore;

static int
fetch(Store *store, const char *name, const Retrieval *what)
{
    AUTO(close) int fd = -1;
    bool written = false;
    const CustomCodec custom = {0};
    int found = store_read(store, name, &fd);
    if (found == STORE_MISSING)
        return RETRIEVE_MISSING;
    TRY(found);
    AUTO(free) char *path = store_path(store, name, NULL);
    int result = handout(what, &custom, fd, path, &written);
    return result == HANDOUT_ARRIVING ? fail(ERR_DATA, "'%s' is shorter than its header says", path)
                                      : result;
}

/* To an open file in the directory; RETRIEVE_MISSING. */
static int
find(const Restore *self, const char *directory, int fd)
{
    AUTO(store) Store *store = NULL;
    const StorePlace place = {.wals = self->url,
                              .server = self->server,
                              .bucket = self->settings,
                              .staging_directory = directory};
    const ServerConfig server = {.name = self->server, .wal_validation = "header"};
    const Retrieval what = {.server = &server, .name = self->name, .fd = fd};
    TRY(store_open(&place, &store));
    int result = fetch(store, self->name, &what);
    if (result != RETRIEVE_MISSING || self->found->given[NO_PARTIAL] ||
        wal_kind(self->name) != WAL_SEGMENT)
        return result;
    AUTO(free) char *partial = mem_printf("%s.partial", self->name);
    result = fetch(store, partial, &what);
    return result == RETRIEVE_MISSING ? fetch(store, self->name, &what) : result;
}

static int
restore(const Restore *self)
{
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    struct stat st;
    const char *slash = strrchr(self->to, '/');
    AUTO(free)
    char *directory =
        !slash ? mem_dup(".")
               : mem_printf("%.*s", slash == self->to ? 1 : (int)(slash - self->to), self->to);
    if (stat(self->to, &st) == 0 && !S_ISREG(st.st_mode))
        return fail(ERR_UNSUPPORTED, "WAL_DEST is no file: '%s'", self->to);
    TRY(atomic_open(directory, slash ? slash + 1 : self->to, 0666, &file));
    int result = find(self, directory, file.fd);
    return result == 0 ? atomic_replace(&file) : result;
}

/* What PostgreSQL is to be told. A standby asks again by itself: there, and only there, no code
 * ends it that would end others for their own good. */
static int
answer(const Restore *self, ErrorClass class, int code)
{
    bool standby = access("standby.signal", F_OK) == 0;
    if (class != ERR_STOPPED && !standby &&
        (class == ERR_DATA || self->found->given[POSTGRES_CODES]))
        return CLOUD_UNCERTAIN;
    return code;
}

static int
run(const Restore *self)
{
    if (wal_kind(self->name) == WAL_NONE) {
        log_error("%s is an invalid name for a WAL file", self->name);
        return answer(self, ERR_USAGE, CLOUD_USAGE);
    }
    if (self->found->given[CLOUD_TEST])
        return cloud_test(self->url, &self->settings);
    int result = restore(self);
    if (result == 0)
        return CLOUD_DONE;
    if (result == RETRIEVE_MISSING) {
        log_error("WAL file %s for server %s does not exists", self->name, self->server);
        return CLOUD_REFUSED;
    }
    /* Who cannot find the bucket does not know that the file is missing. */
    ErrorClass class = error_last()->class;
    return answer(self, class, cloud_fail(self->url, &self->settings, CLOUD_FAILED));
}

int
cloud_wal_restore_main(int argc, char **argv)
{
    AUTO(arguments) Arguments found;
    int code = CLOUD_FAILED;
    if (cloud_begin(&program, argc, argv, &found, &code) == CLOUD_ENDS)
        return code;
    char *const *words = found.words.items;
    const Restore self = {.found = &found,
                          .url = words[0],
                          .server = words[1],
                          .name = words[2],
                          .to = words[3],
                          .settings = cloud_settings(&found)};
    return run(&self);
}
