/* SPDX-License-Identifier: PostgreSQL
 * An archive belongs to one cluster. The file that says to which is written once, at first contact,
 * and never changed by us: whoever replaces a cluster must say so by taking it away. The only file
 * of this folder that touches the disk. */
#include "wal/identity.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

static const char file_name[] = "identity.json";

/* 0: there is none. Not by libjansson: the archive module reads it inside PostgreSQL's server,
 * which has a json_object of its own that the library would call in place of its own. */
static uint64_t
parse_system_id(const char *text)
{
    char id[21]; /* digits of UINT64_MAX */
    int end = 0;
    const char *at = strstr(text, "\"systemid\"");
    if (!at || sscanf(at, "\"systemid\" : \"%20[0-9]\"%n", id, &end) != 1 || end == 0)
        return 0;
    errno = 0;
    uint64_t value = strtoull(id, NULL, 10);
    return errno == 0 ? value : 0;
}

int
identity_read(const char *backup_directory, uint64_t *ret_system_id)
{
    AUTO(free) char *path = mem_printf("%s/%s", backup_directory, file_name);
    AUTO(str) Str text = {0};
    int result = file_read_text(path, KIB(64), &text);
    *ret_system_id = 0;
    if (result < 0 && error_last()->os_error == ENOENT)
        return 0;
    TRY(result);
    uint64_t value = parse_system_id(str_text(&text));
    if (value == 0)
        return hint(fail(ERR_DATA, "'%s' does not hold a \"systemid\"", path),
                    "restore the file, or remove it if you are sure of the cluster");
    *ret_system_id = value;
    return 0;
}

/* ATOMIC_EXISTS when somebody else was faster. */
static int
write_identity(const char *backup_directory, uint64_t system_id, int major)
{
    AUTO(str) Str text = {0};
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    str_appendf(&text, "{\n    \"systemid\": \"%" PRIu64 "\",\n    \"version\": \"%d\"\n}\n",
                system_id, major);
    TRY(dir_make(backup_directory));
    TRY(atomic_open(backup_directory, file_name, 0666, &file));
    TRY(file_write(file.fd, text.data, text.length, file_name));
    TRY(file_sync(file.fd, file_name));
    int result = atomic_publish(&file);
    return result ? result : dir_sync(backup_directory);
}

int
identity_check(const char *backup_directory, uint64_t system_id, int major)
{
    uint64_t known = 0;
    TRY(identity_read(backup_directory, &known));
    if (known == 0) {
        int result = write_identity(backup_directory, system_id, major);
        if (result != ATOMIC_EXISTS)
            return result;
        TRY(identity_read(backup_directory, &known));
    }
    if (known == system_id)
        return 0;
    return hint(fail(ERR_DATA,
                     "the server's system identifier is %" PRIu64
                     ", but the archive in '%s' belongs to the cluster %" PRIu64,
                     system_id, backup_directory, known),
                "check the connection strings; a new cluster needs an archive of its own");
}

uint64_t
identity_of_cluster(const char *data_directory)
{
    AUTO(free) char *path = mem_printf("%s/global/pg_control", data_directory);
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint64_t system_id = 0; /* which stands there first, in every version */
    return fd >= 0 && read(fd, &system_id, sizeof(system_id)) == sizeof(system_id) ? system_id : 0;
}
