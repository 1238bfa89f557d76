/* SPDX-License-Identifier: PostgreSQL
 * A backup.info of Barman's in JSON, as Barman itself tells of it to a passive node. */
#ifndef WALDEN_COMMAND_BACKUP_JSON_H
#define WALDEN_COMMAND_BACKUP_JSON_H

#include <jansson.h>

/* The object of the backup; text is that of its backup.info. */
json_t *backup_json(const char *id, const char *text);

#endif
