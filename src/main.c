/* SPDX-License-Identifier: PostgreSQL
 * walden [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]: reads the command line and the
 * configuration, becomes the archive's owner, and calls the command from the table in
 * command/commands.c. Called by the name of one of Barman's clients, it is that client. */
#include "base/log.h"
#include "base/user.h"
#include "command/client.h"
#include "command/cloud_client.h"
#include "command/command.h"
#include "command/options.h"
#include "version.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum Global { HELP, VERSION, CONFIG_FILE, COLOUR, COLOR, LEVEL, QUIET, DEBUG, FORMAT };

static const CommandOption globals[] = {
    [HELP] = {"help", "h", NULL, "print this and exit"},
    [VERSION] = {"version", "v", NULL, "print the version and exit"},
    [CONFIG_FILE] = {"config", "c", "FILE", "read this configuration file"},
    [COLOUR] = {"colour", "", "WHEN", "never, always or auto", true},
    [COLOR] = {"color", "", "WHEN", "never, always or auto"},
    [LEVEL] = {"log-level", "", "LEVEL", "NOTSET, DEBUG, INFO, WARNING, ERROR or CRITICAL"},
    [QUIET] = {"quiet", "q", NULL, "do not print information"},
    [DEBUG] = {"debug", "d", NULL, "print debug messages"},
    [FORMAT] = {"format", "f", "FORMAT", "console or json"},
};

static void
print_help(void)
{
    size_t count = 0;
    const Command *const *commands = command_all(&count);
    puts("Usage: walden [OPTIONS] COMMAND [ARGUMENTS]\n"
         "\n"
         "Walden archives the WAL of PostgreSQL servers and hands it back for recovery.\n"
         "\n"
         "Commands:");
    for (size_t i = 0; i < count; i++)
        printf("  %-18s%s\n", commands[i]->name, commands[i]->summary);
    puts("\nOptions:");
    options_print(globals, COUNT_OF(globals));
    puts("\nwalden COMMAND --help explains a command. Without --config, the first of these\n"
         "is read: $BARMAN_CONFIG_FILE, /etc/walden.conf, ~/.walden.conf, ~/.barman.conf,\n"
         "/etc/barman.conf, /etc/barman/barman.conf.");
}

static void
print_command_help(const Command *command)
{
    static const CommandOption help = {"help", "h", NULL, "print this and exit"};
    printf("Usage: walden [...] %s [OPTIONS]%s%s\n\n%s\n\nOptions:\n", command->name,
           command->arguments[0] ? " " : "", command->arguments, command->help);
    options_print(command->options, command->option_count);
    options_print(&help, 1);
}

static int
usage_failure(const char *where, int code)
{
    fprintf(stderr, "usage: walden %s\nERROR: %s\n", where, error_last()->text);
    return code;
}

/* The exit code when the command line was not understood, or nothing could be begun: that of the
 * command which seems to be meant, because PostgreSQL takes a small one of get-wal for "there is no
 * such file". */
static int
exit_early(int usual, char *const *argv)
{
    for (; *argv; argv++) {
        const Command *command = command_find(*argv);
        if (command && command->exit_unusable)
            return command->exit_unusable(usual, argv);
    }
    return usual;
}

static bool
one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static int
check_globals(const char *const *given)
{
    static const char *const whens[] = {"never", "always", "auto", NULL};
    static const char *const formats[] = {"console", "json", NULL};
    int level = 0;
    const char *colour = given[COLOR] ? given[COLOR] : given[COLOUR];
    if (colour && !one_of(colour, whens))
        return fail(ERR_USAGE, "--color is never, always or auto, not '%s'", colour);
    if (given[FORMAT] && !one_of(given[FORMAT], formats))
        return fail(ERR_USAGE, "--format is console or json, not '%s'", given[FORMAT]);
    if (given[LEVEL] && !log_level_parse(given[LEVEL], &level))
        return fail(ERR_USAGE, "--log-level '%s' is not known", given[LEVEL]);
    return 0;
}

static bool
want_colour(const char *const *given)
{
    const char *when = given[COLOR] ? given[COLOR] : given[COLOUR];
    if (!when || strcmp(when, "auto") == 0)
        return isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);
    return strcmp(when, "always") == 0;
}

static int
exit_unusable(const Command *command, int usual, char *const *arguments)
{
    return command->exit_unusable ? command->exit_unusable(usual, arguments) : usual;
}

