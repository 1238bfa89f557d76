/* SPDX-License-Identifier: PostgreSQL
 * For tests that look at files: writing them, comparing them, and counting what is open. */
#ifndef WALDEN_TEST_FILES_H
#define WALDEN_TEST_FILES_H

#include "unit.h"

#include "base/file.h"

#include <fcntl.h>

/* Creates the directory too. */
static inline void
write_bytes(const char *path, const void *data, size_t size)
{
    AUTO(free) char *dir = mem_dup(path);
    *strrchr(dir, '/') = '\0';
    assert_done(dir_make(dir));
    AUTO(close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    assert_done(file_write(fd, data, size, path));
}

static inline void
write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

static inline bool
exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static inline void
assert_bytes(const char *path, const void *data, size_t size)
{
    AUTO(str) Str got = {0};
    assert_done(file_read_text(path, MIB(256), &got));
    if (got.length != size || memcmp(str_text(&got), data, size) != 0)
        fail_msg("'%s' (%zu bytes) is not what was expected (%zu bytes)", path, got.length, size);
}

static inline void
assert_text(const char *path, const char *expected)
{
    AUTO(str) Str got = {0};
    assert_done(file_read_text(path, MIB(256), &got));
    assert_string_equal(str_text(&got), expected);
}

/* Entries of a directory without "." and ".."; 0 when there is none. */
static inline size_t
count_entries(const char *path)
{
    size_t count = 0;
    AUTO(closedir) DIR *dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    return dir ? count - 2 : 0;
}

static inline size_t
count_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

static inline size_t
count_threads(void)
{
    return count_entries("/proc/self/task");
}

#endif
