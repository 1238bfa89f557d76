/* SPDX-License-Identifier: PostgreSQL
 * What all configuration files together say, as text. Later files come before earlier ones; the
 * [DEFAULT] section of a file counts for the sections that stand in that file. */
#ifndef WALDEN_CONFIG_SETTINGS_H
#define WALDEN_CONFIG_SETTINGS_H

#include "config/ini.h"

#define SECTION_GLOBAL "barman"
#define SECTION_DEFAULT "DEFAULT"

typedef struct SettingsFile {
    IniFile ini;
    IniLine **index; /* sorted, only the last of each section and key */
    size_t count;
} SettingsFile;

typedef struct Settings {
    Arena *arena;
    SettingsFile *files; /* the main file first; on the heap */
    size_t count;
} Settings;

void settings_done(Settings *settings);

static inline void
auto_settings(Settings *settings)
{
    settings_done(settings);
}

/* Reads the file and adds it. ERR_CONFIG when it cannot be read, too. */
int settings_read(Settings *settings, const char *path);

/* The line that counts, or NULL; *ret_file is where it stands. With key "" the header of the
 * section. */
IniLine *settings_find(const Settings *settings, const char *section, const char *key,
                       const SettingsFile **ret_file);

/* The same in one file. */
IniLine *settings_find_in(const SettingsFile *file, const char *section, const char *key);

/* The names of all sections but [DEFAULT] and [barman], sorted; the array is the arena's. */
const char **settings_sections(const Settings *settings, size_t *ret_count);

/* ERR_CONFIG if the included file changes [barman]; it may repeat what the main file says. */
int settings_check_global(const Settings *settings, const SettingsFile *included);

#endif
