/* SPDX-License-Identifier: PostgreSQL
 * walden cloud-wal-restore SERVER WAL_NAME PATH: restore_command on a database host, the twin of
 * cloud-wal-archive: get-wal to a path. The file comes into being whole and durable or not at all.
 */
#include "base/file.h"
#include "command/command.h"
#include "command/recovery.h"
#include "flow/prefetch.h"
#include "wal/name.h"

enum Option { PARTIAL, PREFETCH, BARMAN_CODES };

static const CommandOption options[] = {
    [PARTIAL] = {"partial", "P", NULL,
                 "take a partial segment, filled up with zeros,\nwhen there is no whole one"},
    [PREFETCH] = {"prefetch", "", "N",
                  "fetch up to N segments ahead, in the background,\nfor the next calls; instead "
                  "of restore_prefetch"},
    [BARMAN_CODES] = RECOVERY_BARMAN_CODES,
};

static int
restore(Retrieval *what, const char *path, size_t ahead)
{
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    const char *slash = strrchr(path, '/');
    AUTO(free)
    char *directory =
        slash ? mem_printf("%.*s", slash == path ? 1 : (int)(slash - path), path) : mem_dup(".");
    TRY(atomic_open(directory, slash ? slash + 1 : path, 0666, &file));
    what->fd = file.fd;
    int result = ahead ? prefetch_retrieve(what, ahead) : retrieve(what);
    return result == 0 ? atomic_replace(&file) : result;
}

static int
run(const Invocation *invocation)
{
    const char *const *given = invocation->options;
    bool barman_codes = given[BARMAN_CODES] != NULL;
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    size_t ahead = 0;
    if (!server || !recovery_prefetch(invocation, server, given[PREFETCH], &ahead))
        return recovery_uncertain(invocation, barman_codes);
    Retrieval what = {.config = invocation->config,
                      .server = server,
                      .name = invocation->arguments[1],
                      .partial = given[PARTIAL] != NULL,
                      .deadline_ms = server->restore_deadline * 1000};
    if (wal_kind(what.name) == WAL_NONE) {
        report_error(invocation->report, "'%s' is not a valid wal file name", what.name);
        return EXIT_BAD_NAME;
    }
    int result = restore(&what, invocation->arguments[2], ahead);
    if (result == 0)
        return EXIT_DONE;
    if (result == RETRIEVE_MISSING) {
        report_error(invocation->report, "WAL file '%s' not found in server '%s'", what.name,
                     server->name);
        return EXIT_MISSING;
    }
    wrap(result, "restore '%s' of server '%s'", what.name, server->name);
    report_failure(invocation->report, error_last());
    return recovery_uncertain(invocation, barman_codes);
}

const Command command_cloud_wal_restore = {
    .name = "cloud-wal-restore",
    .arguments = "SERVER WAL_NAME PATH",
    .argument_min = 3,
    .argument_max = 3,
    .summary = "fetch a WAL file to a path, for restore_command",
    .help = "Writes the WAL file to PATH, decompressed, whole and durable or not at all.\n"
            "For a database server that has Walden and its configuration:\n"
            "    restore_command = 'walden cloud-wal-restore --prefetch 16 SERVER %f %p'\n"
            "\n"
            "Exit codes: those of get-wal.",
    .options = options,
    .option_count = COUNT_OF(options),
    .exit_unusable = recovery_unusable,
    .run = run,
};
