/* SPDX-License-Identifier: PostgreSQL
 * From what the files say to the value of each option: interpolation, inheritance, defaults. */
#ifndef WALDEN_CONFIG_RESOLVE_H
#define WALDEN_CONFIG_RESOLVE_H

#include "config/option.h"
#include "config/settings.h"

typedef struct Resolver {
    Settings *settings;
    Config *config;
} Resolver;

/* Fills the global options. */
void resolve_globals(Resolver *resolver);

/* Fills the options of a server from its section, [barman] and the defaults, in this order. */
void resolve_server(Resolver *resolver, ServerConfig *server);

/* Puts what the section of a model says over the server's options. */
void resolve_model(Resolver *resolver, ServerConfig *server, const char *model);

/* True when the section has a true `model`, and so is not a server. */
bool resolve_is_model(Resolver *resolver, const char *section);

/* The value of an option that is not in our table, from the section or, with `inherit`, [barman].
 * NULL: not set. */
const char *resolve_text(Resolver *resolver, const char *section, const char *key, bool inherit);

/* Warns of every option in the file that nobody knows or that stands in the wrong section. */
void resolve_check_names(Resolver *resolver, const IniFile *file);

#endif
