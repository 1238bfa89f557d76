/* SPDX-License-Identifier: PostgreSQL
 * The catalog file: which generation of it, appending all or nothing, torn ends, replacing. The
 * program is linked with --wrap=fsync, so that a disk can fail here. */
#include "../files.h"

#include "base/log.h"
#include "flow/xlogdb/xlogdb.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#define SEG_1 "000000010000000000000001"
#define SEG_2 "000000010000000000000002"
#define ROW_1 SEG_1 "\t16777216\t1704067200.0\tgzip\tNone\n"
#define ROW_2 SEG_2 "\t16777216\t1704067200.0\tNone\tNone\n"
#define SEG_3 "000000010000000000000003"
#define ROW_3 SEG_3 "\t16777216\t1704067200.0\tNone\tNone\n"
#define ROW_2_OLD SEG_2 "\t16777216\t1704067200.0\tNone\n"

static const WalFile row_1 = {SEG_1, WAL_SEGMENT, 16777216, {1704067200, 0}, "gzip", NULL};
static const WalFile row_2 = {SEG_2, WAL_SEGMENT, 16777216, {1704067200, 0}, NULL, NULL};
static const WalFile row_3 = {SEG_3, WAL_SEGMENT, 16777216, {1704067200, 0}, NULL, NULL};

static bool disk_fails;
int __real_fsync(int fd);
int __wrap_fsync(int fd);

int
__wrap_fsync(int fd)
{
    if (!disk_fails)
        return __real_fsync(fd);
    errno = EIO;
    return -1;
}

typedef struct Home {
    char *dir, *current, *old, *wals;
    XlogDb *db;
} Home;

static int
setup(void **state)
{
    Home *home = mem_alloc(sizeof(*home));
    home->dir = scratch_make();
    home->wals = mem_printf("%s/wals", home->dir);
    home->current = mem_printf("%s/main-xlog.db", home->wals);
    home->old = mem_printf("%s/xlog.db", home->wals);
    home->db = xlogdb_new(&(XlogDbPlace){"main", home->wals, home->wals, home->dir});
    *state = home;
    return 0;
}

static int
teardown(void **state)
{
    Home *home = *state;
    xlogdb_free(home->db);
    free(home->current);
    free(home->old);
    free(home->wals);
    scratch_remove(home->dir);
    free(home);
    return 0;
}

/* Which name the catalog asked for, because it found it in a torn line */
static char asked[WAL_NAME_ROOM];

static int
lookup_none(void *context, const char *name, WalFile *ret_row)
{
    (void)context, (void)ret_row;
    snprintf(asked, sizeof(asked), "%s", name);
    return XLOGDB_UNKNOWN;
}

/* The torn file is archived: as row_2 but for its name */
static int
lookup_row(void *context, const char *name, WalFile *ret_row)
{
    const WalFile *row = context;
    lookup_none(NULL, name, NULL);
    *ret_row = *row;
    snprintf(ret_row->name, sizeof(ret_row->name), "%s", name);
    return 0;
}

static int
append_rows(Home *home, const WalFile *rows, size_t count)
{
    asked[0] = '\0';
    return xlogdb_append(home->db, rows, count, lookup_none, NULL);
}

static int
append(Home *home, const WalFile *row)
{
    int result = append_rows(home, row, 1);
    assert_string_equal(asked, "");
    return result;
}

/* Rows as "name size compression;" */
static int
print_row(void *context, const WalFile *row)
{
    str_appendf(context, "%s %lld %s %s;", row->name, (long long)row->size,
                row->compression ? row->compression : "-", row->encryption ? row->encryption : "-");
    return 0;
}

static void
assert_rows(Home *home, const char *expected, size_t damaged_expected)
{
    AUTO(str) Str rows = {0};
    size_t damaged = 99;
    assert_done(xlogdb_read(home->db, print_row, &rows, &damaged));
    assert_string_equal(str_text(&rows), expected);
    assert_int_equal(damaged, damaged_expected);
}

static void
test_first_append(void **state)
{
    Home *home = *state;
    assert_false(xlogdb_exists(home->db));
    assert_rows(home, "", 0); /* a missing file has no rows */
    assert_done(append(home, &row_1));
    assert_true(xlogdb_exists(home->db));
    assert_string_equal(xlogdb_path(home->db), home->current);
    assert_done(append(home, &row_2));
    assert_text(home->current, ROW_1 ROW_2);
    assert_rows(home, SEG_1 " 16777216 gzip -;" SEG_2 " 16777216 - -;", 0);
}

