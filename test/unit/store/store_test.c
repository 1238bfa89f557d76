/* SPDX-License-Identifier: PostgreSQL
 * The archive directory: puts that never replace, adoption, what a listing shows. */
#include "../files.h"

#include "flow/store/store.h"

#include <sys/xattr.h>

#define SEG_1 "000000010000000000000001"
#define SEG_2 "000000010000000000000002"
#define DIR_1 "0000000100000000"

typedef struct Home {
    char *dir, *wals;
    Store *store;
} Home;

static int
setup(void **state)
{
    Home *home = mem_alloc(sizeof(*home));
    home->dir = scratch_make();
    home->wals = mem_printf("%s/home/wals", home->dir);
    assert_done(store_open(&(StorePlace){.wals = home->wals}, &home->store));
    *state = home;
    return 0;
}

static int
teardown(void **state)
{
    Home *home = *state;
    store_free(home->store);
    free(home->wals);
    scratch_remove(home->dir);
    free(home);
    return 0;
}

static char *
below(const Home *home, const char *name)
{
    return mem_printf("%s/%s", home->wals, name);
}

/* Puts a text under the name; its answer. */
static int
put_text(Home *home, const char *name, const char *text, int64_t *ret_size)
{
    AUTO(free) char *source = mem_printf("%s/source", home->dir);
    AUTO(store_put) StorePut *put = NULL;
    struct stat st;
    write_text(source, text);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000, .tv_nsec = 7}};
    utimensat(AT_FDCWD, source, times, 0);
    AUTO(close) int fd = open(source, O_RDONLY | O_CLOEXEC);
    fstat(fd, &st);
    assert_done(store_put_begin(home->store, name, NULL, &put));
    assert_done(store_put_write(put, text, strlen(text)));
    assert_done(store_put_finish(put, fd, &st, NULL, ret_size));
    return store_put_publish(put);
}

static void
test_put(void **state)
{
    Home *home = *state;
    int64_t size = 0;
    struct stat st;
    AUTO(free) char *path = below(home, DIR_1 "/" SEG_1);
    AUTO(free) char *asked = store_path(home->store, SEG_1, "gzip");
    assert_string_equal(asked, path);
    assert_int_equal(store_is_empty(home->store), STORE_EMPTY);
    assert_int_equal(store_stat(home->store, SEG_1, &st), STORE_MISSING);
    assert_done(put_text(home, SEG_1, "text", &size));
    assert_int_equal(size, 4);
    assert_text(path, "text");
    assert_done(store_stat(home->store, SEG_1, &st));
    assert_int_equal(st.st_mtim.tv_sec, 2000);
    assert_int_equal(st.st_mtim.tv_nsec, 7);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_done(store_is_empty(home->store));
    const char *const names[] = {"00000002.history", SEG_1, SEG_2};
    assert_done(store_sync(home->store, names, 3));
    assert_done(store_sync(home->store, NULL, 0));
}

static void
test_publish_never_replaces(void **state)
{
    Home *home = *state;
    int64_t size = 0;
    AUTO(free) char *path = below(home, DIR_1 "/" SEG_1);
    AUTO(free) char *dir = below(home, DIR_1);
    assert_done(put_text(home, SEG_1, "first", &size));
    assert_int_equal(put_text(home, SEG_1, "second", &size), STORE_EXISTS);
    assert_text(path, "first");
    assert_int_equal(count_entries(dir), 1);
}

static void
test_unpublished_leaves_no_trace(void **state)
{
    Home *home = *state;
    StorePut *put = NULL;
    AUTO(free) char *dir = below(home, DIR_1);
    assert_done(store_put_begin(home->store, SEG_1, NULL, &put));
    assert_done(store_put_write(put, "x", 1));
    store_put_free(put);
    store_put_free(NULL);
    assert_int_equal(count_entries(dir), 0);
}

static void
test_history_rests_above(void **state)
{
    Home *home = *state;
    int64_t size = 0;
    AUTO(free) char *path = below(home, "00000002.history");
    assert_done(put_text(home, "00000002.history", "1\t0/1\tx\n", &size));
    assert_text(path, "1\t0/1\tx\n");
}

