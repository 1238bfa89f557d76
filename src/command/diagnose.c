/* SPDX-License-Identifier: PostgreSQL
 * walden diagnose: everything that who is asked for help wants to know first, as JSON with Barman's
 * keys; passwords are left out. */
#include "command/describe.h"
#include "flow/recode/codec.h"
#include "monitor/check.h"
#include "version.h"

#include <stdio.h>
#include <sys/utsname.h>

/* The line of /etc/os-release that is for people, or NULL; free it. */
static char *
release(void)
{
    static const char key[] = "PRETTY_NAME=";
    char line[256], *found = NULL;
    FILE *file = fopen("/etc/os-release", "re");
    while (file && !found && fgets(line, sizeof(line), file))
        if (strncmp(line, key, sizeof(key) - 1) == 0) {
            const char *value = line + sizeof(key) - 1;
            value += *value == '"';
            found = mem_printf("%.*s", (int)strcspn(value, "\"\n"), value);
        }
    if (file)
        fclose(file);
    return found;
}

static json_t *
describe_system(void)
{
    struct utsname kernel = {0};
    json_t *codecs = json_array();
    size_t count = 0;
    const CodecClass *const *all = codec_all(&count);
    AUTO(free) char *name = release();
    uname(&kernel);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(codecs, json_string(all[i]->name));
    return json_pack("{s:s, s:o, s:s, s:s, s:o}", "walden_ver", WALDEN_VERSION, "release",
                     name ? report_text(name) : json_null(), "kernel_ver", kernel.release,
                     "machine", kernel.machine, "codecs", codecs);
}

static json_t *
describe_global(const Config *config)
{
    AUTO(arena) Arena *arena = arena_new();
    json_t *object = json_object();
    size_t count = 0;
    const OptionInfo *options = option_all(&count);
    for (size_t i = 0; i < count; i++) {
        const char *value = option_value(&options[i], config, NULL, arena);
        if (value)
            json_object_set_new(object, options[i].name, report_text(value));
    }
    json_object_set_new(object, "config_file", report_text(config->path));
    return json_pack("{s:o, s:o}", "config", object, "system_info", describe_system());
}

static void
add_check(void *context, const CheckRow *row)
{
    json_object_set_new(context, row->name,
                        json_pack("{s:b, s:o}", "ok", row->good, "hint", report_text(row->hint)));
}

static json_t *
describe_archive(const ArchiveState *archive)
{
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "catalog",
                     report_text(archive->catalog_path), "files", (json_int_t)archive->rows,
                     "damaged_lines", (json_int_t)archive->damaged, "segments",
                     (json_int_t)archive->segments, "gaps", (json_int_t)archive->gaps,
                     "acknowledged_gaps", (json_int_t)archive->acknowledged, "size",
                     (json_int_t)archive->stored, "first", report_text(archive->first), "last",
                     report_text(archive->last));
}

static int
describe(const Config *config, const ServerConfig *server, json_t *servers)
{
    AUTO(state) ServerState *state = NULL;
    unsigned parts = server->disabled ? 0 : (1U << PART_COUNT) - 1;
    TRY(state_gather(config, server, parts, server->check_timeout * 1000, &state));
    json_t *status = json_object(), *checks = json_object();
    describe_live(state, status);
    check_state(state, add_check, checks);
    AUTO(free) char *name = mem_dup(server->name);
    str_make_utf8(name);
    json_object_set_new(servers, name,
                        json_pack("{s:o, s:o, s:o, s:o}", "config", describe_config(config, server),
                                  "status", status, "checks", checks, "wals",
                                  describe_archive(&state->archive)));
    return 0;
}

static int
print(const Invocation *invocation)
{
    const Config *config = invocation->config;
    json_t *servers = json_object();
    int result = 0;
    for (size_t i = 0; i < config->server_count && result == 0; i++)
        result = describe(config, &config->servers[i], servers);
    json_t *root = json_pack("{s:o, s:{}, s:o}", "global", describe_global(config), "models",
                             "servers", servers);
    report_leave_stdout(invocation->report);
    if (result == 0 && (json_dumpf(root, stdout, JSON_SORT_KEYS | JSON_INDENT(4)) < 0 ||
                        putchar('\n') == EOF || fflush(stdout) != 0))
        result = fail_errno("write to standard output");
    json_decref(root);
    return result;
}

static int
run(const Invocation *invocation)
{
    if (print(invocation) == 0)
        return EXIT_DONE;
    report_failure(invocation->report, error_last());
    return EXIT_FAILED;
}

const Command command_diagnose = {
    .name = "diagnose",
    .arguments = "",
    .summary = "print everything that helps to find a fault, as JSON",
    .help = "Prints configuration, state and checks of all servers, and what this host is.\n"
            "Passwords are left out.",
    .run = run,
};