static void
test_which_generation(void **state)
{
    Home *home = *state;
    WalFile encrypted = row_1;
    encrypted.encryption = "gpg";
    WalFile both[] = {row_2, encrypted};

    write_text(home->old, "");
    assert_string_equal(xlogdb_path(home->db), home->old);
    assert_done(append(home, &row_2));
    assert_fails(append_rows(home, both, 2), ERR_UNSUPPORTED, "before 3.13");
    assert_text(home->old, ROW_2_OLD); /* the row before the refused one did not get in either */
    assert_false(exists(home->current));

    /* Barman was upgraded: both are there, the new one counts. */
    write_text(home->current, ROW_1);
    assert_string_equal(xlogdb_path(home->db), home->current);
    assert_done(append_rows(home, &encrypted, 1));
    assert_rows(home, SEG_1 " 16777216 gzip -;" SEG_1 " 16777216 gzip gpg;", 0);
    assert_text(home->old, ROW_2_OLD);
}

static void
test_append_nothing(void **state)
{
    Home *home = *state;
    write_text(home->current, ROW_1 SEG_2);
    assert_done(append_rows(home, NULL, 0));
    assert_string_equal(asked, SEG_2);
    assert_text(home->current, ROW_1);
}

/* The last line cut off at every byte: its row is made anew where its name is there, and only a
 * whole line is kept as it is. */
static void
test_torn_everywhere(void **state)
{
    Home *home = *state;
    static const char last[] = SEG_2 "\t16777216\t1704067200.5\tgzip\tNone";
    for (size_t length = 1; length <= strlen(last); length++) {
        bool whole = length == strlen(last);
        bool named = length >= WAL_SEGMENT_LENGTH;
        AUTO(free) char *text = mem_printf("%s%.*s", ROW_1, (int)length, last);
        AUTO(free)
        char *expected = mem_printf("%s%s%s%s", ROW_1, whole ? text + strlen(ROW_1) : "",
                                    whole   ? "\n"
                                    : named ? ROW_2
                                            : "",
                                    ROW_3);
        write_text(home->current, text);
        assert_rows(home,
                    whole ? SEG_1 " 16777216 gzip -;" SEG_2 " 16777216 gzip -;"
                          : SEG_1 " 16777216 gzip -;",
                    !whole);
        asked[0] = '\0';
        assert_done(xlogdb_append(home->db, &row_3, 1, lookup_row, (void *)&row_2));
        assert_string_equal(asked, named && !whole ? SEG_2 : "");
        assert_text(home->current, expected);
    }
}

/* The row that is appended is the torn one itself: it comes once. */
static void
test_torn_row_again(void **state)
{
    Home *home = *state;
    write_text(home->current, ROW_1 SEG_2 "\t167");
    assert_done(append(home, &row_2));
    assert_text(home->current, ROW_1 ROW_2);
}

