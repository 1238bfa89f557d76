/* SPDX-License-Identifier: PostgreSQL
 * What was asked for: Barman's configuration files read into a const Config. All
 * options stand once in options.def, from which the fields below, the parser, show-servers and the
 * manual come. */
#ifndef WALDEN_CONFIG_CONFIG_H
#define WALDEN_CONFIG_CONFIG_H

#include "base/error.h"
#include "base/str.h"

/* Field types of the kinds in options.def */
#define CONFIG_FIELD_BOOL bool
#define CONFIG_FIELD_COUNT int64_t     /* whole number; -1: not set */
#define CONFIG_FIELD_SECONDS int64_t   /* -1: not set */
#define CONFIG_FIELD_TEXT const char * /* NULL: not set; so for all below */
#define CONFIG_FIELD_PATH const char *
#define CONFIG_FIELD_SHELL const char *     /* a shell line of the site's */
#define CONFIG_FIELD_SECRET const char *    /* one that prints a secret, or holds one itself */
#define CONFIG_FIELD_CHOICE const char *    /* one of a fixed list of words, lower case */
#define CONFIG_FIELD_MAGIC const char *     /* "0x" and hex digits */
#define CONFIG_FIELD_LEVEL const char *     /* "low", "medium", "high" or a whole number */
#define CONFIG_FIELD_LOGLEVEL const char *  /* as log_level_parse takes it */
#define CONFIG_FIELD_CONNINFO const char *  /* as libpq takes it; may hold a password */
#define CONFIG_FIELD_SLOT const char *      /* name of a replication slot */
#define CONFIG_FIELD_RETENTION const char * /* as retention_parse takes it */
#define CONFIG_FIELD_TAGS const char *      /* as tags_parse takes it */
#define CONFIG_FIELD_SIZE int64_t           /* bytes */

typedef struct ServerConfig {
    const char *name;
    bool disabled;    /* the configuration of this server has faults: see messages */
    StrList messages; /* what is wrong with it, first things first */
#define OPTION(kind, name, scope, ...) SERVER_FIELD_##scope(kind, name)
#define SERVER_FIELD_GLOBAL(kind, name)
#define SERVER_FIELD_SERVER(kind, name) CONFIG_FIELD_##kind name;
#define SERVER_FIELD_INHERIT(kind, name) CONFIG_FIELD_##kind name;
#include "config/options.def"
#undef OPTION
#undef SERVER_FIELD_GLOBAL
#undef SERVER_FIELD_SERVER
#undef SERVER_FIELD_INHERIT
} ServerConfig;

typedef struct Config {
    const char *path; /* of the main file, as it was given: hooks see it */
#define OPTION(kind, name, scope, ...) GLOBAL_FIELD_##scope(kind, name)
#define GLOBAL_FIELD_GLOBAL(kind, name) CONFIG_FIELD_##kind name;
#define GLOBAL_FIELD_SERVER(kind, name)
#define GLOBAL_FIELD_INHERIT(kind, name)
#include "config/options.def"
#undef OPTION
#undef GLOBAL_FIELD_GLOBAL
#undef GLOBAL_FIELD_SERVER
#undef GLOBAL_FIELD_INHERIT
    ServerConfig *servers; /* sorted by name */
    size_t server_count;
    StrList warnings; /* "FILE:LINE: text": told once by whoever loaded it */
    Arena *arena;     /* owns everything here */
} Config;

/* Reads the configuration: the file `path` if not NULL, else that named by $BARMAN_CONFIG_FILE,
 * else the first that exists of /etc/walden.conf, ~/.walden.conf, ~/.barman.conf, /etc/barman.conf,
 * /etc/barman/barman.conf; then the files it includes. ERR_CONFIG with file and line. Faults of one
 * server only disable that server. */
int config_load(const char *path, Config **ret_config);
void config_free(Config *config);

AUTO_DEFINE(config, Config *, config_free)

/* The server of that name, or NULL. */
const ServerConfig *config_find_server(const Config *config, const char *name);

/* Is the server's archive in an object store? Then wals_directory is a URL. */
bool server_is_remote(const ServerConfig *server);

/* One option and its value as text, for show-servers and the documentation. */
typedef struct OptionInfo {
    const char *name;
    const char *kind;     /* "BOOL", ... */
    const char *scope;    /* "GLOBAL", "SERVER", "INHERIT" */
    const char *standard; /* default as text; NULL: none */
    const char *placeholder;
    const char *help;
} OptionInfo;

const OptionInfo *option_all(size_t *ret_count);

/* The value in force, passwords replaced; memory is the arena's; NULL when it is not set. Global
 * options with server NULL. */
const char *option_value(const OptionInfo *option, const Config *config, const ServerConfig *server,
                         Arena *arena);

#endif
