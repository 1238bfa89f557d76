/* SPDX-License-Identifier: PostgreSQL
 * The exit codes of get-wal and cloud-wal-restore. */
#include "command/recovery.h"

#include "flow/prefetch.h"

#include <unistd.h>

/* PostgreSQL calls restore_command in the data directory. */
static bool
is_standby(void)
{
    return access("standby.signal", F_OK) == 0;
}

int
recovery_uncertain(const Invocation *invocation, bool barman_codes)
{
    if (barman_codes)
        return EXIT_FAILED;
    if (!is_standby())
        return EXIT_UNCERTAIN;
    report_warning(invocation->report,
                   "this is a standby, which will ask again: answering that the file is missing");
    return EXIT_MISSING;
}

int
recovery_unusable(int usual, char *const *arguments)
{
    for (; *arguments; arguments++)
        if (strcmp(*arguments, "--barman-exit-codes") == 0)
            return usual;
    return is_standby() ? EXIT_MISSING : EXIT_UNCERTAIN;
}

bool
recovery_prefetch(const Invocation *invocation, const ServerConfig *server, const char *text,
                  size_t *ret_ahead)
{
    int64_t ahead = server->restore_prefetch;
    if (text && !int_parse(text, 0, PREFETCH_MAX, &ahead)) {
        report_error(invocation->report, "--prefetch needs a number from 0 to %d, not '%s'",
                     PREFETCH_MAX, text);
        return false;
    }
    /* What is fetched ahead rests in files, in clear text. */
    if (server->encryption)
        ahead = 0;
    *ret_ahead = ahead < 0 ? 0 : ahead > PREFETCH_MAX ? PREFETCH_MAX : (size_t)ahead;
    return true;
}