static void
test_adopt(void **state)
{
    Home *home = *state;
    AUTO(free) char *source = mem_printf("%s/incoming/" SEG_1, home->dir);
    AUTO(free) char *path = below(home, DIR_1 "/" SEG_1);
    write_text(source, "text");
    size_t descriptors = count_descriptors();
    int fd = open(source, O_RDONLY | O_CLOEXEC);
    StorePut *put = NULL;
    struct stat source_stat, archived;
    int64_t size = 0;
    fstat(fd, &source_stat);
    assert_done(store_put_adopt(home->store, SEG_1, fd, &put));
    assert_done(store_put_finish(put, fd, &source_stat, NULL, &size));
    close(fd); /* the put has its own */
    assert_false(exists(path));
    assert_done(store_put_publish(put));
    store_put_free(put);
    assert_int_equal(size, 4);
    assert_done(store_stat(home->store, SEG_1, &archived));
    assert_int_equal(archived.st_ino, source_stat.st_ino);
    assert_int_equal(archived.st_nlink, 2);
    assert_true(exists(source));
    assert_int_equal(count_descriptors(), descriptors);

    /* again: who has another name already may be written to by that name */
    fd = open(source, O_RDONLY | O_CLOEXEC);
    assert_int_equal(store_put_adopt(home->store, SEG_1, fd, &put), STORE_CANNOT_LINK);
    close(fd);
}

/* The source lost its last name meanwhile: the kernel links no dead file, so it is copied. */
static void
test_adopt_removed(void **state)
{
    Home *home = *state;
    AUTO(free) char *source = mem_printf("%s/source", home->dir);
    AUTO(store_put) StorePut *put = NULL;
    write_text(source, "text");
    AUTO(close) int fd = open(source, O_RDONLY | O_CLOEXEC);
    assert_done(store_put_adopt(home->store, SEG_1, fd, &put));
    unlink(source);
    assert_done(store_put_publish(put));
    struct stat archived;
    assert_done(store_stat(home->store, SEG_1, &archived));
    assert_int_equal(archived.st_size, 4);
}

static void
test_adopt_from_elsewhere(void **state)
{
    Home *home = *state;
    char far[] = "/dev/shm/walden-unit-XXXXXX";
    struct stat here, there;
    AUTO(close) int fd = mkstemp(far);
    if (fd >= 0)
        unlink(far);
    if (fd < 0 || fstat(fd, &there) < 0 || stat(home->wals, &here) < 0 ||
        here.st_dev == there.st_dev)
        skip();
    StorePut *put = NULL;
    assert_int_equal(store_put_adopt(home->store, SEG_1, fd, &put), STORE_CANNOT_LINK);
    assert_null(put);
}

static void
test_read(void **state)
{
    Home *home = *state;
    int64_t size = 0;
    char text[8] = "";
    size_t got = 0;
    AUTO(close) int fd = -1;
    assert_int_equal(store_read(home->store, SEG_1, &fd), STORE_MISSING);
    assert_int_equal(fd, -1);
    assert_done(put_text(home, SEG_1, "text", &size));
    assert_done(store_read(home->store, SEG_1, &fd));
    assert_done(file_read(fd, text, sizeof(text), "text", &got));
    assert_string_equal(text, "text");
    assert_done(store_sync_file(home->store, SEG_1));
}

/* Something in the way is not the same as nothing there. */
static void
test_uncertain(void **state)
{
    Home *home = *state;
    AUTO(free) char *file = below(home, DIR_1);
    StorePut *put = NULL;
    struct stat st;
    int fd = -1;
    write_text(file, "a file where a directory should be");
    assert_fails(store_stat(home->store, SEG_1, &st), ERR_IO, "Not a directory");
    assert_fails(store_read(home->store, SEG_1, &fd), ERR_IO, "Not a directory");
    assert_fails(store_put_begin(home->store, SEG_1, NULL, &put), ERR_IO, "Not a directory");
}

static void
test_open_existing(void **state)
{
    Home *home = *state;
    AUTO(free) char *none = below(home, "none");
    AUTO(free) char *file = below(home, "file");
    Store *store = NULL;
    assert_int_equal(store_open_existing(&(StorePlace){.wals = none}, &store), STORE_MISSING);
    assert_false(exists(none));
    write_text(file, "");
    assert_fails(store_open_existing(&(StorePlace){.wals = file}, &store), ERR_CONFIG,
                 "not a directory");
    assert_done(store_open_existing(&(StorePlace){.wals = home->wals}, &store));
    store_free(store);
    store_free(NULL);
}

