/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include <sys/wait.h>

static jmp_buf exhausted;

static void
note_exhausted(size_t size)
{
    (void)size;
    longjmp(exhausted, 1);
}

static void
test_overflow_is_caught(void **state)
{
    (void)state;
    void (*before)(size_t) = mem_exhausted;
    mem_exhausted = note_exhausted;
    if (setjmp(exhausted) == 0) {
        mem_resize(NULL, SIZE_MAX / 2, 3);
        fail_msg("an impossible size was accepted");
    }
    mem_exhausted = before;
}

static int refuse; /* so many allocations */
static int given_back;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *
__wrap_calloc(size_t count, size_t size)
{
    return refuse > 0 && refuse-- ? NULL : __real_calloc(count, size);
}

static void
give_back(size_t size)
{
    assert_int_equal(size, 10);
    given_back++;
}

static void
test_hook_that_gives_memory_back(void **state)
{
    (void)state;
    void (*before)(size_t) = mem_exhausted;
    mem_exhausted = give_back;
    refuse = 1;
    AUTO(free) char *got = mem_alloc(10);
    assert_non_null(got);
    assert_int_equal(given_back, 1);

    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        refuse = 2;
        mem_alloc(10);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == MEM_EXIT);
    mem_exhausted = before;
}

/* PostgreSQL takes a small exit code of get-wal for "there is no such file". */
static void
test_exit_code_is_none_of_a_missing_file(void **state)
{
    (void)state;
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        mem_exhausted(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) > 125);
}

static void
test_arena(void **state)
{
    (void)state;
    AUTO(arena) Arena *arena = arena_new();
    char *large = arena_alloc(arena, 1 << 20);
    assert_int_equal(large[(1 << 20) - 1], 0);
    char *texts[5000];
    for (int i = 0; i < 5000; i++)
        texts[i] = arena_printf(arena, "text %d", i);
    for (int i = 0; i < 5000; i++) {
        char expected[16];
        snprintf(expected, sizeof(expected), "text %d", i);
        assert_string_equal(texts[i], expected);
        assert_int_equal((uintptr_t)texts[i] % _Alignof(max_align_t), 0);
    }
    assert_null(arena_dup(arena, NULL));
    assert_string_equal(arena_dup_part(arena, "abcdef", 3), "abc");
}

static char ended[8];

static void
append_digit(void *object)
{
    const char *digit = object;
    size_t length = strlen(ended);
    ended[length] = *digit;
}

static void
test_arena_endings(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    arena_on_free(arena, append_digit, arena_dup(arena, "1"));
    arena_alloc(arena, 1 << 20);
    arena_on_free(arena, append_digit, arena_dup(arena, "2"));
    assert_string_equal(ended, "");
    arena_free(arena);
    assert_string_equal(ended, "21");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overflow_is_caught),
        cmocka_unit_test(test_hook_that_gives_memory_back),
        cmocka_unit_test(test_exit_code_is_none_of_a_missing_file),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_endings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
