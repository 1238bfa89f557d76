/* SPDX-License-Identifier: PostgreSQL */
#include "../files.h"

#include "pgmodule/push.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static int syncs, failing_sync; /* counted from 1; the one that fails, 0: none */

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int
__wrap_fsync(int fd)
{
    if (++syncs == failing_sync) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

static int direct_writes, refused_writes;
static bool refuses_direct; /* as file systems do that cannot, when it comes to writing */

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);

ssize_t
__wrap_write(int fd, const void *data, size_t size)
{
    bool direct = fcntl(fd, F_GETFL) & O_DIRECT;
    bool aligned = (uintptr_t)data % PUSH_ALIGNMENT == 0 && size % PUSH_ALIGNMENT == 0 &&
                   lseek(fd, 0, SEEK_CUR) % PUSH_ALIGNMENT == 0;
    direct_writes += direct && size;
    if (direct && (refuses_direct || !aligned)) {
        refused_writes++;
        errno = EINVAL;
        return -1;
    }
    return __real_write(fd, data, size);
}

static bool refuses_nameless; /* a file without a name gets none: it is copied to one that has */

int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);

int
__wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (refuses_nameless && (flags & AT_SYMLINK_FOLLOW)) {
        errno = EPERM;
        return -1;
    }
    return __real_linkat(from_dir, from, to_dir, to, flags);
}

ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);

ssize_t
__wrap_read(int fd, void *data, size_t size)
{
    if ((fcntl(fd, F_GETFL) & O_DIRECT) && (uintptr_t)data % PUSH_ALIGNMENT) {
        errno = EINVAL;
        return -1;
    }
    return __real_read(fd, data, size);
}

typedef struct Place {
    char *path, *wal, *incoming;
    Push push;
} Place;

static int
setup(void **state)
{
    Place *place = mem_alloc(sizeof(*place));
    place->path = scratch_make();
    place->wal = mem_printf("%s/pg_wal", place->path);
    place->incoming = mem_printf("%s/incoming", place->path);
    AUTO(free) char *marks = mem_printf("%s/archive_status", place->wal);
    assert_done(dir_make(marks));
    assert_done(dir_make(place->incoming));
    place->push.segment_size = 16 << 20;
    assert_done(push_to(&place->push, place->incoming));
    syncs = failing_sync = 0;
    refuses_direct = refuses_nameless = false;
    direct_writes = refused_writes = 0;
    *state = place;
    return 0;
}

static int
teardown(void **state)
{
    Place *place = *state;
    scratch_remove(place->path);
    free(place->wal);
    free(place->incoming);
    free(place);
    return 0;
}

/* The n-th segment waits. Larger than what is read at once. */
static void
wait_in_wal(const Place *place, int n)
{
    AUTO(free) char *path = mem_printf("%s/%024d", place->wal, n);
    AUTO(free) char *mark = mem_printf("%s/archive_status/%024d.ready", place->wal, n);
    AUTO(free) char *text = mem_printf("%d%*d", n, PUSH_PIECE, n);
    write_text(path, text);
    write_text(mark, "");
}

static int
push_segment(Place *place, int n)
{
    AUTO(free) char *path = mem_printf("%s/%024d", place->wal, n);
    return push_file(&place->push, strrchr(path, '/') + 1, path);
}

static bool
arrived(const Place *place, int n)
{
    AUTO(free) char *path = mem_printf("%s/%024d", place->incoming, n);
    AUTO(free) char *text = mem_printf("%d%*d", n, PUSH_PIECE, n);
    if (exists(path))
        assert_text(path, text);
    return exists(path);
}

static void
arrives(const Place *place, int n, const char *text)
{
    AUTO(free) char *path = mem_printf("%s/%024d", place->incoming, n);
    write_text(path, text);
}

static void
test_one_file(void **state)
{
    Place *place = *state;
    wait_in_wal(place, 1);
    assert_done(push_segment(place, 1));
    assert_true(arrived(place, 1));
    assert_int_equal(count_entries(place->incoming), 1);
    assert_int_equal(syncs, 2); /* the file, then its name */
    assert_fails(push_segment(place, 2), ERR_IO, "No such file");
}

