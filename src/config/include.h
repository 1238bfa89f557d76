/* SPDX-License-Identifier: PostgreSQL
 * Which files make up the configuration. */
#ifndef WALDEN_CONFIG_INCLUDE_H
#define WALDEN_CONFIG_INCLUDE_H

#include "config/config.h"
#include "config/settings.h"

/* The main file: `path`, or the one that is found. */
int config_locate(const char *path, Arena *arena, const char **ret_path);

/* Adds the *.conf files of configuration_files_directory and Barman's own .barman.auto.conf. */
int config_include(Settings *settings, Config *config);

#endif
