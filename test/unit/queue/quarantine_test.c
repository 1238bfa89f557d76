/* SPDX-License-Identifier: PostgreSQL
 * errors/: everything gets in, whatever it is called, and nothing is lost by it. */
#include "../files.h"

#include "flow/queue/queue.h"

#include <sys/stat.h>

typedef struct Home {
    char *dir, *errors;
} Home;

static int
setup(void **state)
{
    Home *home = mem_alloc(sizeof(*home));
    home->dir = scratch_make();
    home->errors = mem_printf("%s/a/errors", home->dir);
    *state = home;
    return 0;
}

static int
teardown(void **state)
{
    Home *home = *state;
    free(home->errors);
    scratch_remove(home->dir);
    free(home);
    return 0;
}

static int
send_text(const Home *home, const char *name, const char *text, const char *suffix)
{
    AUTO(free) char *path = mem_printf("%s/%s", home->dir, name);
    write_text(path, text);
    return quarantine(home->errors, home->dir, name, suffix);
}

/* The one entry whose name begins so; free it. */
static char *
find_entry(const char *path, const char *start)
{
    AUTO(closedir) DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (str_starts(entry->d_name, start))
            return mem_printf("%s/%s", path, entry->d_name);
    fail_msg("there is no '%s...' in '%s'", start, path);
    return NULL;
}

static void
test_name(void **state)
{
    Home *home = *state;
    assert_done(send_text(home, "junk", "text", "unknown"));
    AUTO(free) char *path = find_entry(home->errors, "junk.");
    const char *stamp = strrchr(path, '/') + strlen("/junk.");
    assert_int_equal(strlen(stamp), strlen("20240101T000000Z.unknown"));
    assert_int_equal(strspn(stamp, "0123456789"), 8);
    assert_string_equal(stamp + 15, "Z.unknown");
    assert_text(path, "text");
    AUTO(free) char *from = mem_printf("%s/junk", home->dir);
    assert_false(exists(from));
}

static void
test_gone(void **state)
{
    Home *home = *state;
    assert_int_equal(quarantine(home->errors, home->dir, "none", "unknown"), QUARANTINE_GONE);
    assert_int_equal(count_entries(home->errors), 0);
}

/* The same name again and again within a second: all are kept, with their own contents. */
static void
test_collisions(void **state)
{
    Home *home = *state;
    for (int i = 0; i < 40; i++) {
        char text[8];
        snprintf(text, sizeof(text), "%d", i);
        assert_done(send_text(home, "junk", text, "duplicate"));
    }
    assert_int_equal(count_entries(home->errors), 40);
    bool seen[40] = {false};
    AUTO(closedir) DIR *dir = opendir(home->errors);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        AUTO(free) char *path = mem_printf("%s/%s", home->errors, entry->d_name);
        AUTO(str) Str text = {0};
        assert_done(file_read_text(path, 10, &text));
        seen[strtol(str_text(&text), NULL, 10)] = true;
    }
    for (int i = 0; i < 40; i++)
        assert_true(seen[i]);
}

static void
test_long_names(void **state)
{
    Home *home = *state;
    for (int length = 200; length <= 255; length += 5) {
        char name[256] = "";
        memset(name, 'n', (size_t)length);
        assert_done(send_text(home, name, "text", "unknown"));
        AUTO(free) char *from = mem_printf("%s/%s", home->dir, name);
        assert_false(exists(from));
    }
    assert_int_equal(count_entries(home->errors), 12);
}

static void
test_odd_names(void **state)
{
    Home *home = *state;
    static const char *const names[] = {"a b", "a\nb", "-rf", "%s%n", "\xff\xfe", "a'b\"c"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_done(send_text(home, names[i], "text", "unknown"));
    assert_int_equal(count_entries(home->errors), COUNT_OF(names));
}

/* What has the name of a file and is none goes there as it is. */
static void
make_odd_files(const Home *home)
{
    AUTO(free) char *inside = mem_printf("%s/directory/inside", home->dir);
    AUTO(free) char *link = mem_printf("%s/link", home->dir);
    AUTO(free) char *fifo = mem_printf("%s/fifo", home->dir);
    write_text(inside, "text");
    assert_int_equal(symlink("/nonexistent", link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
}

static const char *const odd_files[] = {"directory", "link", "fifo"};

static void
test_odd_files(void **state)
{
    Home *home = *state;
    make_odd_files(home);
    for (size_t i = 0; i < COUNT_OF(odd_files); i++)
        assert_done(quarantine(home->errors, home->dir, odd_files[i], "unknown"));
    AUTO(free) char *moved = find_entry(home->errors, "directory.");
    AUTO(free) char *text = mem_printf("%s/inside", moved);
    assert_text(text, "text");
}

/* Nor does it block or lose anything when errors/ is on another file system. */
static void
test_odd_files_to_other_file_system(void **state)
{
    Home *home = *state;
    char far[] = "/dev/shm/walden-unit-XXXXXX";
    struct stat here, there;
    if (!mkdtemp(far) || stat(home->dir, &here) < 0 || stat(far, &there) < 0 ||
        here.st_dev == there.st_dev)
        skip();
    make_odd_files(home);
    alarm(20);
    for (size_t i = 0; i < COUNT_OF(odd_files); i++) {
        AUTO(free) char *path = mem_printf("%s/%s", home->dir, odd_files[i]);
        assert_true(quarantine(far, home->dir, odd_files[i], "unknown") < 0);
        assert_true(exists(path));
    }
    alarm(0);
    assert_int_equal(count_entries(far), 0);
    scratch_remove(mem_dup(far));
}

static void
test_errors_is_no_directory(void **state)
{
    Home *home = *state;
    AUTO(free) char *path = mem_printf("%s/junk", home->dir);
    write_text(home->errors, "");
    assert_fails(send_text(home, "junk", "text", "unknown"), ERR_IO, "Not a directory");
    assert_text(path, "text");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
        TEST(name),
        TEST(gone),
        TEST(collisions),
        TEST(long_names),
        TEST(odd_names),
        TEST(odd_files),
        TEST(odd_files_to_other_file_system),
        TEST(errors_is_no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
