/* SPDX-License-Identifier: PostgreSQL
 * walden get-wal SERVER WAL_NAME: what restore_command calls. Its exit code decides over a
 * recovery: PostgreSQL takes 1 to 125 for "there is no such file" and may end the recovery there,
 * and gives up with an error above that. So 1 is said only when the file is certainly not there. On
 * a standby the same uncertainty is answered with 1, because a standby asks again by itself. */
#include "base/log.h"
#include "base/proc.h"
#include "command/command.h"
#include "command/recovery.h"
#include "flow/prefetch.h"
#include "wal/name.h"

#include <unistd.h>

enum Option { DIRECTORY, PARTIAL, GZIP, BZIP2, KEEP, PEEK, PREFETCH, TEST, BARMAN_CODES };

static const CommandOption options[] = {
    [DIRECTORY] =
        {"output-directory", "o", "DIR",
         "write DIR/WAL_NAME, durably and whole or not\nat all, instead of standard output"},
    [PARTIAL] = {"partial", "P", NULL,
                 "take a partial segment, filled up with zeros,\nwhen there is no whole one"},
    [GZIP] = {"gzip", "zx", NULL, "compress what is sent with gzip"},
    [BZIP2] = {"bzip2", "j", NULL, "compress what is sent with bzip2"},
    [KEEP] = {"keep-compression", "", NULL, "send the file as it is stored"},
    [PEEK] =
        {"peek", "p", "N",
         "do not send anything, list up to N names of\nWAL files that are there, from WAL_NAME on"},
    [PREFETCH] =
        {"prefetch", "", "N",
         "fetch up to N segments ahead, in the background,\nfor the next calls; instead of "
         "restore_prefetch"},
    [TEST] = {"test", "t", NULL, "only check that WAL could be asked for"},
    [BARMAN_CODES] = RECOVERY_BARMAN_CODES,
};

static int
uncertain(const Invocation *invocation)
{
    return recovery_uncertain(invocation, invocation->options[BARMAN_CODES] != NULL);
}

static void
print_name(void *context, const char *name)
{
    report_info(context, "%s", name);
}

static int
peek(const Invocation *invocation, const Retrieval *what)
{
    int64_t limit = 0;
    if (!int_parse(invocation->options[PEEK], 1, INT32_MAX, &limit)) {
        report_error(invocation->report, "--peek needs a number of at least 1, not '%s'",
                     invocation->options[PEEK]);
        return uncertain(invocation);
    }
    if (retrieve_peek(what, (size_t)limit, print_name, invocation->report) == 0)
        return EXIT_DONE;
    report_failure(invocation->report, error_last());
    return uncertain(invocation);
}

/* With the address of the client, as Barman adds it. */
static char *
client(void)
{
    const char *ssh = getenv("SSH_CONNECTION");
    return ssh ? mem_printf(" (SSH host: %.*s)", (int)strcspn(ssh, " "), ssh) : mem_dup("");
}

static int
send_file(const Invocation *invocation, const Retrieval *what, size_t ahead)
{
    AUTO(free) char *from = client();
    const char *server = what->server->name;
    if (!what->directory)
        report_leave_stdout(invocation->report);
    else
        report_info(invocation->report, "Sending WAL '%s' for server '%s' into '%s/%s' file%s",
                    what->name, server, what->directory, what->name, from);
    log_debug("sending WAL '%s' for server '%s'%s", what->name, server, from);
    int result = ahead ? prefetch_retrieve(what, ahead) : retrieve(what);
    if (result == 0)
        return EXIT_DONE;
    if (result == RETRIEVE_MISSING) {
        report_error(invocation->report, "WAL file '%s' not found in server '%s'%s", what->name,
                     server, from);
        return EXIT_MISSING;
    }
    wrap(result, "get-wal '%s' of server '%s'%s", what->name, server, from);
    report_failure(invocation->report, error_last());
    return uncertain(invocation);
}

static int
run(const Invocation *invocation)
{
    const char *const *given = invocation->options;
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    if (!server)
        return uncertain(invocation);
    if (given[TEST]) {
        report_info(invocation->report, "Ready to retrieve WAL files from the server %s",
                    server->name);
        return EXIT_DONE;
    }
    Retrieval what = {.config = invocation->config,
                      .server = server,
                      .name = invocation->arguments[1],
                      .partial = given[PARTIAL] != NULL,
                      .keep_compression = given[KEEP] != NULL,
                      .compress = given[BZIP2]  ? "bzip2"
                                  : given[GZIP] ? "gzip"
                                                : NULL,
                      .directory = given[DIRECTORY],
                      .fd = STDOUT_FILENO,
                      .deadline_ms = server->restore_deadline * 1000};
    if (wal_kind(what.name) == WAL_NONE) {
        report_error(invocation->report, "'%s' is not a valid wal file name", what.name);
        return EXIT_BAD_NAME;
    }
    if (what.keep_compression && what.compress) {
        report_error(invocation->report, "--keep-compression cannot go with --gzip or --bzip2");
        return uncertain(invocation);
    }
    size_t ahead = 0;
    if (!recovery_prefetch(invocation, server, given[PREFETCH], &ahead))
        return uncertain(invocation);
    if (what.keep_compression)
        ahead = 0; /* what is fetched ahead is plain */
    return given[PEEK] ? peek(invocation, &what) : send_file(invocation, &what, ahead);
}

const Command command_get_wal = {
    .name = "get-wal",
    .arguments = "SERVER WAL_NAME",
    .argument_min = 2,
    .argument_max = 2,
    .summary = "hand out a WAL file, for restore_command",
    .help = "Sends the WAL file to standard output, decompressed. For a recovering server:\n"
            "    restore_command = 'walden get-wal SERVER %f > %p'\n"
            "\n"
            "Exit codes: 0 the file was sent completely; 1 it is certainly not there; 3 the\n"
            "name is not one of a WAL file; 200 it could not be found out, or not be sent\n"
            "(PostgreSQL then stops the recovery instead of ending it too early; in the data\n"
            "directory of a standby it is 1, since a standby asks again).",
    .options = options,
    .option_count = COUNT_OF(options),
    .exit_unusable = recovery_unusable,
    .run = run,
};