/* The configuration, the account, the log; then the command. */
static int
run_command(const Command *command, const char *const *given, char *const *arguments,
            Invocation *invocation)
{
    AUTO(config) Config *config = NULL;
    int result = config_load(given[CONFIG_FILE], &config);
    if (result == 0)
        result = config->barman_user ? user_become(config->barman_user, true)
                                     : user_become("barman", false);
    if (result < 0) {
        report_failure(invocation->report, error_last());
        return exit_unusable(command, EXIT_FAILED, arguments);
    }
    invocation->config = config;
    invocation->log_level = given[LEVEL];
    command_open_log(invocation, config);
    return command->run(invocation);
}

static int
parse_command(int argc, char **argv, const Command *command, Invocation *invocation, bool *ret_help)
{
    CommandOption options[OPTIONS_MAX];
    int first = 0, count = command->option_count;
    assert(count < OPTIONS_MAX);
    if (count)
        memcpy(options, command->options, (size_t)count * sizeof(CommandOption));
    options[count] = (CommandOption){"help", "h", NULL, ""};
    TRY(options_parse(argc, argv, options, count + 1, false, invocation->options, &first));
    *ret_help = invocation->options[count] != NULL;
    if (*ret_help)
        return 0;
    invocation->arguments = argv + first;
    invocation->argument_count = argc - first;
    if (invocation->argument_count < command->argument_min)
        return fail(ERR_USAGE, "%s needs %s", command->name, command->arguments);
    if (invocation->argument_count > command->argument_max)
        return fail(ERR_USAGE, "unexpected argument '%s'",
                    invocation->arguments[command->argument_max]);
    return 0;
}

/* A file that is opened where standard output or error is missing would take what is printed there:
 * a WAL file, or the catalog. Reading ends are put there, so that printing is still an error. */
static int
hold_standard_descriptors(void)
{
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDONLY);
    if (fd < 0)
        return EXIT_FAILED;
    close(fd);
    return EXIT_DONE;
}

/* Help that could not be printed is no success either. */
static int
printed(void)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_DONE : EXIT_FAILED;
}

/* Other programs that this one is when it is called by their names */
static const struct {
    const char *name;
    int (*main)(int argc, char **argv);
} programs[] = {
    {"barman-cloud-check-wal-archive", cloud_check_main},
    {"barman-cloud-wal-archive", cloud_wal_archive_main},
    {"barman-cloud-wal-restore", cloud_wal_restore_main},
    {"barman-wal-archive", client_wal_archive},
    {"barman-wal-restore", client_wal_restore},
};

int
main(int argc, char **argv)
{
    const char *given[OPTIONS_MAX];
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    int first = 0;
    umask(umask(0) | 022); /* nobody else writes into an archive, whatever the caller's mask */
    if (hold_standard_descriptors() != EXIT_DONE)
        return exit_early(EXIT_FAILED, argv);
    for (size_t i = 0; i < COUNT_OF(programs) && argc > 0; i++)
        if (strcmp(slash ? slash + 1 : argv[0], programs[i].name) == 0)
            return programs[i].main(argc, argv);
    if (options_parse(argc, argv, globals, COUNT_OF(globals), true, given, &first) < 0 ||
        check_globals(given) < 0)
        return usage_failure("[OPTIONS] COMMAND [ARGUMENTS]", exit_early(EXIT_USAGE, argv));
    if (given[VERSION]) {
        puts("walden " WALDEN_VERSION);
        return printed();
    }
    if (given[HELP] || first == argc || strcmp(argv[first], "help") == 0) {
        print_help();
        return printed();
    }
    const Command *command = command_find(argv[first]);
    if (!command) {
        fail(ERR_USAGE, "there is no command '%s'; walden --help lists them", argv[first]);
        return usage_failure("[OPTIONS] COMMAND [ARGUMENTS]", EXIT_USAGE);
    }
    Invocation invocation = {0};
    bool help = false;
    if (parse_command(argc - first, argv + first, command, &invocation, &help) < 0) {
        AUTO(free) char *where = mem_printf("%s %s", command->name, command->arguments);
        return usage_failure(where, exit_unusable(command, EXIT_USAGE, argv + first));
    }
    if (help) {
        print_command_help(command);
        return printed();
    }
    ReportStyle style = {.json = given[FORMAT] && strcmp(given[FORMAT], "json") == 0,
                         .quiet = given[QUIET] != NULL,
                         .debug = given[DEBUG] != NULL,
                         .colour = want_colour(given)};
    invocation.report = report_new(&style);
    int code = run_command(command, given, argv + first, &invocation);
    if (report_end(invocation.report) < 0) {
        fprintf(stderr, "ERROR: %s\n", error_last()->text);
        code = code ? code : exit_unusable(command, EXIT_FAILED, argv + first);
    }
    return code;
}
