/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include "base/file.h"
#include "base/lock.h"

#include <fcntl.h>
#include <sys/file.h>

static void
test_exclusive(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/.main-archive-wal.lock", dir);
    AUTO(free) char *pid = mem_printf("%d\n", (int)getpid());
    AUTO(str) Str text = {0};
    Lock first = LOCK_NONE, second = LOCK_NONE;
    pid_t holder = 0;

    assert_done(lock_take(path, LOCK_EXCLUSIVE, 0, &first, &holder));
    assert_done(file_read_text(path, 100, &text));
    assert_string_equal(str_text(&text), pid);
    assert_int_equal(lock_take(path, LOCK_EXCLUSIVE, 30, &second, &holder), LOCK_BUSY);
    assert_int_equal(holder, getpid());
    assert_int_equal(lock_take(path, LOCK_SHARED, 0, &second, &holder), LOCK_BUSY);
    lock_release(&first);
    lock_release(&first);
    assert_done(lock_take(path, LOCK_EXCLUSIVE, 0, &second, &holder));
    lock_release(&second);
    assert_int_equal(access(path, F_OK), 0);
    scratch_remove(dir);
}

static void
test_shared(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/lock", dir);
    AUTO(lock) Lock first = LOCK_NONE, second = LOCK_NONE, third = LOCK_NONE;
    pid_t holder = 0;
    assert_done(lock_take(path, LOCK_SHARED, 0, &first, &holder));
    assert_int_equal(access(path, F_OK), -1); /* it might be another account's then */
    assert_done(lock_take(path, LOCK_EXCLUSIVE, 0, &first, &holder));
    lock_release(&first);
    assert_done(lock_take(path, LOCK_SHARED, 0, &first, &holder));
    assert_done(lock_take(path, LOCK_SHARED, 0, &second, &holder));
    assert_int_equal(lock_take(path, LOCK_EXCLUSIVE, 0, &third, &holder), LOCK_BUSY);
    scratch_remove(dir);
}

/* Barman's cron removes lock files that it finds free. */
static void
test_removed_file_is_not_the_lock(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/lock", dir);
    AUTO(close) int other = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(other, LOCK_EX), 0);
    assert_int_equal(unlink(path), 0);
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    assert_done(lock_take(path, LOCK_EXCLUSIVE, 0, &lock, &holder));
    struct stat ours, theirs;
    assert_int_equal(fstat(lock.fd, &ours), 0);
    assert_int_equal(fstat(other, &theirs), 0);
    assert_int_not_equal(ours.st_ino, theirs.st_ino);
    scratch_remove(dir);
}

static void
test_unusable_path(void **state)
{
    (void)state;
    AUTO(lock) Lock lock = LOCK_NONE;
    pid_t holder = 0;
    assert_fails(lock_take("/nonexistent/lock", LOCK_EXCLUSIVE, 0, &lock, &holder), ERR_IO,
                 "open lock file '/nonexistent/lock'");
    assert_string_not_equal(error_last()->hint, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_removed_file_is_not_the_lock),
        cmocka_unit_test(test_unusable_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
