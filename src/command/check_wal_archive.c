/* SPDX-License-Identifier: PostgreSQL
 * walden check-wal-archive SERVER: may a new server, or one on a new timeline, send its WAL to this
 * archive? Not if files are there whose names it will use itself. The catalog is asked, as Barman
 * does, and the archive too, because a lost catalog does not make it empty. */
#include "base/log.h"
#include "command/command.h"
#include "flow/place.h"
#include "flow/xlogdb/xlogdb.h"
#include "wal/name.h"

enum Option { TIMELINE };

static const CommandOption options[] = {
    [TIMELINE] = {"timeline", "", "N", "files of timelines before N do no harm"},
};

typedef struct Count {
    Timeline from; /* of this timeline or a later one; 0: of any */
    size_t found;
} Count;

static void
count_name(Count *count, const char *text)
{
    WalName name;
    if (wal_name_parse(text, &name) && name.timeline >= count->from)
        count->found++;
}

static int
count_row(void *context, const WalFile *row)
{
    count_name(context, row->name);
    return 0;
}

static int
count_file(void *context, const char *name, const struct stat *st)
{
    (void)st;
    count_name(context, name);
    return 0;
}

static int
count_all(const Invocation *invocation, const ServerConfig *server, Timeline from,
          size_t *ret_found)
{
    Count listed = {.from = from}, stored = {.from = from};
    size_t damaged = 0, strangers = 0;
    XlogDbPlace place = xlogdb_place(invocation->config, server);
    AUTO(xlogdb) XlogDb *db = xlogdb_new(&place);
    AUTO(store) Store *store = NULL;
    TRY(xlogdb_read(db, count_row, &listed, &damaged));
    int opened = archive_find(server, &store);
    if (opened < 0)
        return opened;
    if (store)
        TRY(store_list(store, count_file, &stored, &strangers));
    if (damaged)
        return hint(
            fail(ERR_DATA, "%zu lines of the catalog '%s' are damaged", damaged, xlogdb_path(db)),
            "run rebuild-xlogdb");
    if (strangers)
        return fail(ERR_DATA, "%zu unexpected files found in WAL archive", strangers);
    *ret_found = listed.found > stored.found ? listed.found : stored.found;
    return 0;
}

static int
check(const Invocation *invocation, const ServerConfig *server, Timeline from)
{
    size_t found = 0;
    TRY(count_all(invocation, server, from, &found));
    if (found == 0)
        return 0;
    if (from == 0)
        return fail(ERR_DATA, "Expected empty archive");
    return fail(ERR_DATA, "Found %zu file%s in WAL archive equal to or newer than timeline %u",
                found, found > 1 ? "s" : "", from);
}

static int
run(const Invocation *invocation)
{
    Report *report = invocation->report;
    const ServerConfig *server = command_server(invocation, invocation->arguments[0]);
    const char *text = invocation->options[TIMELINE];
    int64_t timeline = 0;
    if (!server)
        return EXIT_FAILED;
    if (command_skips_inactive(invocation, server))
        return EXIT_DONE;
    if (text && !int_parse(text, 1, UINT32_MAX, &timeline)) {
        report_error(report, "--timeline needs a number of at least 1, not '%s'", text);
        return EXIT_USAGE;
    }
    report_info(report, "Server %s:", server->name);
    report_set(report, server->name, json_object());
    int result = check(invocation, server, (Timeline)timeline);
    if (result < 0) {
        wrap(result, "WAL archive check failed for server %s", server->name);
        report_failure(report, error_last());
        return EXIT_FAILED;
    }
    AUTO(free) char *passed = mem_printf("WAL archive check for server %s passed", server->name);
    report_info(report, " - %s", passed);
    report_set(report, server->name, report_text(passed));
    return EXIT_DONE;
}

const Command command_check_wal_archive = {
    .name = "check-wal-archive",
    .arguments = "SERVER",
    .argument_min = 1,
    .argument_max = 1,
    .summary = "may a new server archive here?",
    .help = "Fails when WAL is in the server's archive already, so that a new server would\n"
            "use names that are taken; with --timeline, when WAL of that timeline or of a\n"
            "later one is.",
    .options = options,
    .option_count = COUNT_OF(options),
    .run = run,
};
