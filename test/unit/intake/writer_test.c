/* SPDX-License-Identifier: PostgreSQL
 * The writer's files, and what it says of them. That a flush is told only after an fsync is seen by
 * wrapping the calls. */
#include "../files.h"

#include "base/clock.h"
#include "flow/intake/writer.h"

#include <poll.h>
#include <stdatomic.h>

enum { SIZE = 1 << 20, PIECE = 300 * 1000 };

static atomic_int syncs;       /* of files */
static atomic_bool sync_fails; /* from now on */
static atomic_int stalls;      /* reports while the disk hangs */
static atomic_bool disk_hangs; /* until a stall was reported */
static atomic_bool gate;       /* while it is closed, no fdatasync ends */

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

int
__wrap_fdatasync(int fd)
{
    syncs++;
    for (int64_t deadline = clock_ms() + 10000; disk_hangs && !stalls;)
        assert_true(clock_ms() < deadline);
    for (int64_t deadline = clock_ms() + 10000; gate && clock_ms() < deadline;)
        clock_pause_ms(1);
    if (!sync_fails)
        return __real_fdatasync(fd);
    errno = EIO;
    return -1;
}

int
__wrap_fsync(int fd)
{
    syncs++;
    if (!sync_fails)
        return __real_fsync(fd);
    errno = EIO;
    return -1;
}

static void
note_stall(void *context, const WriterProgress *progress)
{
    assert_true(progress->flushed == *(const Lsn *)context);
    stalls++;
}

static WalWriter *
begin(const char *dir, Lsn start, bool synchronous)
{
    WriterSpec spec = {.directory = dir,
                       .segment_size = SIZE,
                       .timeline = 1,
                       .start = start,
                       .synchronous = synchronous,
                       .release = free};
    WalWriter *writer = NULL;
    assert_done(writer_start(&spec, &writer));
    return writer;
}

static bool
push(WalWriter *writer, Lsn lsn, size_t size)
{
    char *data = mem_alloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)((lsn + i) % 251);
    if (writer_push(writer, data, data, size)) {
        writer_go(writer);
        return true;
    }
    free(data);
    return false;
}

static void
push_patiently(WalWriter *writer, Lsn lsn, size_t size)
{
    while (!push(writer, lsn, size)) {
        struct pollfd room = {.fd = writer_fd(writer), .events = POLLIN};
        assert_int_equal(poll(&room, 1, 10000), 1);
        writer_fd_clear(writer);
    }
}

static void
wait_written(WalWriter *writer, Lsn lsn)
{
    for (int64_t deadline = clock_ms() + 10000; writer_progress(writer).written < lsn;) {
        assert_true(clock_ms() < deadline);
        clock_pause_ms(1);
    }
}

static void
wait_flushed(WalWriter *writer, Lsn lsn)
{
    for (int64_t deadline = clock_ms() + 10000; writer_progress(writer).flushed < lsn;) {
        assert_true(clock_ms() < deadline);
        assert_false(writer_progress(writer).failed);
        clock_pause_ms(1);
    }
}

static void
check_file(const char *dir, const char *name, Lsn start, size_t filled)
{
    AUTO(free) char *path = mem_printf("%s/%s", dir, name);
    AUTO(free) char *expected = mem_alloc(SIZE);
    for (size_t i = 0; i < filled; i++)
        expected[i] = (char)((start + i) % 251);
    assert_bytes(path, expected, SIZE);
}

static void
test_segments(void **state)
{
    (void)state;
    char *dir = scratch_make();
    Lsn start = 0xFFF * (Lsn)SIZE, at = start;
    WriterProgress progress;
    WalWriter *writer = begin(dir, start, false);
    for (int i = 0; i < 8; i++, at += PIECE)
        push_patiently(writer, at, PIECE);
    wait_flushed(writer, start + 2 * SIZE);
    assert_done(writer_stop(writer, &progress));
    assert_true(progress.written == at && progress.flushed == at);
    check_file(dir, "000000010000000000000FFF", start, SIZE);
    check_file(dir, "000000010000000100000000", start + SIZE, SIZE);
    check_file(dir, "000000010000000100000001.partial", start + 2 * SIZE, 8 * PIECE - 2 * SIZE);
    assert_int_equal(count_entries(dir), 3);
    scratch_remove(dir);
}

/* More than the queue holds: it is refused and taken later, and memory stays bounded. */
static void
test_full_queue(void **state)
{
    (void)state;
    char *dir = scratch_make();
    Lsn at = 0;
    WriterProgress progress;
    WalWriter *writer = begin(dir, 0, false);
    for (; at < 64 * (Lsn)SIZE; at += SIZE / 2)
        push_patiently(writer, at, SIZE / 2);
    assert_done(writer_stop(writer, &progress));
    assert_true(progress.flushed == at);
    assert_int_equal(count_entries(dir), 64);
    check_file(dir, "00000001000000000000003F", 63 * (Lsn)SIZE, SIZE);
    scratch_remove(dir);
}