static int
add_name(void *context, const char *name, const struct stat *st)
{
    assert_true(S_ISREG(st->st_mode));
    str_appendf(context, "%s;", name);
    return 0;
}

static void
test_list(void **state)
{
    Home *home = *state;
    static const char *const files[] = {
        "main-xlog.db",
        "00000003.history",
        "00000002.history",
        DIR_1 "/" SEG_2,
        DIR_1 "/" SEG_1,
        DIR_1 "/" SEG_1 ".00000028.backup",
        DIR_1 "/" SEG_2 ".partial",
        "0000000200000000/000000020000000000000003",
        DIR_1 "/.hidden",
        DIR_1 "/." SEG_1 ".0123456789abcdef.tmp",
        "lost+found/" SEG_1,
        /* strangers */
        DIR_1 "/README",
        DIR_1 "/000000020000000000000001",
        DIR_1 "/00000004.history",
        DIR_1 "/" SEG_1 ".gz",
    };
    AUTO(str) Str names = {0};
    size_t strangers = 99;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        AUTO(free) char *path = below(home, files[i]);
        write_text(path, "x");
    }
    assert_done(store_list(home->store, add_name, &names, &strangers));
    assert_string_equal(str_text(&names),
                        "00000002.history;00000003.history;" SEG_1 ";" SEG_1
                        ".00000028.backup;" SEG_2 ";" SEG_2 ".partial;000000020000000000000003;");
    assert_int_equal(strangers, 4);
}

/* What bears the right name and is no file: passed over, and the rest is listed. */
static void
test_list_of_wrong_types(void **state)
{
    Home *home = *state;
    AUTO(free) char *file = below(home, "0000000000000000");
    AUTO(free) char *directory = below(home, DIR_1 "/" SEG_1);
    AUTO(free) char *history = below(home, "00000005.history");
    AUTO(free) char *good = below(home, DIR_1 "/" SEG_2);
    AUTO(str) Str names = {0};
    size_t strangers = 99;
    write_text(file, "x");
    write_text(good, "x");
    assert_done(dir_make(directory));
    assert_done(dir_make(history));
    assert_done(store_list(home->store, add_name, &names, &strangers));
    assert_string_equal(str_text(&names), SEG_2 ";");
    assert_int_equal(strangers, 1);
}

static int
refuse(void *context, const char *name, const struct stat *st)
{
    (void)context, (void)st;
    return fail(ERR_STOPPED, "at %s", name);
}

static void
test_list_ends_with_the_visit(void **state)
{
    Home *home = *state;
    int64_t size = 0;
    size_t strangers = 0;
    assert_done(put_text(home, SEG_2, "x", &size));
    assert_fails(store_list(home->store, refuse, NULL, &strangers), ERR_STOPPED, "at " SEG_2);
}

/* A crash on a file system without O_TMPFILE left its temporary file. */
static void
test_first_put_sweeps(void **state)
{
    Home *home = *state;
    AUTO(free) char *stale = below(home, DIR_1 "/." SEG_1 ".0123456789abcdef.tmp");
    int64_t size = 0;
    write_text(stale, "half");
    assert_done(put_text(home, SEG_2, "x", &size));
    assert_false(exists(stale));
}

/* Two directories, a stranger in one of them, a name that is not there, one that cannot be removed.
 */
