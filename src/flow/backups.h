/* SPDX-License-Identifier: PostgreSQL
 * The base backups that Barman keeps beside the archive. They are read and never changed. */
#ifndef WALDEN_FLOW_BACKUPS_H
#define WALDEN_FLOW_BACKUPS_H

#include "config/config.h"
#include "flow/horizon.h"

typedef struct BarmanBackups {
    Backup *items; /* those that need WAL */
    size_t count;
    uint32_t segment_size; /* of the server, as the backups say; 0: they do not */
} BarmanBackups;

/* All backups of the server that are usable or may become so, in both of Barman's layouts; memory
 * is the arena's. ERR_DATA when one cannot be understood, ERR_BUSY while one is beginning that does
 * not say yet from where it needs WAL: nobody may go by an answer that is not complete. */
int backups_read(const Config *config, const ServerConfig *server, Arena *arena,
                 BarmanBackups *ret_backups);

/* Calls visit with the text of every backup.info, of whatever status, in both layouts; the same
 * backup may have one in each, the newer layout's comes first. A visit that returns non-zero ends
 * it with that result. */
typedef int BackupVisit(void *context, const char *id, const char *text);
int backups_visit(const ServerConfig *server, BackupVisit *visit, void *context);

/* One backup.info; false when the backup needs no WAL (it failed, or never got so far). */
int backup_info_parse(const char *id, const char *text, Backup *ret_backup,
                      uint32_t *ret_segment_size, bool *ret_needs);

#endif