/* What is at hand when the server begins to wait is synced without being asked for. */
static void
test_synchronous_later(void **state)
{
    (void)state;
    char *dir = scratch_make();
    WalWriter *writer = begin(dir, 0, false);
    push_patiently(writer, 0, PIECE);
    wait_written(writer, PIECE);
    assert_int_equal(writer_progress(writer).flushed, 0);
    writer_set_synchronous(writer, true);
    wait_flushed(writer, PIECE);
    push_patiently(writer, PIECE, 100);
    wait_flushed(writer, PIECE + 100);
    writer_set_synchronous(writer, false);
    push_patiently(writer, PIECE + 100, 100);
    wait_written(writer, PIECE + 200);
    assert_int_equal(writer_progress(writer).flushed, PIECE + 100);
    assert_done(writer_stop(writer, NULL));
    scratch_remove(dir);
}

/* The server's mind may change while the thread writes; ThreadSanitizer watches. */
static void
test_synchronous_changes_meanwhile(void **state)
{
    (void)state;
    char *dir = scratch_make();
    WalWriter *writer = begin(dir, 0, false);
    for (Lsn at = 0; at < SIZE; at += 2048)
        push_patiently(writer, at, 2048);
    for (bool synchronous = true; writer_progress(writer).written < SIZE;) {
        writer_set_synchronous(writer, synchronous);
        synchronous = !synchronous;
    }
    assert_done(writer_stop(writer, NULL));
    check_file(dir, "000000010000000000000000", 0, SIZE);
    scratch_remove(dir);
}

static void
test_flushed_means_synced(void **state)
{
    (void)state;
    char *dir = scratch_make();
    WalWriter *writer = begin(dir, SIZE, false);
    int before = syncs;
    assert_true(push(writer, SIZE, 100));
    wait_written(writer, SIZE + 100);
    clock_pause_ms(20);
    assert_true(writer_progress(writer).flushed == SIZE);
    assert_int_equal(syncs, before);
    writer_sync(writer);
    wait_flushed(writer, SIZE + 100);
    assert_true(syncs > before);
    assert_done(writer_stop(writer, NULL));

    /* Little, that a commit waits for, is done by us, and we need not be told. */
    before = syncs;
    writer = begin(dir, SIZE, true);
    assert_true(push(writer, SIZE, 200));
    assert_true(writer_progress(writer).flushed == SIZE + 200);
    assert_true(syncs > before);
    assert_int_equal(poll(&(struct pollfd){.fd = writer_fd(writer), .events = POLLIN}, 1, 0), 0);
    assert_done(writer_stop(writer, NULL));
    check_file(dir, "000000010000000000000001.partial", SIZE, 200);
    scratch_remove(dir);
}

/* The thread's fdatasync of so much does not end before the gate opens. */
static void
hold_sync(WalWriter *writer, Lsn at, size_t size)
{
    assert_true(push(writer, at, size));
    wait_written(writer, at + size);
    int before = syncs;
    gate = true;
    writer_sync(writer);
    for (int64_t deadline = clock_ms() + 10000; syncs == before; clock_pause_ms(1))
        assert_true(clock_ms() < deadline);
}

/* What comes while the disk is busy with one sync shares the next. */
static void
test_one_sync_for_a_group(void **state)
{
    enum { ITEMS = 7 };
    (void)state;
    char *dir = scratch_make();
    WalWriter *writer = begin(dir, 0, false);
    assert_true(push(writer, 0, 100));
    writer_sync(writer);
    wait_flushed(writer, 100); /* the first one syncs size and name, too */
    hold_sync(writer, 100, 100);
    int before = syncs;
    writer_set_synchronous(writer, true);
    for (int i = 0; i < ITEMS; i++)
        assert_true(push(writer, 200 + 100 * (Lsn)i, 100));
    assert_int_equal(writer_progress(writer).flushed, 100);
    assert_int_equal(syncs, before);
    gate = false;
    wait_flushed(writer, 200 + 100 * ITEMS);
    assert_int_equal(syncs, before + 1);
    assert_done(writer_stop(writer, NULL));
    check_file(dir, "000000010000000000000000.partial", 0, 200 + 100 * ITEMS);
    scratch_remove(dir);
}

static void
test_failed_sync(void **state)
{
    (void)state;
    char *dir = scratch_make();
    WriterProgress progress;
    WalWriter *writer = begin(dir, 0, true);
    sync_fails = true;
    assert_true(push(writer, 0, 100));
    for (int64_t deadline = clock_ms() + 10000; !writer_progress(writer).failed;)
        assert_true(clock_ms() < deadline);
    sync_fails = false;
    push(writer, 100, 100);
    assert_fails(writer_stop(writer, &progress), ERR_IO, "fsync");
    assert_true(progress.flushed == 0);
    scratch_remove(dir);
}

