/* SPDX-License-Identifier: PostgreSQL
 * AtomicFile where the file system can do less: without O_TMPFILE (or without /proc, which is
 * played here by a wrapped access), without hard links, and with disks that fail. */
#include "../files.h"

#include <errno.h>

static int link_error, sync_error, unlink_error;

int __wrap_access(const char *path, int mode);
int __real_access(const char *path, int mode);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_fsync(int fd);
int __real_fsync(int fd);
int __wrap_unlink(const char *path);
int __real_unlink(const char *path);
int __wrap_unlinkat(int dir, const char *path, int flags);
int __real_unlinkat(int dir, const char *path, int flags);

int
__wrap_access(const char *path, int mode)
{
    return strcmp(path, "/proc/self/fd") == 0 ? -1 : __real_access(path, mode);
}

int
__wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (!link_error)
        return __real_linkat(from_dir, from, to_dir, to, flags);
    errno = link_error;
    return -1;
}

int
__wrap_fsync(int fd)
{
    if (!sync_error)
        return __real_fsync(fd);
    errno = sync_error;
    return -1;
}

int
__wrap_unlink(const char *path)
{
    if (!unlink_error)
        return __real_unlink(path);
    errno = unlink_error;
    return -1;
}

typedef struct Home {
    char *dir, *path;
} Home;

static int
setup(void **state)
{
    Home *home = mem_alloc(sizeof(*home));
    home->dir = scratch_make();
    home->path = mem_printf("%s/one", home->dir);
    *state = home;
    return 0;
}

static int
teardown(void **state)
{
    Home *home = *state;
    link_error = sync_error = unlink_error = 0;
    free(home->path);
    scratch_remove(home->dir);
    free(home);
    return 0;
}

int
__wrap_unlinkat(int dir, const char *path, int flags)
{
    if (!unlink_error)
        return __real_unlinkat(dir, path, flags);
    errno = unlink_error;
    return -1;
}

static void
begin(const Home *home, const char *text, AtomicFile *ret_file)
{
    assert_done(atomic_open(home->dir, "one", 0600, ret_file));
    assert_non_null(ret_file->temp);
    assert_true(exists(ret_file->temp));
    assert_done(file_write(ret_file->fd, text, strlen(text), "one"));
}

static void
test_publish(void **state)
{
    Home *home = *state;
    AtomicFile file;
    begin(home, "first", &file);
    assert_done(atomic_publish(&file));
    atomic_close(&file);
    begin(home, "second", &file);
    assert_int_equal(atomic_publish(&file), ATOMIC_EXISTS);
    atomic_close(&file);
    assert_text(home->path, "first");
    assert_int_equal(count_entries(home->dir), 1);
}

static void
test_publish_without_links(void **state)
{
    Home *home = *state;
    AtomicFile file;
    static const int errors[] = {EPERM, EOPNOTSUPP, ENOSYS, EMLINK};
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        link_error = errors[i];
        begin(home, "first", &file);
        assert_done(atomic_publish(&file));
        atomic_close(&file);
        begin(home, "second", &file);
        assert_int_equal(atomic_publish(&file), ATOMIC_EXISTS);
        atomic_close(&file);
        assert_text(home->path, "first");
        assert_int_equal(count_entries(home->dir), 1);
        assert_int_equal(unlink(home->path), 0);
    }
}

static void
test_publish_fails(void **state)
{
    Home *home = *state;
    AtomicFile file;
    link_error = EIO;
    begin(home, "text", &file);
    assert_fails(atomic_publish(&file), ERR_IO, "publish");
    atomic_close(&file);
    assert_int_equal(count_entries(home->dir), 0);
}

static void
test_unpublished(void **state)
{
    Home *home = *state;
    AtomicFile file;
    begin(home, "text", &file);
    atomic_close(&file);
    assert_int_equal(count_entries(home->dir), 0);
}

/* As on a shared file system, where the other may be on another host, with our pid. */
static void
test_two_at_once(void **state)
{
    Home *home = *state;
    AtomicFile one = ATOMIC_NONE, other = ATOMIC_NONE;
    begin(home, "one and whole", &one);
    begin(home, "ot", &other);
    assert_done(dir_sweep(home->dir)); /* both are at work */
    assert_done(atomic_publish(&one));
    assert_text(home->path, "one and whole");
    assert_int_equal(atomic_publish(&other), ATOMIC_EXISTS);
    atomic_close(&one);
    atomic_close(&other);
    assert_text(home->path, "one and whole");
    assert_int_equal(count_entries(home->dir), 1);
}

static void
test_replace(void **state)
{
    Home *home = *state;
    AtomicFile file;
    write_text(home->path, "old");
    begin(home, "new", &file);
    assert_text(home->path, "old");
    assert_done(atomic_replace(&file));
    atomic_close(&file);
    assert_text(home->path, "new");
    assert_int_equal(count_entries(home->dir), 1);
}

static void
test_replace_fails(void **state)
{
    Home *home = *state;
    AtomicFile file;
    write_text(home->path, "old");
    begin(home, "new", &file);
    sync_error = EIO;
    assert_fails(atomic_replace(&file), ERR_IO, "fsync");
    atomic_close(&file);
    assert_text(home->path, "old");
    assert_int_equal(count_entries(home->dir), 1);
}

/* A directory that cannot be synced and need not be (EINVAL), and one whose disk fails */
static void
test_directory_sync(void **state)
{
    Home *home = *state;
    sync_error = EINVAL;
    assert_done(dir_sync(home->dir));
    sync_error = EIO;
    assert_fails(dir_sync(home->dir), ERR_IO, "fsync directory");
    assert_fails(dir_sync(home->path), ERR_IO, "open directory");
}

/* It has its name: what is left of the temporary one does not take that back. */
static void
test_temporary_name_stays(void **state)
{
    Home *home = *state;
    AtomicFile file;
    begin(home, "text", &file);
    unlink_error = EACCES;
    int result = atomic_publish(&file);
    unlink_error = 0;
    assert_fails(result, ERR_IO, "remove");
    atomic_close(&file);
    assert_text(home->path, "text");
}

static void
test_sweep_fails(void **state)
{
    Home *home = *state;
    AUTO(free) char *none = mem_printf("%s/none", home->dir);
    AUTO(free) char *stale = mem_printf("%s/.one.0123456789abcdef.tmp", home->dir);
    assert_done(dir_sweep(none));
    write_text(none, "");
    assert_fails(dir_sweep(none), ERR_IO, "open directory");
    write_text(stale, "");
    unlink_error = EACCES;
    int result = dir_sweep(home->dir);
    unlink_error = 0;
    assert_fails(result, ERR_IO, "remove stale");
    assert_done(dir_sweep(home->dir));
    assert_false(exists(stale));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
        TEST(publish),       TEST(publish_without_links), TEST(publish_fails),
        TEST(unpublished),   TEST(two_at_once),           TEST(replace),
        TEST(replace_fails), TEST(directory_sync),        TEST(temporary_name_stays),
        TEST(sweep_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
