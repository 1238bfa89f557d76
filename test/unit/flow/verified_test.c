/* SPDX-License-Identifier: PostgreSQL
 * What verify keeps beside the catalog: which segments are sound, and which are known to be lost.
 */
#include "site.h"

#include "flow/losses.h"
#include "flow/verified.h"

enum { SIZE = 16 << 20 };

static const char *
beside(const Site *site, const char *suffix)
{
    return arena_printf(site->arena, "%s.%s", site->catalog, suffix);
}

static void
write_beside(const Site *site, const char *suffix, const char *text)
{
    write_text(beside(site, suffix), text);
}

static bool
holds(const Site *site, uint32_t size, Timeline timeline, uint64_t number)
{
    AUTO(verified) Verified verified = {0};
    assert_done(verified_load(&site->server, size, &verified));
    return verified_holds(&verified, timeline, number * size);
}

static void
test_verified(void **state)
{
    const Site *site = *state;
    AUTO(coverage) Coverage *coverage = coverage_new(SIZE);
    assert_false(holds(site, SIZE, 1, 4));
    coverage_add_range(coverage, 1, (Lsn)4 * SIZE, (Lsn)300 * SIZE);
    coverage_add_range(coverage, 1, (Lsn)302 * SIZE, (Lsn)303 * SIZE);
    coverage_add_range(coverage, 2, (Lsn)300 * SIZE, (Lsn)301 * SIZE);
    assert_done(dir_make(site->server.xlogdb_directory));
    assert_done(verified_save(&site->server, coverage_finish(coverage)));
    static const struct {
        Timeline timeline;
        uint64_t number;
        bool held;
    } rows[] = {
        {1, 3, false},   {1, 4, true},    {1, 255, true},  {1, 256, true},  {1, 299, true},
        {1, 300, false}, {1, 301, false}, {1, 302, true},  {1, 303, false}, {2, 299, false},
        {2, 300, true},  {2, 301, false}, {3, 300, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (holds(site, SIZE, rows[i].timeline, rows[i].number) != rows[i].held)
            fail_msg("segment %u of timeline %u", (unsigned)rows[i].number, rows[i].timeline);
    /* With segments of another size the names mean something else. */
    assert_false(holds(site, 2 * SIZE, 1, 4));
}

#define SOUND(first, last)                                                                         \
    "{\"segment_size\": 16777216, \"sound\": [{\"first\": \"" first "\", \"last\": \"" last "\"}]" \
    "}"

/* Then everything is verified again. */
static void
test_verified_damaged(void **state)
{
    const Site *site = *state;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"segment_size\": 16777216, \"sound\": 1}",
        SOUND("000000010000000000000001", "x"),
        SOUND("000000010000000000000002", "000000010000000000000001"),
        SOUND("000000010000000000000001", "000000020000000000000001"),
        SOUND("000000010000000000000001", "00000001FFFFFFFF000000FF"),
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        write_beside(site, "verified", texts[i]);
        assert_false(holds(site, SIZE, 1, 1));
    }
    write_beside(site, "verified", SOUND("000000010000000000000001", "00000001FFFFFFFF000000FE"));
    assert_true(holds(site, SIZE, 1, 1));
}

#define NAME(timeline, number) "0000000" #timeline "00000000000000" #number

static void
test_losses(void **state)
{
    const Site *site = *state;
    Losses losses;
    assert_done(dir_make(site->server.xlogdb_directory));
    assert_done(losses_load(&site->server, site->arena, &losses));
    assert_int_equal(losses.count, 0);
    assert_done(losses_add(&site->server, NAME(1, 05), NAME(1, 07), "the \"disk\""));
    assert_done(losses_add(&site->server, NAME(2, 09), NAME(2, 09), "another"));
    assert_done(losses_load(&site->server, site->arena, &losses));
    assert_done(losses_place(&losses, SIZE));
    assert_int_equal(losses.count, 2);
    assert_string_equal(losses.items[0].reason, "the \"disk\"");
    assert_string_equal(losses.items[1].last, NAME(2, 09));
    assert_int_equal(strlen(losses.items[0].at), STAMP_ROOM - 1);
    assert_string_not_equal(losses.items[0].by, "");
    assert_int_equal(losses_explaining(&losses, 1, (Lsn)5 * SIZE - 1), -1);
    assert_int_equal(losses_explaining(&losses, 1, (Lsn)5 * SIZE), 0);
    assert_int_equal(losses_explaining(&losses, 1, (Lsn)8 * SIZE - 1), 0);
    assert_int_equal(losses_explaining(&losses, 1, (Lsn)8 * SIZE), -1);
    assert_int_equal(losses_explaining(&losses, 2, (Lsn)9 * SIZE), 1);

    assert_fails(losses_add(&site->server, "x", NAME(1, 07), "r"), ERR_USAGE, "'x' is not the");
    assert_fails(losses_add(&site->server, NAME(1, 07), NAME(1, 05), "r"), ERR_USAGE, "after");
    assert_fails(losses_add(&site->server, NAME(1, 07), NAME(2, 07), "r"), ERR_USAGE, "different");
    assert_fails(losses_add(&site->server, NAME(1, 05), NAME(1, 05), "\xff"), ERR_USAGE, "UTF-8");
    assert_done(losses_load(&site->server, site->arena, &losses));
    assert_int_equal(losses.count, 2);
    assert_done(losses_add(&site->server, NAME(1, FF), NAME(1, FF), "r"));
    assert_done(losses_load(&site->server, site->arena, &losses));
    assert_fails(losses_place(&losses, 2 * SIZE), ERR_DATA, "cannot be one of segments of");
}

/* Nobody may take them for none. */
static void
test_losses_damaged(void **state)
{
    const Site *site = *state;
    Losses losses;
    static const char no_range[] = "{\"lost\": [{\"first\": \"x\", \"last\": \"x\", "
                                   "\"reason\": \"\", \"by\": \"\", \"at\": \"\"}]}";
    static const char *const texts[] = {"", "{}", "{\"lost\": 1}", "{\"lost\": [1]}", no_range};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        write_beside(site, "lost", texts[i]);
        assert_fails(losses_load(&site->server, site->arena, &losses), ERR_DATA, "main-xlog.db");
    }
    write_beside(site, "lost", "{}");
    assert_fails(losses_add(&site->server, NAME(1, 05), NAME(1, 05), "r"), ERR_DATA, "no list");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_verified, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_verified_damaged, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_losses, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_losses_damaged, site_setup, site_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