static void
test_remove(void **state)
{
    Home *home = *state;
    static const char above[] = "000000010000000100000000", blocked[] = "000000010000000000000003";
    StoreRemoval batch[] = {{.name = SEG_1},
                            {.name = SEG_2},
                            {.name = blocked},
                            {.name = above},
                            {.name = "00000002.history"}};
    int64_t size = 0;
    AUTO(free) char *stranger = below(home, DIR_1 "/stranger");
    AUTO(free) char *first = below(home, DIR_1 "/" SEG_1);
    AUTO(free) char *in_the_way = below(home, DIR_1 "/000000010000000000000003");
    AUTO(free) char *upper = below(home, "0000000100000001");
    AUTO(free) char *history = below(home, "00000002.history");
    assert_done(store_remove(home->store, NULL, 0));
    assert_done(put_text(home, SEG_1, "x", &size));
    assert_done(put_text(home, above, "x", &size));
    assert_done(put_text(home, "00000002.history", "x", &size));
    write_text(stranger, "x");
    assert_int_equal(mkdir(in_the_way, 0777), 0);
    assert_done(store_remove(home->store, batch, COUNT_OF(batch)));
    assert_false(exists(first) || exists(upper) || exists(history));
    assert_true(exists(stranger) && exists(in_the_way) && exists(home->wals));
    for (size_t i = 0; i < COUNT_OF(batch); i++) {
        assert_int_equal(batch[i].missing, i == 1);
        assert_int_equal(batch[i].error != NULL, i == 2);
        free(batch[i].error);
    }
    /* A directory that is gone is no failure. */
    StoreRemoval gone = {.name = above};
    assert_done(store_remove(home->store, &gone, 1));
    assert_true(gone.missing);
    assert_null(gone.error);
}

static bool
wants_second(void *context, const char *hash_dir)
{
    (void)context;
    return strcmp(hash_dir, "0000000100000001") == 0;
}

static int
count_visit(void *context, const char *name, const struct stat *st)
{
    (void)st;
    assert_string_equal(name, "000000010000000100000000");
    ++*(int *)context;
    return 0;
}

/* Of the plain contents; a file never has that of another. */
static void
test_digest(void **state)
{
    Home *home = *state;
    static const char sha256[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char got[OBJECT_SHA256_ROOM];
    AUTO(free) char *source = mem_printf("%s/incoming/" SEG_1, home->dir);
    struct stat st;
    int64_t size = 0;
    assert_int_equal(store_digest(home->store, SEG_1, got), STORE_MISSING);
    for (int kept = 1; kept >= 0; kept--) {
        const char *name = kept ? SEG_1 : SEG_2;
        AUTO(store_put) StorePut *put = NULL;
        write_text(source, "text");
        AUTO(close) int fd = open(source, O_RDONLY | O_CLOEXEC);
        fstat(fd, &st);
        setxattr(source, "user.walden.sha256", "stale", 5, 0);
        assert_done(store_put_begin(home->store, name, NULL, &put));
        assert_done(store_put_finish(put, fd, &st, kept ? sha256 : NULL, &size));
        assert_done(store_put_publish(put));
        assert_int_equal(store_digest(home->store, name, got), kept ? 0 : STORE_UNKNOWN);
    }
    assert_done(store_digest(home->store, SEG_1, got));
    assert_string_equal(got, sha256);

    AUTO(store_put) StorePut *put = NULL;
    AUTO(close) int fd = open(source, O_RDONLY | O_CLOEXEC);
    setxattr(source, "user.walden.sha256", sha256, strlen(sha256), 0);
    assert_done(store_put_adopt(home->store, "00000002.history", fd, &put));
    assert_done(store_put_finish(put, fd, &st, NULL, &size));
    assert_done(store_put_publish(put));
    assert_int_equal(store_digest(home->store, "00000002.history", got), STORE_UNKNOWN);
}

static void
test_list_some(void **state)
{
    Home *home = *state;
    int64_t size = 0;
    int visits = 0;
    size_t strangers = 99;
    assert_done(put_text(home, SEG_1, "x", &size));
    assert_done(put_text(home, "000000010000000100000000", "x", &size));
    assert_done(put_text(home, "00000002.history", "x", &size));
    assert_done(store_list_some(home->store, wants_second, count_visit, &visits, &strangers));
    assert_int_equal(visits, 1);
    assert_int_equal(strangers, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
        TEST(put),
        TEST(publish_never_replaces),
        TEST(unpublished_leaves_no_trace),
        TEST(history_rests_above),
        TEST(adopt),
        TEST(adopt_removed),
        TEST(adopt_from_elsewhere),
        TEST(read),
        TEST(uncertain),
        TEST(open_existing),
        TEST(list),
        TEST(list_of_wrong_types),
        TEST(list_ends_with_the_visit),
        TEST(first_put_sweeps),
        TEST(remove),
        TEST(list_some),
        TEST(digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
