/* SPDX-License-Identifier: PostgreSQL
 * The site's scripts around the archiving and the deletion of a file, started with Barman's
 * environment, in Barman's order and understood by Barman's exit codes. */
#ifndef WALDEN_FLOW_HOOK_H
#define WALDEN_FLOW_HOOK_H

#include "config/config.h"
#include "wal/wal.h"

/* True when any archive hook is configured; then files are archived strictly one by one. */
bool hooks_configured(const ServerConfig *server);

/* What the scripts are told */
typedef struct HookEvent {
    const Config *config;
    const ServerConfig *server;
    const WalFile *wal; /* pre: as it waits; post: as it is archived; deletion: its row */
    const char *path;   /* BARMAN_FILE */
    const char *error;  /* post: why it was not archived, or deleted; NULL when it was */
} HookEvent;

/* Runs pre_archive_script, then pre_archive_retry_script. HOOK_ABORTED when the latter answered 63
 * or did not end well within hook_timeout; *ret_error then says so in Barman's words (free it). <0
 * only when we are told to stop. */
enum { HOOK_ABORTED = 1 };
int hooks_before_archive(const HookEvent *event, char **ret_error);

/* Runs post_archive_retry_script, then post_archive_script. Their failures are logged and change
 * nothing. <0 only when we are told to stop. */
int hooks_after_archive(const HookEvent *event);

/* The same for the deletion of an archived file: pre_wal_delete_script and so on. */
bool delete_hooks_configured(const ServerConfig *server);
int hooks_before_delete(const HookEvent *event, char **ret_error);
int hooks_after_delete(const HookEvent *event);

#endif
