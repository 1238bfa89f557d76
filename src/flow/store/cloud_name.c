/* SPDX-License-Identifier: PostgreSQL
 * Keys, as Barman's cloud commands build them: PREFIX/SERVER/wals/HASHDIR/NAME.EXTENSION, where the
 * extension says the compression. */
#include "flow/store/cloud.h"

/* The first of an extension is what it is read as. */
static const struct {
    const char *compression, *extension;
} extensions[] = {
    {"none", ""},      {"gzip", ".gz"},     {"pygzip", ".gz"},
    {"bzip2", ".bz2"}, {"pybzip2", ".bz2"}, {"snappy", ".snappy"},
    {"xz", ".xz"},     {"zstd", ".zst"},    {"lz4", ".lz4"},
};

const char *
store_extension(const char *compression)
{
    for (size_t i = 0; i < COUNT_OF(extensions); i++)
        if (strcmp(extensions[i].compression, compression ? compression : "none") == 0)
            return extensions[i].extension;
    return NULL;
}

char *
cloud_key(const CloudStore *store, const char *name, const char *extension)
{
    char relative[WAL_PATH_ROOM];
    wal_relative_path(name, relative);
    return mem_printf("%s%s%s", store->root, relative, extension);
}

/* No name of a WAL file ends in one of the extensions. */
static const char *
extension_of(const char *text)
{
    for (size_t i = 0; i < COUNT_OF(extensions); i++)
        if (*extensions[i].extension && str_ends(text, extensions[i].extension))
            return extensions[i].extension;
    return "";
}

bool
cloud_key_parse(const char *relative, CloudEntry *ret_entry)
{
    const char *slash = strrchr(relative, '/');
    const char *file = slash ? slash + 1 : relative;
    CloudEntry entry = {.extension = extension_of(file)};
    size_t length = strlen(file) - strlen(entry.extension);
    char expected[WAL_PATH_ROOM];
    if (length >= sizeof(entry.name))
        return false;
    memcpy(entry.name, file, length);
    if (wal_kind(entry.name) == WAL_NONE)
        return false;
    wal_relative_path(entry.name, expected);
    size_t whole = strlen(expected);
    if (strncmp(relative, expected, whole) != 0 || strcmp(relative + whole, entry.extension) != 0)
        return false;
    *ret_entry = entry;
    return true;
}
