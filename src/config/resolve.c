/* SPDX-License-Identifier: PostgreSQL
 * Decides what each option is. A value that cannot be used is told once, with file and line, and
 * then taken as not written, so that the next level decides. %(key)s is tolerant:
 * what cannot be resolved stays as it is, because hook commands are full of per cent signs.
 * Reads no files, and fails never. */
#include "config/resolve.h"

#include <strings.h>

/* Deeper nesting, more keys, or a longer value, is a mistake (%(a)s that means itself). */
enum { DEPTH_MAX = 10, KEYS_MAX = 1000, VALUE_MAX = 64 << 10 };

/* Where a %(key)s looks: at the section in the file where the value stands, as Barman, then at all
 * that is known. section NULL: only at what is resolved already. */
typedef struct Scope {
    const Resolver *resolver;
    const char *section;
    const SettingsFile *file;
    ServerConfig *server;
    int depth;
    int *keys; /* replaced for one value, at all depths */
} Scope;

static bool expand(const Scope *scope, const char *text, Str *out);

static bool
expand_value(Scope scope, const char *text, Str *out)
{
    int keys = 0;
    scope.keys = &keys;
    return expand(&scope, text, out);
}

/* An option's value in force, if it is text and set by now. */
static const char *
resolved_text(const Scope *scope, const char *key)
{
    if (scope->server && strcmp(key, "name") == 0)
        return scope->server->name;
    const OptionInfo *option = option_find(key);
    if (!option || !option_slot(option)->kind->is_text)
        return NULL;
    const void *field = option_field(option, scope->resolver->config, scope->server);
    return field ? *(const char *const *)field : NULL;
}

/* Appends the value of key; false when there is none, or no end of it. */
static bool
expand_key(const Scope *scope, const char *key, Str *out)
{
    const Settings *settings = scope->resolver->settings;
    Scope inner = *scope;
    if (++inner.depth > DEPTH_MAX || ++*inner.keys > KEYS_MAX)
        return false;
    const IniLine *line = scope->file ? settings_find_in(scope->file, scope->section, key) : NULL;
    if (!line && scope->section)
        line = settings_find(settings, scope->section, key, &inner.file);
    if (line)
        return expand(&inner, line->value, out);

    const char *known = resolved_text(scope, key);
    if (scope->section && !known)
        line = settings_find(settings, SECTION_GLOBAL, key, &inner.file);
    if (line) {
        AUTO(str) Str text = {0};
        inner.section = SECTION_GLOBAL;
        if (!expand(&inner, line->value, &text))
            return false;
        known = ini_unquote(settings->arena, str_text(&text));
    }
    if (known)
        str_append(out, known);
    return known;
}

/* Appends text with its %(key)s replaced. False when it grows beyond reason. */
static bool
expand(const Scope *scope, const char *text, Str *out)
{
    while (*text && out->length <= VALUE_MAX) {
        size_t plain = strcspn(text, "%");
        str_append_part(out, text, plain);
        text += plain;
        const char *end = text[0] && text[1] == '(' ? strchr(text, ')') : NULL;
        if (end && end[1] == 's' && end - text < 64) {
            char key[64];
            size_t length = (size_t)(end - text - 2), before = out->length;
            for (size_t i = 0; i < length; i++)
                key[i] =
                    (char)(text[i + 2] | (text[i + 2] >= 'A' && text[i + 2] <= 'Z' ? 0x20 : 0));
            key[length] = '\0';
            if (!expand_key(scope, key, out)) {
                if (out->length > VALUE_MAX)
                    return false;
                out->length = before;
                str_append_part(out, text, length + 4);
            }
            text = end + 2;
        } else if (*text) {
            str_append(out, "%");
            text += text[1] == '%' ? 2 : 1;
        }
    }
    return out->length <= VALUE_MAX;
}

/* However many servers inherit it, a fault is told once. */
static void
warn_once(Config *config, const SettingsFile *file, IniLine *line, const char *text)
{
    if (!line->warned)
        strlist_addf(&config->warnings, "%s:%d: %s, ignored", file->ini.name, line->number, text);
    line->warned = true;
}

/* The text of an option in a section. Answers the line, or NULL when the section does not have it;
 * *ret_text is NULL when the option is explicitly unset there. */
static IniLine *
find_text(Scope scope, const char *key, const char **ret_text, const SettingsFile **ret_file)
{
    Config *config = scope.resolver->config;
    IniLine *line = settings_find(scope.resolver->settings, scope.section, key, &scope.file);
    if (!line)
        return NULL;
    AUTO(str) Str text = {0};
    if (!expand_value(scope, line->value, &text)) {
        warn_once(config, scope.file, line,
                  arena_printf(config->arena, "the value of '%s' is too long", key));
        return NULL;
    }
    const char *value = NULL;
    if (strcasecmp(str_text(&text), "none") != 0)
        value = ini_unquote(config->arena, str_text(&text));
    bool unset = !value || !*value || strcmp(value, "None") == 0;
    *ret_text = unset ? NULL : value;
    *ret_file = scope.file;
    return line;
}

/* Reads what the section says into the option's field. False when the next level decides. */
static bool
read_level(const Scope *scope, const OptionInfo *option, void *field)
{
    Arena *arena = scope->resolver->config->arena;
    const ValueKind *kind = option_slot(option)->kind;
    const SettingsFile *file = NULL;
    const char *text = NULL;
    IniLine *line = find_text(*scope, option->name, &text, &file);
    if (!line)
        return false;
    /* Unsetting ends the search, unless there must be a value. */
    if (!text && !option->standard)
        return true;
    if (text && kind->read(text, option->placeholder, arena, field))
        return true;
    const char *fault =
        text ? arena_printf(arena, "'%s' is no value for '%s' (expected %s)", text, option->name,
                            kind->expected ? kind->expected : option->placeholder)
             : arena_printf(arena, "'%s' cannot be without a value", option->name);
    warn_once(scope->resolver->config, file, line, fault);
    return false;
}