/* Zeros become holes, an odd end is written, too; also where the page cache cannot be left out. */
static void
test_zeros_and_odd_ends(void **state)
{
    Place *place = *state;
    enum { SIZE = 3 * PUSH_PIECE + 4711 };
    static const struct {
        off_t from;
        size_t size;
        blkcnt_t blocks_max; /* of 512 bytes */
    } cases[] = {{0, SIZE, 2 * SIZE / 512},
                 {0, 10, 2 * PUSH_HOLE / 512},
                 {0, 0, 0},
                 {SIZE - 1, 1, 2 * PUSH_HOLE / 512},
                 {PUSH_PIECE + PUSH_HOLE, PUSH_HOLE, 4 * PUSH_HOLE / 512}};
    AUTO(free) char *noise = mem_alloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        noise[i] = (char)(i % 251 + 1);
    for (int n = 0; n < 2 * (int)COUNT_OF(cases); n++) {
        const off_t from = cases[n / 2].from;
        AUTO(free) char *path = mem_printf("%s/%024d", place->wal, n);
        AUTO(free) char *there = mem_printf("%s/%024d", place->incoming, n);
        AUTO(free) char *bytes = mem_alloc(SIZE);
        AUTO(str) Str back = {0};
        struct stat st;
        memcpy(bytes + from, noise, cases[n / 2].size);
        write_bytes(path, bytes, SIZE);
        refuses_direct = n % 2;
        refused_writes = 0;
        assert_done(push_segment(place, n));
        assert_true(refuses_direct || refused_writes == 0);
        assert_done(file_read_text(there, SIZE, &back));
        assert_int_equal(back.length, SIZE);
        assert_memory_equal(back.data, bytes, SIZE);
        assert_int_equal(stat(there, &st), 0);
        assert_true(st.st_blocks <= cases[n / 2].blocks_max);
    }
}

/* Whole blocks go past the page cache, where there is no need to take that for done. */
static void
test_past_the_page_cache(void **state)
{
    Place *place = *state;
    enum { SIZE = 2 * PUSH_PIECE };
    AUTO(free) char *bytes = mem_alloc(SIZE);
    AUTO(free) char *path = mem_printf("%s/%024d", place->wal, 1);
    AUTO(free) char *there = mem_printf("%s/%024d", place->incoming, 1);
    AUTO(str) Str back = {0};
    memset(bytes, 'x', SIZE);
    write_bytes(path, bytes, SIZE);
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    bool possible = fd >= 0;
    if (possible)
        close(fd);
    refuses_nameless = true;
    assert_done(push_segment(place, 1));
    assert_int_equal(direct_writes, possible ? SIZE / PUSH_PIECE : 0);
    assert_int_equal(refused_writes, 0);
    assert_done(file_read_text(there, SIZE, &back));
    assert_memory_equal(back.data, bytes, SIZE);
}

static void
test_what_follows_is_brought_along(void **state)
{
    Place *place = *state;
    for (int n = 1; n <= 9; n++)
        if (n != 7)
            wait_in_wal(place, n);
    assert_done(push_segment(place, 1));
    for (int n = 1; n <= 6; n++)
        assert_true(arrived(place, n));
    assert_int_equal(count_entries(place->incoming), 6); /* up to the gap */
    assert_int_equal(syncs, 6 + 1);

    /* Asked for, they are not read again, wherever they are by now. */
    AUTO(free) char *second = mem_printf("%s/%024d", place->incoming, 2);
    assert_int_equal(unlink(second), 0);
    assert_done(push_segment(place, 2));
    assert_done(push_segment(place, 3));
    assert_int_equal(syncs, 6 + 1);
    assert_false(exists(second));
}

static void
test_what_was_brought_along_and_has_changed_is_looked_at_again(void **state)
{
    Place *place = *state;
    wait_in_wal(place, 1);
    wait_in_wal(place, 2);
    assert_done(push_segment(place, 1));
    AUTO(free) char *path = mem_printf("%s/%024d", place->wal, 2);
    write_text(path, "other");
    assert_fails(push_segment(place, 2), ERR_DATA, "other contents");
}

static void
test_another_directory_forgets(void **state)
{
    Place *place = *state;
    AUTO(free) char *elsewhere = mem_printf("%s/elsewhere", place->path);
    wait_in_wal(place, 1);
    wait_in_wal(place, 2);
    assert_done(push_segment(place, 1));
    assert_done(push_to(&place->push, elsewhere));
    assert_fails(push_segment(place, 2), ERR_IO, "elsewhere");
    assert_done(dir_make(elsewhere));
    assert_done(push_segment(place, 2));
    assert_int_equal(count_entries(elsewhere), 1);
}

