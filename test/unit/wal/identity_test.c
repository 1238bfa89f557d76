/* SPDX-License-Identifier: PostgreSQL */
#include "../files.h"

#include "wal/identity.h"

static void
test_identity(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t id; /* 0: refused */
    } identities[] = {
        {"{\"systemid\": \"7301234567890123456\", \"version\": \"15\"}", 7301234567890123456},
        {"{\"systemid\": \"18446744073709551615\"}", UINT64_MAX},
        {"", 0},
        {"{", 0},
        {"[]", 0},
        {"{}", 0},
        {"{\"systemid\": \"\"}", 0},
        {"{\"systemid\": \"0\"}", 0},
        {"{\"systemid\": \"12x\"}", 0},
        {"{\"systemid\": 7301234567890123456}", 0},
        {"{\"systemid\": null}", 0},
        {"{\"systemid\": \"-1\"}", 0},
        {"{\"systemid\": \" 7\"}", 0},
        {"{\"systemid\": \"99999999999999999999\"}", 0},
    };
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/identity.json", dir);
    uint64_t id = 7;
    assert_done(identity_read(dir, &id));
    assert_true(id == 0);
    for (size_t i = 0; i < COUNT_OF(identities); i++) {
        write_text(path, identities[i].text);
        int result = identity_read(dir, &id);
        if ((result == 0) != (identities[i].id != 0) || id != identities[i].id)
            fail_msg("'%s': %d", identities[i].text, result);
    }
    unlink(path);
    assert_done(dir_make(path));
    assert_fails(identity_read(dir, &id), ERR_DATA, "identity.json");
    scratch_remove(dir);
}

/* Written once, as Barman writes it; afterwards only compared. */
static void
test_check(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *home = mem_printf("%s/a/b", dir);
    AUTO(free) char *path = mem_printf("%s/identity.json", home);
    assert_done(identity_check(home, UINT64_MAX, 15));
    static const char expected[] = "{\n    \"systemid\": \"18446744073709551615\",\n"
                                   "    \"version\": \"15\"\n}\n";
    assert_text(path, expected);
    assert_done(identity_check(home, UINT64_MAX, 16));
    assert_text(path, expected);
    assert_fails(identity_check(home, 7, 15), ERR_DATA, "system identifier is 7");
    assert_text(path, expected);
    write_text(path, "{}");
    assert_fails(identity_check(home, 7, 15), ERR_DATA, "systemid");
    assert_text(path, "{}");
    scratch_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
