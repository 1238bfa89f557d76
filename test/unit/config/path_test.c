/* SPDX-License-Identifier: PostgreSQL */
#include "config/path.h"

#include "base/file.h"

#include "../unit.h"

#include <pwd.h>

static void
test_expand(void **state)
{
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    struct passwd *self = getpwuid(getuid());
    assert_non_null(self);
    const char *named = arena_printf(arena, "~%s/x", self->pw_name);
    const char *expected = arena_printf(arena, "%s/x", self->pw_dir);

    assert_string_equal(path_expand(arena, "/a/~"), "/a/~");
    assert_string_equal(path_expand(arena, "~nobody-of-this-name/x"), "~nobody-of-this-name/x");
    assert_string_equal(path_expand(arena, named), expected);
    setenv("HOME", "/h", 1);
    assert_string_equal(path_expand(arena, "~"), "/h");
    assert_string_equal(path_expand(arena, "~/x"), "/h/x");
    unsetenv("HOME");
    assert_string_equal(path_expand(arena, "~/x"), expected);
}

static void
test_real(void **state)
{
    /* "@" is a directory with link -> real */
    static const char *const cases[][2] = {
        {"@/real", "@/real"},
        {"@/link", "@/real"},
        {"@/link/new/dir", "@/real/new/dir"},
        {"@/new/../link/x", "@/real/x"},
        {"@//new//./x/", "@/new/x"},
        {"/", "/"},
        {"/nowhere", "/nowhere"},
        {"/nowhere/..", "/"},
        {"/nowhere/../../x", "/x"},
        {"new", "@/new"},
        {"./link/new", "@/real/new"},
    };
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    AUTO(free) char *made = scratch_make();
    const char *dir = path_real(arena, made);
    assert_int_equal(chdir(dir), 0);
    assert_done(dir_make("real"));
    assert_int_equal(symlink("real", "link"), 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *path = cases[i][0], *expected = cases[i][1];
        path = *path == '@' ? arena_printf(arena, "%s%s", dir, path + 1) : path;
        expected = *expected == '@' ? arena_printf(arena, "%s%s", dir, expected + 1) : expected;
        assert_string_equal(path_real(arena, path), expected);
    }
    assert_int_equal(chdir("/"), 0);
    scratch_remove(take(made));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
