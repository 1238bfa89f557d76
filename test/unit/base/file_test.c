/* SPDX-License-Identifier: PostgreSQL */
#include "../files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static void
publish(const char *dir, const char *name, const char *text, int expected)
{
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    assert_done(atomic_open(dir, name, 0600, &file));
    assert_done(file_write(file.fd, text, strlen(text), name));
    assert_int_equal(atomic_publish(&file), expected);
}

static void
test_publish_never_replaces(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/one", dir);
    publish(dir, "one", "first", 0);
    publish(dir, "one", "second", ATOMIC_EXISTS);
    assert_text(path, "first");
    assert_int_equal(count_entries(dir), 1);
    scratch_remove(dir);
}

static void
test_unpublished_leaves_nothing(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AtomicFile file;
    assert_done(atomic_open(dir, "one", 0600, &file));
    assert_done(file_write(file.fd, "x", 1, "one"));
    atomic_close(&file);
    assert_int_equal(count_entries(dir), 0);
    atomic_close(&file); /* twice is fine */
    scratch_remove(dir);
}

static void
test_replace(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/one", dir);
    write_text(path, "old");
    AUTO(atomic) AtomicFile file = ATOMIC_NONE;
    assert_done(atomic_open(dir, "one", 0600, &file));
    assert_done(file_write(file.fd, "new", 3, "one"));
    assert_text(path, "old");
    assert_done(atomic_replace(&file));
    assert_text(path, "new");
    assert_int_equal(count_entries(dir), 1);
    scratch_remove(dir);
}

static void
test_open_in_missing_directory(void **state)
{
    (void)state;
    AtomicFile file = ATOMIC_NONE;
    assert_fails(atomic_open("/nonexistent/x", "one", 0600, &file), ERR_IO, "/nonexistent/x");
    assert_int_equal(file.fd, -1);
}

static void
test_sweep_takes_only_our_temporaries(void **state)
{
    (void)state;
    char *dir = scratch_make();
    static const char *const keep[] = {
        "000000010000000000000001", ".hidden.tmp",
        "x.0123456789abcdef.tmp",   ".x.0123456789abcdef.tmpx",
        ".0123456789abcdef.tmp",    ".x.0123456789abcdeg.tmp",
        ".x.123456789abcdef.tmp",   ".000000010000000000000002.0123456789abcdef.tmp"};
    for (size_t i = 0; i < COUNT_OF(keep); i++) {
        AUTO(free) char *path = mem_printf("%s/%s", dir, keep[i]);
        write_text(path, "x");
    }
    AUTO(free) char *made = mem_printf("%s/%s", dir, keep[COUNT_OF(keep) - 1]);
    AUTO(close) int maker = open(made, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(maker, LOCK_EX), 0);
    AUTO(free) char *stale = mem_printf("%s/.000000010000000000000002.0fedcba987654321.tmp", dir);
    write_text(stale, "x");
    assert_done(dir_sweep(dir));
    assert_int_equal(access(stale, F_OK), -1);
    assert_int_equal(count_entries(dir), COUNT_OF(keep));
    scratch_remove(dir);
}

static void
test_dir_make(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *deep = mem_printf("%s/a/b/c", dir);
    AUTO(free) char *file = mem_printf("%s/file", dir);
    AUTO(free) char *below = mem_printf("%s/file/x", dir);
    assert_done(dir_make(deep));
    assert_done(dir_make(deep));
    write_text(file, "x");
    assert_fails(dir_make(file), ERR_IO, "Not a directory");
    assert_fails(dir_make(below), ERR_IO, "Not a directory");
    scratch_remove(dir);
}

static void
test_move(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *from = mem_printf("%s/from", dir);
    AUTO(free) char *to = mem_printf("%s/to", dir);
    write_text(from, "text");
    assert_done(file_move(from, dir, "to"));
    assert_text(to, "text");
    assert_int_equal(file_move(from, dir, "other"), FILE_GONE);
    write_text(from, "new");
    assert_int_equal(file_move(from, dir, "to"), FILE_EXISTS);
    assert_text(to, "text");
    assert_text(from, "new");
    scratch_remove(dir);
}

