/* SPDX-License-Identifier: PostgreSQL
 * Files as sorted lists of lines. The files are kept apart because [DEFAULT] means its own file
 * only; what counts is found by asking each file from the last to the first. Knows nothing of
 * options and their values. */
#include "config/settings.h"

#include "base/file.h"

#include <errno.h>

static const size_t size_max = MIB(1);

void
settings_done(Settings *settings)
{
    free(settings->files);
    *settings = (Settings){0};
}

static int
compare_lines(const void *a, const void *b)
{
    const IniLine *left = *(IniLine *const *)a, *right = *(IniLine *const *)b;
    int order = strcmp(left->section, right->section);
    order = order ? order : strcmp(left->key, right->key);
    /* Lines stand in one array in the order of the file. */
    return order ? order : (left > right) - (left < right);
}

static SettingsFile
index_file(Arena *arena, IniFile ini)
{
    SettingsFile file = {.ini = ini};
    file.index = arena_alloc(arena, (ini.count + 1) * sizeof(IniLine *));
    for (size_t i = 0; i < ini.count; i++)
        file.index[i] = &ini.lines[i];
    qsort(file.index, ini.count, sizeof(IniLine *), compare_lines);
    for (size_t i = 0; i < ini.count; i++) {
        bool same = file.count &&
                    strcmp(file.index[file.count - 1]->key, file.index[i]->key) == 0 &&
                    strcmp(file.index[file.count - 1]->section, file.index[i]->section) == 0;
        file.index[same ? file.count - 1 : file.count++] = file.index[i];
    }
    return file;
}

static int
read_text(const char *path, Str *ret_text)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return fail_errno("open configuration file '%s'", path);
    if (!S_ISREG(st.st_mode))
        return fail(ERR_CONFIG, "configuration file '%s' is not a regular file", path);
    return file_read_text(path, size_max, ret_text);
}

int
settings_read(Settings *settings, const char *path)
{
    AUTO(str) Str text = {0};
    if (read_text(path, &text) < 0) {
        int os_error = error_last()->os_error;
        int result = fail(ERR_CONFIG, "%s", error_last()->text);
        if (os_error == EACCES)
            hint(result, "the account that runs this must be able to read it");
        if (os_error == ENOENT)
            hint(result, "the name comes from -c, BARMAN_CONFIG_FILE or an included directory");
        return result;
    }
    IniFile ini;
    TRY(ini_parse(path, str_text(&text), text.length, settings->arena, &ini));
    settings->files = mem_resize(settings->files, settings->count + 1, sizeof(SettingsFile));
    settings->files[settings->count++] = index_file(settings->arena, ini);
    return 0;
}

static IniLine *
find_line(const SettingsFile *file, const char *section, const char *key)
{
    const IniLine wanted = {.section = section, .key = key};
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(wanted.section, file->index[middle]->section);
        order = order ? order : strcmp(wanted.key, file->index[middle]->key);
        if (order == 0)
            return file->index[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

IniLine *
settings_find_in(const SettingsFile *file, const char *section, const char *key)
{
    IniLine *line = find_line(file, section, key);
    if (!line && *key && find_line(file, section, ""))
        line = find_line(file, SECTION_DEFAULT, key);
    return line;
}

IniLine *
settings_find(const Settings *settings, const char *section, const char *key,
              const SettingsFile **ret_file)
{
    for (size_t i = settings->count; i-- > 0;) {
        IniLine *line = settings_find_in(&settings->files[i], section, key);
        if (line) {
            *ret_file = &settings->files[i];
            return line;
        }
    }
    return NULL;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **
settings_sections(const Settings *settings, size_t *ret_count)
{
    size_t room = 0, count = 0, kept = 0;
    for (size_t i = 0; i < settings->count; i++)
        room += settings->files[i].count;
    const char **names = arena_alloc(settings->arena, (room + 1) * sizeof(char *));
    for (size_t i = 0; i < settings->count; i++)
        for (size_t k = 0; k < settings->files[i].count; k++) {
            const IniLine *line = settings->files[i].index[k];
            if (!*line->key && strcmp(line->section, SECTION_DEFAULT) != 0 &&
                strcmp(line->section, SECTION_GLOBAL) != 0)
                names[count++] = line->section;
        }
    qsort(names, count, sizeof(char *), compare_names);
    for (size_t i = 0; i < count; i++)
        if (!kept || strcmp(names[kept - 1], names[i]) != 0)
            names[kept++] = names[i];
    *ret_count = kept;
    return names;
}

int
settings_check_global(const Settings *settings, const SettingsFile *included)
{
    const SettingsFile *main_file = &settings->files[0];
    if (!find_line(included, SECTION_GLOBAL, ""))
        return 0;
    for (size_t i = 0; i < included->count; i++) {
        const IniLine *line = included->index[i];
        bool counts = strcmp(line->section, SECTION_GLOBAL) == 0 ||
                      strcmp(line->section, SECTION_DEFAULT) == 0;
        if (!*line->key || !counts)
            continue;
        const IniLine *said = settings_find_in(main_file, SECTION_GLOBAL, line->key);
        if (!said || strcmp(said->value, line->value) != 0)
            return hint(fail(ERR_CONFIG,
                             "%s:%d: section [" SECTION_GLOBAL "] cannot be changed in an included "
                             "file",
                             included->ini.name, line->number),
                        "move '%s' to '%s'", line->key, main_file->ini.name);
    }
    return 0;
}
