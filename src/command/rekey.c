/* SPDX-License-Identifier: PostgreSQL
 * walden rekey --status SERVER: which keys are still needed. Files keep the key that they were
 * encrypted with, and rotation rewrites nothing; so all there is to know is when an old key has no
 * files any more. */
#include "base/proc.h"
#include "command/command.h"
#include "flow/keys_in_use.h"

enum Option { STATUS };

static const CommandOption options[] = {
    [STATUS] = {"status", "", NULL,
                "tell which keys are in use; must be given: there is\n"
                "nothing else that this command does"},
};

static void
print_use(Report *report, const KeyUse *use)
{
    char size[SIZE_ROOM], oldest[TIME_ROOM], newest[TIME_ROOM];
    size_format(use->bytes, size);
    AUTO(free)
    char *what =
        use->cipher ? mem_printf("%s key %s", use->cipher, use->key) : mem_dup("not encrypted");
    report_info(report, "\t%s: %zu files, %s%s", what, use->files, size,
                use->newest ? " (new files are encrypted with it)" : "");
    if (use->files == 0)
        return;
    time_format(use->oldest_file.time, oldest);
    time_format(use->newest_file.time, newest);
    report_info(report, "\t\toldest: %s of %s", use->oldest_file.name, oldest);
    report_info(report, "\t\tnewest: %s of %s", use->newest_file.name, newest);
}

static json_t *
pack_file(const char *name, time_t time)
{
    return name ? json_pack("{s:o, s:I}", "name", report_text(name), "time", (json_int_t)time)
                : json_null();
}

static json_t *
pack_use(const KeyUse *use)
{
    return json_pack("{s:s?, s:s?, s:b, s:I, s:I, s:o, s:o}", "encryption", use->cipher, "key",
                     use->cipher ? use->key : NULL, "current", use->newest, "files",
                     (json_int_t)use->files, "bytes", (json_int_t)use->bytes, "oldest",
                     pack_file(use->oldest_file.name, use->oldest_file.time), "newest",
                     pack_file(use->newest_file.name, use->newest_file.time));
}

static int
run(const Invocation *invocation)
{
    Report *report = invocation->report;
    AUTO(keys_in_use) KeysInUse keys = {0};
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    if (!server)
        return EXIT_FAILED;
    if (!invocation->options[STATUS]) {
        report_error(report, "rekey needs --status: it rewrites nothing");
        return EXIT_USAGE;
    }
    stop_on_signals();
    if (wrap(keys_in_use(server, &keys), "rekey --status of server '%s'", server->name) < 0) {
        report_failure(report, error_last());
        return EXIT_FAILED;
    }
    if (report_is_json(report)) {
        json_t *list = json_array();
        for (size_t i = 0; i < keys.count; i++)
            json_array_append_new(list, pack_use(&keys.uses[i]));
        report_set(report, "keys", list);
        return EXIT_DONE;
    }
    report_info(report, "Keys in use in the archive of server %s:", server->name);
    if (keys.count == 0)
        report_info(report, "\tthere are no files");
    for (size_t i = 0; i < keys.count; i++)
        print_use(report, &keys.uses[i]);
    return EXIT_DONE;
}

const Command command_rekey = {
    .name = "rekey",
    .arguments = "SERVER",
    .argument_min = 1,
    .argument_max = 1,
    .summary = "which keys are the archived files encrypted with?",
    .help = "With --status, reads the first bytes of every archived file and tells for each\n"
            "key how many files need it, and the oldest and the newest of them. A key that\n"
            "no file needs, and that is not the newest, can be taken out of\n"
            "encryption_key_file.\n"
            "\n"
            "Files are never rewritten: a new key counts for new files, and the old ones\n"
            "stay readable as long as their keys are there.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
