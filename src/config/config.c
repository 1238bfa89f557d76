/* SPDX-License-Identifier: PostgreSQL
 * Loads the configuration: files, then the servers that they define, then what can only be seen
 * when all of them are known. A fault of one server disables that server, so that the others go
 * on; only what makes the whole unclear is an error. */
#include "config/config.h"

#include "config/include.h"
#include "config/path.h"
#include "config/resolve.h"

#include "base/file.h"

#include <errno.h>

void
config_free(Config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->server_count; i++)
        strlist_done(&config->servers[i].messages);
    strlist_done(&config->warnings);
    arena_free(config->arena); /* config is in it */
}

const ServerConfig *
config_find_server(const Config *config, const char *name)
{
    for (size_t i = 0; i < config->server_count; i++)
        if (strcmp(config->servers[i].name, name) == 0)
            return &config->servers[i];
    return NULL;
}

static void
disable(ServerConfig *server, const char *message)
{
    server->disabled = true;
    strlist_add(&server->messages, message);
}

/* The main file and its [barman] section, then the included files. */
static int
load_files(Resolver *resolver)
{
    Settings *settings = resolver->settings;
    Config *config = resolver->config;
    const SettingsFile *file = NULL;
    TRY(settings_read(settings, config->path));
    if (!settings_find(settings, SECTION_GLOBAL, "", &file))
        return fail(ERR_CONFIG, "%s: there is no section [" SECTION_GLOBAL "]", config->path);
    resolve_globals(resolver);
    if (!config->barman_home)
        return fail(ERR_CONFIG, "%s: section [" SECTION_GLOBAL "] must set 'barman_home'",
                    config->path);
    TRY(config_include(settings, config));
    for (size_t i = 0; i < settings->count; i++)
        resolve_check_names(resolver, &settings->files[i].ini);
    return 0;
}

/* The model that somebody made active with `barman config-switch`, or NULL. */
static int
read_active_model(const ServerConfig *server, Arena *arena, const char **ret_model)
{
    AUTO(str) Str text = {0};
    const char *path = arena_printf(arena, "%s/.active-model.auto", server->backup_directory);
    if (file_read_text(path, KIB(4), &text) < 0)
        return error_last()->os_error == ENOENT || error_last()->os_error == ENOTDIR ? 0 : -1;
    const char *start = str_text(&text), *end = start + strcspn(start, "\r\n");
    while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    start += strspn(start, " \t");
    *ret_model = end > start ? arena_dup_part(arena, start, (size_t)(end - start)) : NULL;
    return 0;
}

static void
apply_model(Resolver *resolver, ServerConfig *server)
{
    Arena *arena = resolver->config->arena;
    const char *model = NULL;
    const SettingsFile *file = NULL;
    if (read_active_model(server, arena, &model) < 0) {
        disable(server, arena_printf(arena, "active model: %s", error_last()->text));
        return;
    }
    if (!model)
        return;
    bool exists =
        settings_find(resolver->settings, model, "", &file) && resolve_is_model(resolver, model);
    const char *cluster = exists ? resolve_text(resolver, model, "cluster", false) : NULL;
    if (!exists)
        disable(server, arena_printf(arena, "active model '%s' is not defined", model));
    else if (!cluster || !server->cluster || strcmp(cluster, server->cluster) != 0)
        disable(server, arena_printf(arena, "active model '%s' is for cluster '%s', not for '%s'",
                                     model, cluster ? cluster : "", server->cluster));
    else
        resolve_model(resolver, server, model);
}

/* WAL must have a way in: as Barman, we do not let a server be without any archiver. A passive node
 * (primary_ssh_command) has none. */
static void
force_archiver(Resolver *resolver, ServerConfig *server, const IniLine *header,
               const SettingsFile *file)
{
    if (server->archiver || server->streaming_archiver ||
        resolve_text(resolver, server->name, "primary_ssh_command", true))
        return;
    server->archiver = true;
    strlist_addf(&resolver->config->warnings,
                 "%s:%d: server '%s' has no archiver: taking 'archiver = on'", file->ini.name,
                 header->number, server->name);
}

bool
server_is_remote(const ServerConfig *server)
{
    return strstr(server->wals_directory, "://");
}

/* What an archive in an object store asks of the rest. Its catalog is here: by default it is where
 * the archive is, and so it needs another one. */
static void
check_remote(ServerConfig *server, Arena *arena)
{
    static const char *const schemes[] = {"s3://", "gs://", "azure://", "https://", "http://"};
    const char *url = server->wals_directory, *compression = server->compression;
    bool known = false;
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        known = known || str_starts(url, schemes[i]);
    if (!known)
        disable(server, arena_printf(arena,
                                     "wals_directory '%s' is neither a directory nor the URL of an "
                                     "object store that is known: s3://BUCKET/PREFIX, for example",
                                     url));
    if (strcmp(server->xlogdb_directory, url) == 0)
        server->xlogdb_directory = arena_printf(arena, "%s/xlogdb", server->backup_directory);
    else if (strstr(server->xlogdb_directory, "://"))
        disable(server, arena_printf(arena,
                                     "xlogdb_directory '%s' is not a directory: the catalog of an "
                                     "archive in an object store is here",
                                     server->xlogdb_directory));
    if (compression && (strcmp(compression, "pigz") == 0 || strcmp(compression, "custom") == 0))
        disable(server, arena_printf(arena,
                                     "compression = %s cannot be used with an archive in an object "
                                     "store (wals_directory = %s): use gzip, bzip2, xz, zstd, lz4 "
                                     "or snappy",
                                     compression, url));
}

