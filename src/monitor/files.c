/* SPDX-License-Identifier: PostgreSQL
 * What there is to see of a server on this host without opening its archive: directories, what
 * waits in them, what was rejected, who is at work, and how full the disk is. */
#include "base/file.h"
#include "base/lock.h"
#include "flow/intake/intake.h"
#include "monitor/parts.h"
#include "wal/identity.h"
#include "wal/name.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

static int
look_at_directory(const char *path)
{
    TRY(dir_make(path));
    if (access(path, R_OK | W_OK | X_OK) < 0)
        return fail_errno("write into directory '%s'", path);
    return 0;
}

static void
look_at_directories(const ServerConfig *server, FilesState *files)
{
    const char *const paths[] = {
        server->backup_directory,
        server_is_remote(server) ? NULL : server->wals_directory,
        server->errors_directory,
        server->archiver ? server->incoming_wals_directory : NULL,
        server->streaming_archiver ? server->streaming_wals_directory : NULL,
        server->xlogdb_directory,
    };
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        if (paths[i] && look_at_directory(paths[i]) < 0) {
            snprintf(files->broken_directory, sizeof(files->broken_directory), "%s",
                     error_last()->text);
            return;
        }
}

/* Barman counts whatever is there, of whatever name and kind. */
static int
count_entries(const char *directory, int64_t *ret_entries)
{
    AUTO(strlist) StrList files = {0}, others = {0};
    TRY(incoming_scan(directory, &files, &others));
    *ret_entries = (int64_t)(files.count + others.count);
    return 0;
}

static int
look_at_queue(const char *directory, int (*scan)(const char *, StrList *, StrList *),
              QueueState *queue)
{
    AUTO(strlist) StrList files = {0}, others = {0};
    double now = time_now();
    TRY(count_entries(directory, &queue->entries));
    TRY(scan(directory, &files, &others));
    for (size_t i = 0; i < files.count; i++) {
        struct stat st;
        AUTO(free) char *path = mem_printf("%s/%s", directory, files.items[i]);
        if (wal_kind(files.items[i]) == WAL_NONE || lstat(path, &st) < 0)
            continue; /* somebody archived it meanwhile */
        /* Not the time of a wrong clock, that is to come: then since when it is here. */
        bool ahead = time_seconds(st.st_mtim) > now;
        double age = now - time_seconds(ahead ? st.st_ctim : st.st_mtim);
        queue->files++;
        queue->bytes += st.st_size;
        if (age > queue->age)
            queue->age = age;
    }
    return 0;
}

static int
look_at_errors(const char *directory, ErrorFiles *errors)
{
    AUTO(strlist) StrList files = {0}, others = {0};
    TRY(incoming_scan(directory, &files, &others));
    errors->other = (int64_t)others.count;
    for (size_t i = 0; i < files.count; i++) {
        const char *name = files.items[i];
        if (str_ends(name, ".duplicate"))
            errors->duplicate++;
        else if (str_ends(name, ".unknown"))
            errors->unknown++;
        else if (str_ends(name, ".invalid"))
            errors->invalid++;
        else if (str_ends(name, ".error"))
            errors->irrelevant++;
        else
            errors->other++;
    }
    return 0;
}

/* Only shared, so that the pid in the lock file stays that of the last one who did the work. */
static int
look_at_lock(const ServerState *state, const char *task, pid_t *ret_pid)
{
    AUTO(lock) Lock lock = LOCK_NONE;
    AUTO(free)
    char *path = mem_printf("%s/.%s-%s.lock", state->config->barman_lock_directory,
                            state->server->name, task);
    pid_t holder = 0;
    int taken = lock_take(path, LOCK_SHARED, 0, &lock, &holder);
    if (taken < 0)
        return taken;
    *ret_pid = taken == LOCK_BUSY ? holder : 0;
    return 0;
}

static int
look_at_disk(const char *directory, FilesState *files)
{
    struct statvfs disk;
    if (statvfs(directory, &disk) < 0)
        return fail_errno("ask for the free space of '%s'", directory);
    files->disk_size = (int64_t)(disk.f_blocks * disk.f_frsize);
    files->disk_free = (int64_t)(disk.f_bavail * disk.f_frsize);
    files->inodes = (int64_t)disk.f_files;
    files->inodes_free = (int64_t)disk.f_favail;
    return 0;
}

int
files_look(void *context)
{
    ServerState *state = context;
    const ServerConfig *server = state->server;
    FilesState *files = &state->files;
    look_at_directories(server, files);
    TRY(look_at_lock(state, "archive-wal", &files->archiver_pid));
    TRY(look_at_lock(state, "receive-wal", &files->receiver_pid));
    TRY(look_at_queue(server->incoming_wals_directory, incoming_scan, &files->incoming));
    TRY(look_at_queue(server->streaming_wals_directory, streaming_scan, &files->streaming));
    TRY(look_at_errors(server->errors_directory, &files->errors));
    TRY(identity_read(server->backup_directory, &files->system_id));
    /* With an archive in an object store it is the disk on which WAL waits that may be full. */
    return look_at_disk(
        server_is_remote(server) ? server->backup_directory : server->wals_directory, files);
}
