/* SPDX-License-Identifier: PostgreSQL
 * walden put-wal SERVER: what barman-wal-archive calls on this host by ssh. PostgreSQL hears the
 * exit code: never above 125, which would end its archiver process. */
#include "base/log.h"
#include "base/proc.h"
#include "command/command.h"
#include "flow/put.h"

#include <unistd.h>

enum Option { TEST };

static const CommandOption options[] = {
    [TEST] = {"test", "t", NULL, "only check that WAL could be sent"},
};

/* With the address of the client, as Barman adds it. */
static char *
client(void)
{
    const char *ssh = getenv("SSH_CONNECTION");
    return ssh ? mem_printf(" (SSH host: %.*s)", (int)strcspn(ssh, " "), ssh) : mem_dup("");
}

static int
run(const Invocation *invocation)
{
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    char name[WAL_NAME_ROOM];
    if (!server)
        return EXIT_FAILED;
    if (!server->active) {
        report_error(invocation->report, "Inactive server: %s", server->name);
        return EXIT_FAILED;
    }
    if (invocation->options[TEST]) {
        report_info(invocation->report, "Ready to accept WAL files for the server %s",
                    server->name);
        return EXIT_DONE;
    }
    AUTO(free) char *from = client();
    stop_on_signals();
    int result = put_wal(invocation->config, server, STDIN_FILENO, name);
    if (result == 0) {
        log_info("received WAL '%s' for server '%s'%s", name, server->name, from);
        return EXIT_DONE;
    }
    wrap(result, "put-wal for server '%s'%s", server->name, from);
    report_failure(invocation->report, error_last());
    return EXIT_FAILED;
}

const Command command_put_wal = {
    .name = "put-wal",
    .arguments = "SERVER",
    .argument_min = 1,
    .argument_max = 1,
    .summary = "receive a WAL file, for archive_command elsewhere",
    .help = "Reads a tar stream with one WAL file and its checksum from standard input, as\n"
            "barman-wal-archive sends it, and puts the file into the server's incoming\n"
            "directory. Success means that it is whole and durable there, or that the same\n"
            "content waits or is archived already. A file of another cluster, or other\n"
            "content under a name that is taken, is refused.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