static void
test_torn_shapes(void **state)
{
    Home *home = *state;
    static const struct {
        const char *tail, *torn;
    } cases[] = {
        {" ", ""},
        {"x", ""},
        {SEG_2 "7\t1", ""},
        {SEG_2 " 1", SEG_2},
        {SEG_2 ".partial\t", SEG_2 ".partial"},
        {SEG_2 ".parti", ""},
        {SEG_2 ".00000028.backup\t300", SEG_2 ".00000028.backup"},
        {SEG_2 ".00000028.backup0000000000000000000000000000000000", ""},
        {"00000002.history\t4", "00000002.history"},
        {"\t\t\t", ""},
        {"\r", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (int with_before = 0; with_before < 2; with_before++) {
            AUTO(free) char *text = mem_printf("%s%s", with_before ? ROW_1 : "", cases[i].tail);
            write_text(home->current, text);
            assert_done(append_rows(home, &row_3, 1));
            assert_string_equal(asked, cases[i].torn);
            assert_text(home->current, with_before ? ROW_1 ROW_3 : ROW_3);
        }
}

/* What file systems leave after a crash: zeros, or much of anything, without a line feed */
static void
test_torn_huge(void **state)
{
    Home *home = *state;
    static const size_t sizes[] = {1, 4095, 4096, 4097, 8192, 1 << 20};
    AUTO(free) char *data = mem_alloc((1 << 20) + sizeof(ROW_1));
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int byte = 0; byte <= 'x'; byte += 'x')
            for (size_t before = 0; before < sizeof(ROW_1); before += sizeof(ROW_1) - 1) {
                memcpy(data, ROW_1, before);
                memset(data + before, byte, sizes[i]);
                write_bytes(home->current, data, before + sizes[i]);
                assert_rows(home, before ? SEG_1 " 16777216 gzip -;" : "", 1);
                assert_done(append_rows(home, &row_3, 1));
                assert_string_equal(asked, "");
                assert_text(home->current, before ? ROW_1 ROW_3 : ROW_3);
            }
    /* a name, and the rest never reached the disk */
    static const char half[] = ROW_1 SEG_2 "\0\0\0\0\0\0\0\0";
    write_bytes(home->current, half, sizeof(half) - 1);
    assert_done(append_rows(home, &row_3, 1));
    assert_string_equal(asked, SEG_2);
    assert_text(home->current, ROW_1 ROW_3);
}

static void
test_damaged_lines_are_passed_over(void **state)
{
    Home *home = *state;
    const char *const names[] = {SEG_2, "000000010000000000000003", SEG_1};
    bool found[3] = {false, true, false};
    write_text(home->current, "\n" ROW_1 "rubbish\n" SEG_2 "\t1\n" ROW_2 "\n");
    assert_rows(home, SEG_1 " 16777216 gzip -;" SEG_2 " 16777216 - -;", 4);
    assert_done(xlogdb_contains(home->db, names, 3, found));
    assert_true(found[0] && !found[1] && found[2]);
    assert_done(xlogdb_contains(home->db, names, 0, found));
}

static int
end_reading(void *context, const WalFile *row)
{
    (void)row;
    ++*(int *)context;
    return 42;
}

static void
test_visit_ends_reading(void **state)
{
    Home *home = *state;
    int visits = 0;
    size_t damaged = 0;
    write_text(home->current, ROW_1 ROW_2);
    assert_int_equal(xlogdb_read(home->db, end_reading, &visits, &damaged), 42);
    assert_int_equal(visits, 1);
}

/* The disk fills up in the middle of the rows: none of them stays. */
static void
test_no_room_takes_all_back(void **state)
{
    Home *home = *state;
    WalFile both[] = {row_1, row_2};
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 3 * strlen(ROW_1);
    signal(SIGXFSZ, SIG_IGN);
    write_text(home->current, ROW_1 ROW_2);
    setrlimit(RLIMIT_FSIZE, &small);
    int result = append_rows(home, both, 2);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_fails(result, ERR_IO, "File too large");
    assert_text(home->current, ROW_1 ROW_2);
}

static void
test_failed_sync_takes_all_back(void **state)
{
    Home *home = *state;
    write_text(home->current, ROW_1);
    disk_fails = true;
    int result = append(home, &row_2);
    disk_fails = false;
    assert_fails(result, ERR_IO, "fsync");
    assert_text(home->current, ROW_1);
    assert_done(append(home, &row_2));
    assert_text(home->current, ROW_1 ROW_2);
}

static int
keep(void *context, const WalFile *row)
{
    return xlogdb_edit_emit(context, row);
}

static int
produce_copy(void *context, XlogDbEdit *edit)
{
    size_t damaged = 0;
    int result = xlogdb_edit_read(edit, keep, edit, &damaged);
    *(size_t *)context = damaged;
    return result;
}

static int
produce_failure(void *context, XlogDbEdit *edit)
{
    (void)context;
    assert_done(xlogdb_edit_emit(edit, &row_1));
    return fail(ERR_STOPPED, "stopped on the way");
}

static int
produce_many(void *context, XlogDbEdit *edit)
{
    for (int i = 0; i < *(int *)context; i++)
        assert_done(xlogdb_edit_emit(edit, &row_2));
    return 0;
}

static void
test_replace(void **state)
{
    Home *home = *state;
    size_t damaged = 0, entries = 0;
    int many = 20000;
    write_text(home->current, ROW_1 "rubbish\n" ROW_2 "torn");
    chmod(home->current, 0604);
    entries = count_entries(home->wals);
    assert_fails(xlogdb_replace(home->db, produce_failure, NULL), ERR_STOPPED, "on the way");
    assert_text(home->current, ROW_1 "rubbish\n" ROW_2 "torn");
    assert_done(xlogdb_replace(home->db, produce_copy, &damaged));
    assert_int_equal(damaged, 2);
    assert_text(home->current, ROW_1 ROW_2);
    struct stat st;
    assert_int_equal(stat(home->current, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0604);
    assert_done(xlogdb_replace(home->db, produce_many, &many));
    assert_int_equal(stat(home->current, &st), 0);
    assert_int_equal(st.st_size, (off_t)strlen(ROW_2) * many);
    assert_int_equal(count_entries(home->wals), entries);
}

static void
test_replace_keeps_the_generation(void **state)
{
    Home *home = *state;
    size_t damaged = 0;
    write_text(home->old, ROW_2_OLD);
    assert_done(xlogdb_replace(home->db, produce_copy, &damaged));
    assert_text(home->old, ROW_2_OLD);
    assert_false(exists(home->current));
    unlink(home->old);
    assert_done(xlogdb_replace(home->db, produce_copy, &damaged)); /* of nothing: an empty one */
    assert_text(home->current, "");
}

static void
test_remove(void **state)
{
    Home *home = *state;
    const char *const names[] = {SEG_1, SEG_3, SEG_3 ".partial"};
    AUTO(free) char *long_line = mem_printf("%s %0300d\n", SEG_3, 0);
    AUTO(free)
    char *text = mem_printf("  " ROW_1 ROW_2_OLD "nonsense\n\n%s" SEG_1
                            ".partial\t1\t2\tNone\tNone\n" ROW_1 SEG_3,
                            long_line);
    struct stat before, after;
    assert_done(xlogdb_remove(home->db, names, COUNT_OF(names))); /* there is no catalog yet */
    assert_false(exists(home->current));
    assert_done(dir_make(home->wals));
    write_text(home->current, text);
    chmod(home->current, 0640);
    assert_done(xlogdb_remove(home->db, names, COUNT_OF(names)));
    /* A name that is cut off may be the beginning of another. */
    assert_text(home->current, ROW_2_OLD "nonsense\n\n" SEG_1 ".partial\t1\t2\tNone\tNone\n" SEG_3);
    assert_int_equal(stat(home->current, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0640);
    assert_done(xlogdb_remove(home->db, names, COUNT_OF(names)));
    assert_done(xlogdb_remove(home->db, names, 0));
    assert_int_equal(stat(home->current, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino); /* nothing to do, nothing written */
}

static void
test_failed_remove_changes_nothing(void **state)
{
    Home *home = *state;
    const char *const names[] = {SEG_1};
    const WalFile rows[] = {row_1, row_2};
    assert_done(append_rows(home, rows, 2));
    disk_fails = true;
    int result = xlogdb_remove(home->db, names, 1);
    disk_fails = false;
    assert_true(result < 0);
    assert_text(home->current, ROW_1 ROW_2);
}

static void
test_unreadable(void **state)
{
    Home *home = *state;
    size_t damaged = 0;
    AUTO(str) Str rows = {0};
    assert_done(dir_make(home->current)); /* a directory in its place */
    assert_fails(xlogdb_read(home->db, print_row, &rows, &damaged), ERR_IO, "main-xlog.db");
    assert_fails(append(home, &row_1), ERR_IO, "main-xlog.db");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
        TEST(first_append),
        TEST(which_generation),
        TEST(append_nothing),
        TEST(torn_everywhere),
        TEST(torn_row_again),
        TEST(torn_shapes),
        TEST(torn_huge),
        TEST(damaged_lines_are_passed_over),
        TEST(visit_ends_reading),
        TEST(no_room_takes_all_back),
        TEST(failed_sync_takes_all_back),
        TEST(replace),
        TEST(replace_keeps_the_generation),
        TEST(remove),
        TEST(failed_remove_changes_nothing),
        TEST(unreadable),
    };
    log_open(NULL, LOG_CRITICAL); /* torn lines are warned of */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
