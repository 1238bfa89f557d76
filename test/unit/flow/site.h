/* SPDX-License-Identifier: PostgreSQL
 * A server's directories below a scratch directory, configured as it is without any options. */
#ifndef WALDEN_TEST_SITE_H
#define WALDEN_TEST_SITE_H

#include "segment.h"

#include "base/log.h"
#include "config/config.h"

typedef struct Site {
    Arena *arena;
    char *dir;
    const char *catalog;
    Config config;
    ServerConfig server;
    void *more; /* the test's own */
} Site;

static inline const char *
site_path(const Site *site, const char *name)
{
    return arena_printf(site->arena, "%s/%s", site->dir, name);
}

static inline int
site_setup(void **state)
{
    Site *site = mem_alloc(sizeof(*site));
    site->arena = arena_new();
    site->dir = scratch_make();
    site->catalog = site_path(site, "wals/main-xlog.db");
    site->config = (Config){.path = "/etc/main.conf", .barman_lock_directory = site->dir};
    site->server = (ServerConfig){
        .name = "main",
        .active = true,
        .archiver = true,
        .backup_directory = site->dir,
        .incoming_wals_directory = site_path(site, "incoming"),
        .streaming_wals_directory = site_path(site, "streaming"),
        .wals_directory = site_path(site, "wals"),
        .xlogdb_directory = site_path(site, "wals"),
        .errors_directory = site_path(site, "errors"),
        .compression_level = "medium",
        .wal_validation = "header",
        .hook_timeout = -1,
    };
    *state = site;
    return 0;
}

static inline int
site_teardown(void **state)
{
    Site *site = *state;
    scratch_remove(site->dir);
    arena_free(site->arena);
    free(site);
    return 0;
}

/* A good segment at a path below the site. */
static inline void
site_segment(const Site *site, const char *directory, const char *name, unsigned seed)
{
    const char *path = arena_printf(site->arena, "%s/%s/%s", site->dir, directory, name);
    AUTO(free) char *segment = mem_dup(name);
    segment[WAL_SEGMENT_LENGTH] = '\0'; /* of a partial */
    segment_write(path, segment, seed);
}

#endif
