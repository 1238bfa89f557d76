/* SPDX-License-Identifier: PostgreSQL
 * walden cloud-wal-archive SERVER PATH: archive_command on a database host whose configuration has
 * the archive in an object store. PostgreSQL hears the exit code: never above 125, which would end
 * its archiver process. */
#include "base/proc.h"
#include "command/command.h"
#include "flow/ahead.h"

enum Option { PARALLEL };

static const CommandOption options[] = {
    [PARALLEL] = {"parallel", "p", "N",
                  "archive up to N files at once: also those that\nPostgreSQL will call for next "
                  "(1)"},
};

static int
run(const Invocation *invocation)
{
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    const char *path = invocation->arguments[1], *text = invocation->options[PARALLEL];
    int64_t parallel = 1;
    if (!server)
        return EXIT_FAILED;
    if (text && !int_parse(text, 1, AHEAD_MAX, &parallel)) {
        report_error(invocation->report, "--parallel needs a number from 1 to %d, not '%s'",
                     AHEAD_MAX, text);
        return EXIT_USAGE;
    }
    if (!server->active) {
        report_error(invocation->report, "Inactive server: %s", server->name);
        return EXIT_FAILED;
    }
    stop_on_signals();
    int result = ahead_archive(server, path, (size_t)parallel);
    if (result == 0)
        return EXIT_DONE;
    if (result == DEPOSIT_DIFFERENT)
        result =
            hint(fail(ERR_DATA, "the archive has other content under this name: nothing was "
                                "replaced"),
                 "does another server send its WAL to this archive? Each needs one of its own");
    wrap(result, "archive '%s' of server '%s'", path, server->name);
    report_failure(invocation->report, error_last());
    return EXIT_FAILED;
}

const Command command_cloud_wal_archive = {
    .name = "cloud-wal-archive",
    .arguments = "SERVER PATH",
    .argument_min = 2,
    .argument_max = 2,
    .summary = "archive from pg_wal/ at once, for archive_command",
    .help = "Archives the file straight in the server's archive, which must be in an object\n"
            "store. For a database server that has Walden and its configuration:\n"
            "    archive_command = 'walden cloud-wal-archive --parallel 4 SERVER %p'\n"
            "\n"
            "Exit codes: 0 the store has it, whole and verified; 1 it has not. An object is\n"
            "never replaced.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