static void
test_same_contents_there(void **state)
{
    Place *place = *state;
    wait_in_wal(place, 1);
    assert_done(push_segment(place, 1));
    syncs = 0;
    assert_done(push_segment(place, 1));
    assert_int_equal(syncs, 2); /* whoever put it there may not have */
    failing_sync = syncs + 1;
    assert_fails(push_segment(place, 1), ERR_IO, "fsync");
}

static void
test_other_contents_there(void **state)
{
    Place *place = *state;
    for (int n = 1; n <= 3; n++)
        wait_in_wal(place, n);
    arrives(place, 2, "other");
    assert_done(push_segment(place, 1));
    assert_false(arrived(place, 3)); /* not before its turn */
    assert_fails(push_segment(place, 2), ERR_DATA, "is there already, with other contents");
    AUTO(free) char *path = mem_printf("%s/%024d", place->incoming, 2);
    assert_text(path, "other");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(push_segment(place, 2), ERR_DATA, "not a regular file");
    assert_int_equal(unlink(path), 0);
    assert_done(push_segment(place, 2));
    assert_true(arrived(place, 3));
}

/* Whatever cannot be synced has no name, and nothing after it has. */
static void
test_syncs_fail(void **state)
{
    Place *place = *state;
    size_t descriptors = count_descriptors();
    for (int n = 1; n <= 4; n++)
        wait_in_wal(place, n);
    failing_sync = 1;
    assert_fails(push_segment(place, 1), ERR_IO, "fsync");
    assert_int_equal(count_entries(place->incoming), 0);

    syncs = 0, failing_sync = 3;
    assert_done(push_segment(place, 1));
    assert_int_equal(count_entries(place->incoming), 2);
    assert_int_equal(syncs, 3 + 1);

    syncs = 0, failing_sync = 3; /* of the directory */
    assert_fails(push_segment(place, 3), ERR_IO, "fsync directory");
    assert_done(push_segment(place, 3));
    assert_int_equal(count_entries(place->incoming), 4);
    assert_int_equal(count_descriptors(), descriptors);
}

static bool
stopped(void)
{
    return true;
}

static void
test_stop(void **state)
{
    Place *place = *state;
    wait_in_wal(place, 1);
    place->push.stop = stopped;
    assert_fails(push_segment(place, 1), ERR_STOPPED, "shutting down");
    assert_int_equal(count_entries(place->incoming), 0);
}

static void
test_names_that_are_no_segments(void **state)
{
    static const char *const names[] = {"00000002.history", "000000010000000000000003.partial",
                                        "000000010000000000000003.00000028.backup",
                                        "any.name.that.PostgreSQL.may.think.of"};
    Place *place = *state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO(free) char *path = mem_printf("%s/%s", place->wal, names[i]);
        AUTO(free) char *there = mem_printf("%s/%s", place->incoming, names[i]);
        write_text(path, i == 3 ? "" : names[i]);
        assert_done(push_file(&place->push, names[i], path));
        assert_text(there, i == 3 ? "" : names[i]);
    }
}

static void
test_paths_that_cannot_be(void **state)
{
    Place *place = *state;
    assert_fails(push_to(&place->push, "incoming"), ERR_CONFIG, "not an absolute path");
    AUTO(free) char *path = mem_printf("/%*d", PATH_MAX, 0);
    assert_fails(push_to(&place->push, path), ERR_CONFIG, "too long a name");
    assert_fails(push_file(&place->push, "a", path), ERR_DATA, "too long a name");
    assert_fails(push_file(&place->push, path + PATH_MAX - 80, "a"), ERR_DATA, "too long a name");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
        TEST(one_file),
        TEST(zeros_and_odd_ends),
        TEST(past_the_page_cache),
        TEST(what_follows_is_brought_along),
        TEST(what_was_brought_along_and_has_changed_is_looked_at_again),
        TEST(another_directory_forgets),
        TEST(same_contents_there),
        TEST(other_contents_there),
        TEST(syncs_fail),
        TEST(stop),
        TEST(names_that_are_no_segments),
        TEST(paths_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
