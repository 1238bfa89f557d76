/* SPDX-License-Identifier: PostgreSQL
 * What every unit test includes: cmocka with the headers that it wants before it, and a directory
 * of the test's own. */
#ifndef WALDEN_TEST_UNIT_H
#define WALDEN_TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdbool.h>
#include <unistd.h>

/* cmocka's fail is in the way of base/error.h's; tests have fail_msg. */
#undef fail
#undef fail_msg
#define fail_msg(...)                                                                              \
    do {                                                                                           \
        print_error("ERROR: " __VA_ARGS__);                                                        \
        print_error("\n");                                                                         \
        _fail(__FILE__, __LINE__);                                                                 \
    } while (0)

#include "base/error.h"
#include "base/mem.h"

/* A new empty directory; give it back with scratch_remove. */
static inline char *
scratch_make(void)
{
    const char *base = getenv("TMPDIR");
    char *path = mkdtemp(mem_printf("%s/walden-unit-XXXXXX", base ? base : "/tmp"));
    if (!path) /* cmocka's assertions do not tell the compiler that they do not return */
        abort();
    return path;
}

static inline int
scratch_remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path);
}

static inline void
scratch_remove(char *path)
{
    nftw(path, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

/* The call failed, and the message holds the text. */
#define assert_fails(call, class_expected, part)                                                   \
    do {                                                                                           \
        assert_true((call) < 0);                                                                   \
        assert_int_equal(error_last()->class, class_expected);                                     \
        if (!strstr(error_last()->text, part))                                                     \
            fail_msg("'%s' is not in '%s'", part, error_last()->text);                             \
    } while (0)

#define assert_done(call)                                                                          \
    do {                                                                                           \
        int result_ = (call);                                                                      \
        if (result_ < 0)                                                                           \
            fail_msg("%s", error_last()->text);                                                    \
        assert_int_equal(result_, 0);                                                              \
    } while (0)

#endif