static void
check_server(ServerConfig *server, Arena *arena)
{
    if (strchr(server->name, '/') || strcmp(server->name, ".") == 0 ||
        strcmp(server->name, "..") == 0)
        disable(server,
                arena_printf(arena,
                             "'%s' cannot be the name of a server, as files are named after it",
                             server->name));
    if (server_is_remote(server))
        check_remote(server, arena);
}

static int
add_server(Resolver *resolver, const char *name)
{
    Config *config = resolver->config;
    const SettingsFile *file = NULL;
    const IniLine *header = settings_find(resolver->settings, name, "", &file);
    if (strcmp(name, "all") == 0)
        return fail(ERR_CONFIG, "%s:%d: 'all' is reserved, it cannot be the name of a server",
                    file->ini.name, header->number);
    if (resolve_is_model(resolver, name)) {
        if (!resolve_text(resolver, name, "cluster", false))
            strlist_addf(&config->warnings, "%s:%d: model '%s' has no cluster, it cannot be used",
                         file->ini.name, header->number, name);
        return 0;
    }
    ServerConfig *server = &config->servers[config->server_count++];
    server->name = arena_dup(config->arena, name);
    resolve_server(resolver, server);
    apply_model(resolver, server);
    check_server(server, config->arena);
    force_archiver(resolver, server, header, file);
    return 0;
}

/* A directory that a server uses, for finding two uses of one. */
typedef struct Place {
    const char *real, *option, *given;
    ServerConfig *server;
    size_t order;
} Place;

static int
compare_places(const void *a, const void *b)
{
    const Place *left = a, *right = b;
    int order = strcmp(left->real, right->real);
    return order ? order : (left->order > right->order) - (left->order < right->order);
}

static size_t
list_places(Config *config, Place *places)
{
    size_t count = 0;
    for (size_t i = 0; i < config->server_count; i++) {
        ServerConfig *server = &config->servers[i];
        const Place own[] = {
            {.option = "backup_directory", .given = server->backup_directory},
            {.option = "errors_directory", .given = server->errors_directory},
            {.option = "incoming_wals_directory", .given = server->incoming_wals_directory},
            {.option = "streaming_wals_directory", .given = server->streaming_wals_directory},
            {.option = "wals_directory", .given = server->wals_directory},
        };
        for (size_t k = 0; k < COUNT_OF(own); k++) {
            if (strstr(own[k].given, "://"))
                continue;
            places[count] = own[k];
            places[count].real = path_real(config->arena, own[k].given);
            places[count].server = server;
            places[count].order = count;
            count++;
        }
    }
    return count;
}

/* Two uses of one directory would mix or delete what the other one needs. */
static int
check_places(Config *config)
{
    enum { PER_SERVER = 5 };
    Place *places =
        arena_alloc(config->arena, (config->server_count * PER_SERVER + 1) * sizeof(Place));
    size_t count = list_places(config, places);
    qsort(places, count, sizeof(Place), compare_places);
    for (size_t i = 1; i < count; i++) {
        const Place *first = &places[i - 1], *second = &places[i];
        if (strcmp(first->real, second->real) != 0)
            continue;
        if (first->server != second->server)
            return hint(fail(ERR_CONFIG,
                             "servers '%s' and '%s' use the same directory '%s', as %s and %s",
                             first->server->name, second->server->name, second->real, first->option,
                             second->option),
                        "give each server directories of its own");
        disable(second->server, arena_printf(config->arena, "%s and %s are the same directory '%s'",
                                             first->option, second->option, second->real));
    }
    return 0;
}

static int
load(const char *path, Settings *settings, Config *config)
{
    Resolver resolver = {.settings = settings, .config = config};
    TRY(config_locate(path, config->arena, &config->path));
    TRY(load_files(&resolver));
    size_t count = 0;
    const char **names = settings_sections(settings, &count);
    config->servers = arena_alloc(config->arena, (count + 1) * sizeof(ServerConfig));
    for (size_t i = 0; i < count; i++)
        TRY(add_server(&resolver, names[i]));
    return check_places(config);
}

int
config_load(const char *path, Config **ret_config)
{
    Arena *arena = arena_new();
    AUTO(config) Config *config = arena_alloc(arena, sizeof(Config));
    config->arena = arena;
    AUTO(arena) Arena *text = arena_new();
    AUTO(settings) Settings settings = {.arena = text};
    TRY(load(path, &settings, config));
    *ret_config = take(config);
    return 0;
}
