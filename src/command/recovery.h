/* SPDX-License-Identifier: PostgreSQL
 * What the commands have in common that PostgreSQL calls by restore_command: their exit codes
 * decide over a recovery. PostgreSQL takes 1 to 125 for "there is no such file" and may end the
 * recovery there, and gives up with an error above that. So 1 is said only when the file is
 * certainly not there. On a standby the same uncertainty is answered with 1, because a standby asks
 * again by itself. */
#ifndef WALDEN_COMMAND_RECOVERY_H
#define WALDEN_COMMAND_RECOVERY_H

#include "command/command.h"

enum { EXIT_MISSING = 1, EXIT_BAD_NAME = 3, EXIT_UNCERTAIN = 200 };

#define RECOVERY_BARMAN_CODES                                                                      \
    {                                                                                              \
        "barman-exit-codes", "", NULL,                                                             \
            "answer 1, as Barman does, also when it could\nnot be found out whether the file "     \
            "is there"                                                                             \
    }

/* Not certain: what the caller is to be told depends on who it is. */
int recovery_uncertain(const Invocation *invocation, bool barman_codes);

/* The same when not even the command line or the configuration could be read: as exit_unusable of
 * the command. */
int recovery_unusable(int usual, char *const *arguments);

/* How far to fetch ahead: what --prefetch says (NULL: not given), else the configuration. False,
 * and told, when it is no such number. */
bool recovery_prefetch(const Invocation *invocation, const ServerConfig *server, const char *text,
                       size_t *ret_ahead);

#endif
