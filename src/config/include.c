/* SPDX-License-Identifier: PostgreSQL
 * Finding and including files. A file that is named but cannot be read is an
 * error, never passed over: what stands in it might be the server that was asked for. */
#include "config/include.h"

#include "config/path.h"

#include <errno.h>
#include <sys/stat.h>

static const char *const places[] = {"/etc/walden.conf", "~/.walden.conf", "~/.barman.conf",
                                     "/etc/barman.conf", "/etc/barman/barman.conf"};

int
config_locate(const char *path, Arena *arena, const char **ret_path)
{
    const char *from_env = getenv("BARMAN_CONFIG_FILE");
    AUTO(str) Str looked = {0};
    path = path || !from_env || !*from_env ? path : from_env;
    if (path) {
        *ret_path = arena_dup(arena, path);
        return 0;
    }
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        const char *place = path_expand(arena, places[i]);
        struct stat st;
        if (stat(place, &st) == 0) {
            *ret_path = arena_dup(arena, place);
            return 0;
        }
        str_appendf(&looked, "%s%s", i ? ", " : "", place);
    }
    return hint(fail(ERR_CONFIG, "there is no configuration file: looked at %s", str_text(&looked)),
                "give one with -c or in BARMAN_CONFIG_FILE");
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
list_directory(const char *path, StrList *ret_names)
{
    AUTO(closedir) DIR *dir = opendir(path);
    if (!dir)
        return fail(ERR_CONFIG, "open directory '%s': %m", path);
    const struct dirent *entry = NULL;
    while (errno = 0, (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && str_ends(entry->d_name, ".conf"))
            strlist_add(ret_names, entry->d_name);
    if (errno)
        return fail(ERR_CONFIG, "read directory '%s': %m", path);
    if (ret_names->count)
        qsort(ret_names->items, ret_names->count, sizeof(char *), compare_names);
    return 0;
}

static int
include_file(Settings *settings, const char *path)
{
    TRY(settings_read(settings, path));
    return settings_check_global(settings, &settings->files[settings->count - 1]);
}

static int
include_directory(Settings *settings, Config *config)
{
    const char *path = path_expand(settings->arena, config->configuration_files_directory);
    struct stat st;
    bool known = stat(path, &st) == 0;
    if (!known && errno != ENOENT && errno != ENOTDIR)
        return fail(ERR_CONFIG, "open directory '%s': %m", path);
    if (!known || !S_ISDIR(st.st_mode)) {
        const SettingsFile *in = NULL;
        const IniLine *line =
            settings_find(settings, SECTION_GLOBAL, "configuration_files_directory", &in);
        assert(line); /* it has no default */
        strlist_addf(&config->warnings, "%s:%d: '%s' is not a directory, no files are included",
                     in->ini.name, line->number, path);
        return 0;
    }

    AUTO(strlist) StrList names = {0};
    TRY(list_directory(path, &names));
    for (size_t i = 0; i < names.count; i++) {
        const char *file = arena_printf(settings->arena, "%s/%s", path, names.items[i]);
        if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
            strlist_addf(&config->warnings, "%s: is not a regular file, not included", file);
        else
            TRY(include_file(settings, file));
    }
    return 0;
}

int
config_include(Settings *settings, Config *config)
{
    if (config->configuration_files_directory)
        TRY(include_directory(settings, config));
    const char *file = arena_printf(settings->arena, "%s/.barman.auto.conf", config->barman_home);
    struct stat st;
    if (stat(file, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    return include_file(settings, file);
}