/* /dev/shm is a file system of its own wherever it exists */
static void
test_move_to_other_file_system(void **state)
{
    (void)state;
    char *dir = scratch_make();
    char far[] = "/dev/shm/walden-unit-XXXXXX";
    struct stat here, there;
    if (!mkdtemp(far) || stat(dir, &here) < 0 || stat(far, &there) < 0 ||
        here.st_dev == there.st_dev)
        skip();
    AUTO(free) char *from = mem_printf("%s/from", dir);
    AUTO(free) char *to = mem_printf("%s/to", far);
    write_text(from, "text");
    struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 5}, {.tv_sec = 2000, .tv_nsec = 7}};
    utimensat(AT_FDCWD, from, times, 0);
    assert_done(file_move(from, far, "to"));
    assert_text(to, "text");
    struct stat st;
    assert_int_equal(stat(to, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(st.st_mtim.tv_sec, 2000);
    assert_int_equal(st.st_mtim.tv_nsec, 7);
    assert_int_equal(access(from, F_OK), -1);
    write_text(from, "new");
    assert_int_equal(file_move(from, far, "to"), FILE_EXISTS);
    assert_text(to, "text");
    scratch_remove(mem_dup(far));
    scratch_remove(dir);
}

static void
test_read_text_limit(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/f", dir);
    AUTO(str) Str text = {0};
    write_text(path, "12345");
    assert_fails(file_read_text(path, 4, &text), ERR_DATA, "larger than 4 bytes");
    scratch_remove(dir);
}

/* The open of a pipe would wait for somebody who writes. */
static void
test_only_regular_files_are_opened(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/pipe", dir);
    AUTO(str) Str text = {0};
    int fd = -1;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(file_open(path, &fd), ERR_DATA, "not a regular file");
    assert_fails(file_open(dir, &fd), ERR_DATA, "not a regular file");
    assert_int_equal(fd, -1);
    assert_fails(file_read_text(path, 100, &text), ERR_DATA, "not a regular file");
    scratch_remove(dir);
}

static struct timespec
coarse_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now;
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* The time that Linux gives a write is the clock's last tick, unless somebody has looked at the
 * file's times before; then (from 6.13 on, on file systems that can) it has a time of its own,
 * which others may get within the tick. So we come again after that, our own look included. */
static void
test_question_for_the_name_leaves_times_alone(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/one", dir);
    AUTO(close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool ticked = false;
    for (int i = 0; i < 50 && !ticked; i++) {
        struct stat st;
        usleep(20000); /* longer than any tick */
        assert_int_equal(pwrite(fd, "x", 1, 0), 1);
        assert_true(file_has_name(fd, path));
        struct timespec before = coarse_now();
        assert_int_equal(pwrite(fd, "y", 1, 0), 1);
        struct timespec after = coarse_now();
        assert_int_equal(fstat(fd, &st), 0);
        ticked = same_time(&st.st_mtim, &before) || same_time(&st.st_mtim, &after);
    }
    assert_true(ticked);
    scratch_remove(dir);
}

static void
test_name_is_of_the_open_file(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/one", dir);
    AUTO(free) char *other = mem_printf("%s/other", dir);
    write_text(path, "x");
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(file_has_name(fd, path));
    assert_int_equal(rename(path, other), 0);
    assert_false(file_has_name(fd, path));
    assert_int_equal(symlink(other, path), 0);
    assert_false(file_has_name(fd, path));
    assert_int_equal(unlink(path), 0);
    write_text(path, "x");
    assert_false(file_has_name(fd, path));
    assert_true(file_has_name(fd, other));
    scratch_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publish_never_replaces),
        cmocka_unit_test(test_unpublished_leaves_nothing),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_open_in_missing_directory),
        cmocka_unit_test(test_sweep_takes_only_our_temporaries),
        cmocka_unit_test(test_dir_make),
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_move_to_other_file_system),
        cmocka_unit_test(test_read_text_limit),
        cmocka_unit_test(test_only_regular_files_are_opened),
        cmocka_unit_test(test_question_for_the_name_leaves_times_alone),
        cmocka_unit_test(test_name_is_of_the_open_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
