/* SPDX-License-Identifier: PostgreSQL
 * Barman's backup.info: which fields count, where the files lie. */
#include "site.h"

#include "base/file.h"
#include "flow/backups.h"

static const struct {
    const char *text;
    bool needs;
    ErrorClass failure; /* where it is refused */
    bool refused;
    uint32_t segment_size;
    WalPosition start, end;
} infos[] = {
    {"status=DONE\nbegin_wal=000000020000000100000003\nend_wal=000000020000000100000005\n"
     "xlog_segment_size=1048576\n",
     true, 0, false, 1048576, (WalPosition)1 << 32 | 3, (WalPosition)1 << 32 | 5},
    {"begin_wal=000000020000000100000003\nstatus=WAITING_FOR_WALS\nend_wal=None\r\n", true, 0,
     false, 0, (WalPosition)1 << 32 | 3, POSITION_NONE},
    {"status=STARTED\nbegin_wal=000000020000000000000003", true, 0, false, 0, 3, POSITION_NONE},
    {"status=SOMETHING_NEW\nbegin_wal=000000020000000000000003", true, 0, false, 0, 3,
     POSITION_NONE},
    {"begin_wal=000000020000000000000003\nxlog_segment_size=17\n", true, 0, false, 0, 3,
     POSITION_NONE},
    {"status=FAILED\nbegin_wal=000000020000000000000003\n", false, 0, false, 0, 0, 0},
    {"status=FAILED\nbegin_wal=None\n", false, 0, false, 0, 0, 0},
    {"status=EMPTY\nbegin_wal=None\n", false, ERR_BUSY, true, 0, 0, 0},
    {"status=STARTED\n", false, ERR_BUSY, true, 0, 0, 0},
    {"status=DONE\nbegin_wal=None\n", false, ERR_DATA, true, 0, 0, 0},
    {"status=DONE\nbegin_wal=0000000200000000000000\n", false, ERR_DATA, true, 0, 0, 0},
    {"status=DONE\nnot_begin_wal=000000020000000000000003\n", false, ERR_DATA, true, 0, 0, 0},
    {"", false, ERR_DATA, true, 0, 0, 0},
};

static void
test_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(infos); i++) {
        Backup backup = {0};
        uint32_t segment_size = 99;
        bool needs = false;
        int result = backup_info_parse("ID", infos[i].text, &backup, &segment_size, &needs);
        if ((result < 0) != infos[i].refused)
            fail_msg("case %zu", i);
        if (infos[i].refused) {
            assert_int_equal(error_last()->class, infos[i].failure);
            assert_non_null(strstr(error_last()->text, "'ID'"));
            continue;
        }
        if (needs != infos[i].needs)
            fail_msg("case %zu", i);
        assert_int_equal(segment_size, infos[i].segment_size);
        if (!needs)
            continue;
        assert_string_equal(backup.name, "ID");
        assert_int_equal(backup.timeline, 2);
        assert_int_equal(backup.start, infos[i].start);
        assert_int_equal(backup.end, infos[i].end);
    }
}

#define INFO(number, size)                                                                         \
    "status=DONE\nbegin_wal=00000001000000000000000" number                                        \
    "\nend_wal=00000001000000000000000" number "\nxlog_segment_size=" size "\n"

static void
put_text(Site *site, const char *path, const char *text)
{
    AUTO(free) char *full = mem_printf("%s/%s", site->dir, path);
    AUTO(free) char *directory = mem_dup(full);
    *strrchr(directory, '/') = '\0';
    assert_done(dir_make(directory));
    write_text(full, text);
}

static int
read_all(Site *site, BarmanBackups *ret_backups)
{
    site->server.basebackups_directory = site_path(site, "base");
    return backups_read(&site->config, &site->server, site->arena, ret_backups);
}

static const Backup *
find(const BarmanBackups *backups, const char *name)
{
    for (size_t i = 0; i < backups->count; i++)
        if (strcmp(backups->items[i].name, name) == 0)
            return &backups->items[i];
    return NULL;
}

static void
test_both_layouts(void **state)
{
    Site *site = *state;
    BarmanBackups backups;
    assert_done(read_all(site, &backups)); /* no directory at all */
    assert_int_equal(backups.count, 0);
    put_text(site, "base/A/backup.info", INFO("3", "None"));
    put_text(site, "base/A/annotations/keep", "standalone");
    put_text(site, "base/B/data/PG_VERSION", "15\n");
    put_text(site, "base/file", "no directory");
    put_text(site, "base/.hidden/backup.info", "nonsense");
    put_text(site, "meta/B-backup.info", INFO("5", "1048576"));
    put_text(site, "meta/B-keep", "full\n");
    put_text(site, "meta/C-backup.info", INFO("6", "None"));
    put_text(site, "meta/C-keep", "standalone\n");
    put_text(site, "meta/D-backup.info", "status=DONE\nbegin_wal=000000010000000000000007\n");
    put_text(site, "meta/D-keep", "standalone"); /* its end is not known: as any other */
    put_text(site, "meta/E-backup.info", "status=FAILED\n");
    put_text(site, "meta/E-delete_this", "");
    assert_done(read_all(site, &backups));
    assert_int_equal(backups.count, 4);
    assert_int_equal(backups.segment_size, 1048576);
    assert_int_equal(find(&backups, "A")->start, 3);
    assert_true(find(&backups, "A")->standalone);
    assert_false(find(&backups, "B")->standalone);
    assert_true(find(&backups, "C")->standalone);
    assert_false(find(&backups, "D")->standalone);
    for (char id = 'F'; id <= 'Z'; id++) /* more than fit at first */
        put_text(site, arena_printf(site->arena, "base/%c/backup.info", id), INFO("8", "None"));
    assert_done(read_all(site, &backups));
    assert_int_equal(backups.count, 25);
    assert_int_equal(find(&backups, "Z")->start, 8);
}

/* Never "there are no backups" when that could not be found out. */
static void
test_unreadable(void **state)
{
    Site *site = *state;
    BarmanBackups backups;
    put_text(site, "meta", "a file");
    assert_fails(read_all(site, &backups), ERR_IO, "meta");
    unlink(site_path(site, "meta"));
    assert_done(dir_make(site_path(site, "base/A/backup.info")));
    assert_fails(read_all(site, &backups), ERR_DATA, "backup.info");
    assert_int_equal(rmdir(site_path(site, "base/A/backup.info")), 0);
    put_text(site, "base/A/backup.info", "status=DONE\n");
    assert_fails(read_all(site, &backups), ERR_DATA, "'A' has no begin_wal");
    put_text(site, "base/A/backup.info", "status=EMPTY\n"); /* nobody is at work */
    assert_done(read_all(site, &backups));
    assert_int_equal(backups.count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, site_setup, site_teardown)
        cmocka_unit_test(test_fields),
        TEST(both_layouts),
        TEST(unreadable),
    };
    log_open(NULL, LOG_CRITICAL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
