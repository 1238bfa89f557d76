/* SPDX-License-Identifier: PostgreSQL
 * What a command is: one const struct in a file of its own, and one line in the table of
 * commands.c. */
#ifndef WALDEN_COMMAND_COMMAND_H
#define WALDEN_COMMAND_COMMAND_H

#include "config/config.h"
#include "report/report.h"

/* Exit codes; get-wal has more of its own. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef struct CommandOption {
    const char *name;        /* long form, without the dashes */
    const char *letters;     /* short forms: "P", "zx", or "" */
    const char *placeholder; /* of its argument; NULL: takes none */
    const char *help;        /* one or more lines of at most 50 columns, split by line feeds */
    bool hidden;             /* left out of --help: another spelling of the one before it */
} CommandOption;

enum { OPTIONS_MAX = 16 };

/* A command line, parsed and checked */
typedef struct Invocation {
    const Config *config;
    Report *report;
    const char *log_level; /* of the command line, before that of the configuration; or NULL */
    const char *options[OPTIONS_MAX]; /* argument of option i of the command, "" when it takes none,
                                         NULL when it was not given */
    char *const *arguments;
    int argument_count;
} Invocation;

typedef struct Command {
    const char *name;
    const char *alias;     /* or NULL */
    const char *arguments; /* for the usage line: "SERVER WAL_NAME" */
    int argument_min, argument_max;
    const char *summary; /* one line for the list of commands */
    const char *help;    /* paragraph for --help, lines under 80 columns */
    const CommandOption *options;
    int option_count;
    int (*exit_unusable)(int usual,
                         char *const *arguments); /* exit code instead of the usual one, for
                                                     a wrong command line or configuration;
                                                     NULL: the usual one */
    int (*run)(const Invocation *invocation);
} Command;

extern const Command command_archive_wal, command_check, command_check_wal_archive,
    command_cloud_wal_archive, command_cloud_wal_restore, command_cron, command_delete_wals,
    command_diagnose, command_get_wal, command_list_servers, command_metrics, command_put_wal,
    command_rebuild_xlogdb, command_receive_wal, command_rekey, command_replication_status,
    command_run, command_show_servers, command_show_wals, command_status, command_switch_wal,
    command_sync_info, command_verify;

/* The table */
const Command *const *command_all(size_t *ret_count);

/* By name or alias; NULL if there is none. */
const Command *command_find(const char *name);

/* One server for a single-server command: told and NULL when there is no such server, or when it is
 * disabled (exit 1). */
const ServerConfig *command_server(const Invocation *invocation, const char *name);

/* The servers named by the arguments, or all of them for "all", in name order. The list is freed
 * with free(); NULL when one of them is unknown, which was told. */
const ServerConfig **command_servers(const Invocation *invocation, size_t *ret_count);

/* Path of the lock under which one process at a time does the task ("archive-wal") for the server,
 * the same that Barman takes; free it. */
char *command_lock_path(const Invocation *invocation, const ServerConfig *server, const char *task);

/* Sends the log where the configuration says, and tells what the configuration's warnings are. */
void command_open_log(const Invocation *invocation, const Config *config);

/* Tells of connection strings that only count where WAL is received, if there are any. */
void command_tell_overrides(const Invocation *invocation, const ServerConfig *server);

/* True for an inactive server, which is told to be skipped. */
bool command_skips_inactive(const Invocation *invocation, const ServerConfig *server);

#endif
