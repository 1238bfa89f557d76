/* SPDX-License-Identifier: PostgreSQL
 * The table made from options.def, for this folder's own use. */
#ifndef WALDEN_CONFIG_OPTION_H
#define WALDEN_CONFIG_OPTION_H

#include "config/config.h"
#include "config/value.h"

typedef enum OptionScope { OPTION_GLOBAL, OPTION_SERVER, OPTION_INHERIT } OptionScope;

typedef struct OptionSlot {
    const ValueKind *kind;
    OptionScope scope;
    size_t offset; /* of the field in Config (GLOBAL) or ServerConfig */
} OptionSlot;

const OptionSlot *option_slot(const OptionInfo *option);

/* The field in force, in server or config as the scope is; NULL for options of servers without a
 * server. */
void *option_field(const OptionInfo *option, Config *config, ServerConfig *server);

/* An option of ours, or NULL. */
const OptionInfo *option_find(const char *name);

/* Barman knows it, we have no use for it. */
bool barman_option_known(const char *name);

/* The option, ours or Barman's, that somebody may have meant who wrote `name`; or NULL. */
const char *option_suggest(const char *name);

/* Barman's other options. */
extern const char *const barman_options[];
extern const size_t barman_option_count;

#endif