/* While the disk keeps the caller, the thread speaks for it, and says nothing that is not so. */
static void
test_hanging_disk(void **state)
{
    (void)state;
    char *dir = scratch_make();
    Lsn flushed = 100;
    WriterSpec spec = {.directory = dir,
                       .segment_size = SIZE,
                       .timeline = 1,
                       .synchronous = true,
                       .release = free,
                       .stalled = note_stall,
                       .context = &flushed};
    WalWriter *writer = NULL;
    assert_done(writer_start(&spec, &writer));
    assert_true(push(writer, 0, 100));
    assert_int_equal(stalls, 0);
    disk_hangs = true;
    assert_true(push(writer, 100, 100));
    disk_hangs = false;
    assert_true(stalls > 0);
    assert_true(writer_progress(writer).flushed == 200);
    assert_done(writer_stop(writer, NULL));
    scratch_remove(dir);
}

/* Nobody sees a file that has less than the timeline before it, and nothing of it is flushed. */
static void
test_where_a_timeline_begins(void **state)
{
    (void)state;
    char *dir = scratch_make();
    WriterSpec spec = {.directory = dir,
                       .segment_size = SIZE,
                       .timeline = 2,
                       .start = SIZE,
                       .begins = SIZE + 150,
                       .synchronous = true,
                       .release = free};
    WalWriter *writer = NULL;
    WriterProgress progress;
    assert_done(writer_start(&spec, &writer));
    assert_true(push(writer, SIZE, 149));
    assert_done(writer_stop(writer, &progress));
    assert_true(progress.written == SIZE + 149 && progress.flushed == SIZE);
    assert_int_equal(count_entries(dir), 0);

    assert_done(writer_start(&spec, &writer));
    assert_true(push(writer, SIZE, 149) && push(writer, SIZE + 149, 1));
    wait_flushed(writer, SIZE + 150);
    check_file(dir, "000000020000000000000001.partial", SIZE, 150);
    assert_true(push(writer, SIZE + 150, SIZE));
    assert_done(writer_stop(writer, NULL));
    check_file(dir, "000000020000000000000001", SIZE, SIZE);
    check_file(dir, "000000020000000000000002.partial", 2 * SIZE, 150);
    assert_int_equal(count_entries(dir), 2);
    scratch_remove(dir);
}

/* Bytes of a partial one stay, and what comes must be the same; zeros are where nothing was.
 * Nothing whole is ever replaced. */
static void
test_what_is_there(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *partial = mem_printf("%s/000000010000000000000000.partial", dir);
    AUTO(free) char *whole = mem_printf("%s/000000010000000000000000", dir);
    AUTO(str) Str got = {0};
    write_bytes(partial, "\0\1\0\3\4\5", 6);
    WalWriter *writer = begin(dir, 0, false);
    assert_true(push(writer, 0, 3));
    assert_done(writer_stop(writer, NULL));
    assert_done(file_read_text(partial, SIZE, &got));
    assert_int_equal(got.length, SIZE);
    assert_memory_equal(got.data, "\0\1\2\3\4\5\0", 7);

    write_bytes(partial, "\0\1\2\3X\5", 6);
    writer = begin(dir, 0, true);
    assert_true(push(writer, 0, 4));
    assert_true(push(writer, 4, 2));
    assert_fails(writer_stop(writer, NULL), ERR_DATA, "from byte 4 on");
    str_clear(&got);
    assert_done(file_read_text(partial, SIZE, &got));
    assert_int_equal(got.length, SIZE);
    assert_memory_equal(got.data, "\0\1\2\3X\5\0", 7);
    write_text(partial, "");

    write_text(whole, "taken");
    writer = begin(dir, 0, false);
    assert_true(push(writer, 0, SIZE));
    assert_fails(writer_stop(writer, NULL), ERR_IO, "File exists");
    assert_text(whole, "taken");

    assert_int_equal(truncate(partial, SIZE + 1), 0);
    writer = begin(dir, 0, false);
    assert_true(push(writer, 0, 1));
    assert_fails(writer_stop(writer, NULL), ERR_DATA, "bytes long");
    scratch_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_full_queue),
        cmocka_unit_test(test_synchronous_later),
        cmocka_unit_test(test_synchronous_changes_meanwhile),
        cmocka_unit_test(test_flushed_means_synced),
        cmocka_unit_test(test_one_sync_for_a_group),
        cmocka_unit_test(test_failed_sync),
        cmocka_unit_test(test_where_a_timeline_begins),
        cmocka_unit_test(test_hanging_disk),
        cmocka_unit_test(test_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