/* A default "%(other)s" means: as the other option, also when that is not set. */
static bool
standard_is_unset(const Scope *scope, const OptionInfo *option)
{
    char key[64];
    int end = 0;
    if (sscanf(option->standard, "%%(%63[^)])s%n", key, &end) != 1 || option->standard[end])
        return false;
    const OptionInfo *other = option_find(key);
    return other && option_slot(other)->kind->is_text && !resolved_text(scope, key);
}

static void
set_standard(const Scope *scope, const OptionInfo *option, void *field)
{
    const ValueKind *kind = option_slot(option)->kind;
    Scope resolved = {.resolver = scope->resolver, .server = scope->server};
    AUTO(str) Str text = {0};
    if (kind == &value_SECONDS || kind == &value_COUNT)
        *(int64_t *)field = -1;
    if (!option->standard || standard_is_unset(&resolved, option) ||
        !expand_value(resolved, option->standard, &text))
        return;
    bool fits =
        kind->read(str_text(&text), option->placeholder, scope->resolver->config->arena, field);
    assert(fits);
    (void)fits;
}

void
resolve_globals(Resolver *resolver)
{
    Scope scope = {.resolver = resolver, .section = SECTION_GLOBAL};
    size_t count = 0;
    const OptionInfo *options = option_all(&count);
    for (size_t i = 0; i < count; i++) {
        void *field = option_field(&options[i], resolver->config, NULL);
        if (option_slot(&options[i])->scope != OPTION_GLOBAL)
            continue;
        set_standard(&scope, &options[i], field);
        read_level(&scope, &options[i], field);
    }
}

void
resolve_server(Resolver *resolver, ServerConfig *server)
{
    Scope own = {.resolver = resolver, .section = server->name, .server = server};
    Scope global = {.resolver = resolver, .section = SECTION_GLOBAL, .server = server};
    size_t count = 0;
    const OptionInfo *options = option_all(&count);
    for (size_t i = 0; i < count; i++) {
        OptionScope scope = option_slot(&options[i])->scope;
        if (scope == OPTION_GLOBAL)
            continue;
        void *field = option_field(&options[i], resolver->config, server);
        set_standard(&own, &options[i], field);
        if (!read_level(&own, &options[i], field) && scope == OPTION_INHERIT)
            read_level(&global, &options[i], field);
    }
}

/* Models change how a server is archived, never where, and have no hooks. */
static bool
model_may_set(const OptionInfo *option)
{
    const OptionSlot *slot = option_slot(option);
    return slot->scope != OPTION_GLOBAL && slot->kind != &value_PATH &&
           !str_ends(option->name, "_script");
}

void
resolve_model(Resolver *resolver, ServerConfig *server, const char *model)
{
    Scope scope = {.resolver = resolver, .section = model, .server = server};
    size_t count = 0;
    const OptionInfo *options = option_all(&count);
    for (size_t i = 0; i < count; i++)
        if (model_may_set(&options[i]))
            read_level(&scope, &options[i], option_field(&options[i], resolver->config, server));
}

const char *
resolve_text(Resolver *resolver, const char *section, const char *key, bool inherit)
{
    Scope own = {.resolver = resolver, .section = section};
    Scope global = {.resolver = resolver, .section = SECTION_GLOBAL};
    const SettingsFile *file = NULL;
    const char *text = NULL;
    if (!find_text(own, key, &text, &file) && inherit)
        find_text(global, key, &text, &file);
    return text;
}

bool
resolve_is_model(Resolver *resolver, const char *section)
{
    bool is_model = false;
    const char *text = resolve_text(resolver, section, "model", false);
    return text && value_BOOL.read(text, NULL, resolver->config->arena, &is_model) && is_model;
}

static void
check_name(Resolver *resolver, const IniFile *file, const IniLine *line)
{
    const OptionInfo *option = option_find(line->key);
    bool in_default = strcmp(line->section, SECTION_DEFAULT) == 0;
    bool in_global = strcmp(line->section, SECTION_GLOBAL) == 0;
    StrList *warnings = &resolver->config->warnings;
    if (option) {
        OptionScope scope = option_slot(option)->scope;
        if (!in_default && scope == (in_global ? OPTION_SERVER : OPTION_GLOBAL))
            strlist_addf(warnings, "%s:%d: option '%s' in section [%s] belongs in %s, ignored",
                         file->name, line->number, line->key, line->section,
                         in_global ? "the section of a server" : "section [" SECTION_GLOBAL "]");
        else if (!in_default && !in_global && !model_may_set(option) &&
                 resolve_is_model(resolver, line->section))
            strlist_addf(warnings, "%s:%d: option '%s' cannot be set in a model, ignored",
                         file->name, line->number, line->key);
    } else if (!barman_option_known(line->key)) {
        const char *near = option_suggest(line->key);
        strlist_addf(warnings, "%s:%d: option '%s' in section [%s] is not known, ignored%s%s%s",
                     file->name, line->number, line->key, line->section,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
}

void
resolve_check_names(Resolver *resolver, const IniFile *file)
{
    for (size_t i = 0; i < file->count; i++)
        if (*file->lines[i].key)
            check_name(resolver, file, &file->lines[i]);
}
