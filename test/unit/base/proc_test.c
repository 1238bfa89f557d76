/* SPDX-License-Identifier: PostgreSQL */
#include "../files.h"

#include "base/clock.h"
#include "base/proc.h"

#include <signal.h>
#include <sys/wait.h>

static void
collect(void *context, bool is_stderr, const char *line)
{
    str_appendf(context, "%s:%s|", is_stderr ? "err" : "out", line);
}

static int
run(const char *shell, int64_t timeout_ms, Str *output, int *ret_status)
{
    StrList env = {0};
    strlist_add(&env, "WALDEN_UNIT=a b");
    ProcSpec spec = {.shell = shell,
                     .env = &env,
                     .path_prefix = "/opt/first",
                     .stdin_fd = -1,
                     .stdout_fd = -1,
                     .on_line = collect,
                     .context = output,
                     .timeout_ms = timeout_ms};
    int result = proc_run(&spec, ret_status);
    strlist_done(&env);
    return result;
}

static void
test_lines_and_status(void **state)
{
    (void)state;
    AUTO(str) Str output = {0};
    int status = -1;
    assert_done(run("echo \"$WALDEN_UNIT\"; printf half; exit 7", 0, &output, &status));
    assert_int_equal(status, 7);
    assert_string_equal(str_text(&output), "out:a b|out:half|");
    str_clear(&output);
    assert_done(run("echo no >&2; kill -9 $$", 0, &output, &status));
    assert_int_equal(status, 256 + 9);
    assert_string_equal(str_text(&output), "err:no|");
}

typedef struct Taken {
    size_t bytes, limit;
} Taken;

static int
take_bytes(void *context, const void *data, size_t size)
{
    Taken *taken = context;
    (void)data;
    taken->bytes += size;
    return taken->bytes > taken->limit ? fail(ERR_DATA, "that is too much") : 0;
}

static void
test_data(void **state)
{
    (void)state;
    Taken taken = {.limit = 3 << 20};
    int status = -1;
    ProcSpec spec = {.shell = "head -c 3145728 /dev/zero; exit 5",
                     .stdin_fd = -1,
                     .stdout_fd = -1,
                     .on_data = take_bytes,
                     .context = &taken};
    assert_done(proc_run(&spec, &status));
    assert_int_equal(status, 5);
    assert_int_equal(taken.bytes, 3145728);
    spec.shell = "cat /dev/zero";
    assert_fails(proc_run(&spec, &status), ERR_DATA, "too much");
    taken = (Taken){.limit = 3};
    spec.shell = "echo 1234"; /* it has ended when that is seen */
    assert_fails(proc_run(&spec, &status), ERR_DATA, "too much");
}

static void
test_path_prefix(void **state)
{
    (void)state;
    AUTO(str) Str output = {0};
    int status = -1;
    assert_done(run("echo $PATH | cut -d: -f1; printenv | grep -c ^PATH=", 0, &output, &status));
    assert_string_equal(str_text(&output), "out:/opt/first|out:1|");
}

/* Dead it is also while nobody has waited for it. */
static bool
is_alive(pid_t pid)
{
    AUTO(free) char *path = mem_printf("/proc/%d/stat", (int)pid);
    char text[256] = "";
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    bool alive = fgets(text, sizeof(text), file) && !strstr(text, ") Z ");
    fclose(file);
    return alive;
}

static int
count_bytes(void *context, const void *data, size_t size)
{
    (void)data;
    *(_Atomic int64_t *)context += (int64_t)size;
    return 0;
}

/* Each piece gives it as much time again. */
static void
test_timeout_of_silence(void **state)
{
    (void)state;
    static const char *const shells[] = {
        "for i in 1 2 3 4 5 6 7 8; do echo x; sleep 0.5; done",
        "echo x; sleep 60",
    };
    for (size_t i = 0; i < COUNT_OF(shells); i++) {
        _Atomic int64_t bytes = 0;
        int status = -1;
        ProcSpec spec = {.shell = shells[i],
                         .stdin_fd = -1,
                         .stdout_fd = -1,
                         .on_data = count_bytes,
                         .context = &bytes,
                         .timeout_ms = 2000,
                         .moved = &bytes};
        int result = proc_run(&spec, &status);
        if (i == 0)
            assert_int_equal(result == 0 ? status : -1, 0);
        else
            assert_fails(result, ERR_TIMEOUT, "was ended after 2000 ms");
    }
}

static void
test_timeout_ends_the_whole_group(void **state)
{
    (void)state;
    AUTO(str) Str output = {0};
    int status = -1;
    assert_fails(run("sleep 100 & echo $!; wait", 100, &output, &status), ERR_TIMEOUT, "100 ms");
    pid_t child = (pid_t)strtol(str_text(&output) + strlen("out:"), NULL, 10);
    assert_true(child > 1);
    for (int i = 0; i < 100 && is_alive(child); i++)
        clock_pause_ms(20);
    assert_false(is_alive(child));
}

/* A hook may leave a daemon behind that holds our pipes. */
static void
test_background_child_does_not_hold_us(void **state)
{
    (void)state;
    AUTO(str) Str output = {0};
    int status = -1;
    int64_t before = clock_ms();
    assert_done(run("sleep 5 & echo started", 0, &output, &status));
    assert_true(clock_ms() - before < 4000);
    assert_int_equal(status, 0);
    assert_string_equal(str_text(&output), "out:started|");
}

static void
test_background_child_that_goes_on_writing(void **state)
{
    (void)state;
    AUTO(str) Str output = {0};
    int status = -1;
    alarm(20); /* it would last for ever */
    assert_done(
        run("echo first; for i in 1 2 3 4 5 6 7 8; do yes & done; exit 3", 0, &output, &status));
    alarm(0);
    assert_int_equal(status, 3);
    assert_true(str_starts(str_text(&output), "out:first|"));
}

static void
test_not_startable(void **state)
{
    (void)state;
    const char *const argv[] = {"/nonexistent/program", NULL};
    ProcSpec spec = {.argv = argv, .stdin_fd = -1, .stdout_fd = -1};
    int status = 0;
    assert_fails(proc_run(&spec, &status), ERR_HOOK, "/nonexistent/program");
    spec.tied = true;
    assert_fails(proc_run(&spec, &status), ERR_HOOK, "/nonexistent/program': No such file");
}

/* It is asked in the way that it knows, and what it says to that is still heard. */
static void
test_end_signal(void **state)
{
    (void)state;
    AUTO(str) Str output = {0};
    int status = 0;
    const char *const argv[] = {
        "sh", "-c", /* found through PATH */
        "trap 'echo asked; kill $!; exit' INT; echo \"$WALDEN_UNIT\"; sleep 100 & wait", NULL};
    for (int tied = 0; tied < 2; tied++) {
        AUTO(strlist) StrList env = {0};
        strlist_add(&env, "WALDEN_UNIT=ready");
        ProcSpec spec = {.argv = argv,
                         .env = &env,
                         .stdin_fd = -1,
                         .stdout_fd = -1,
                         .on_line = collect,
                         .context = &output,
                         .timeout_ms = 1000,
                         .end_signal = SIGINT,
                         .tied = tied};
        str_clear(&output);
        assert_fails(proc_run(&spec, &status), ERR_TIMEOUT, "1000 ms");
        assert_string_equal(str_text(&output), "out:ready|out:asked|");
    }
}

static void
put_line(void *context, bool is_stderr, const char *line)
{
    (void)is_stderr;
    write_text(context, line);
}

/* Killed as it may be, the one who runs it takes it along. */
static void
test_tied(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/pid", dir);
    const char *const argv[] = {"/bin/sh", "-c", "echo $$; exec sleep 100", NULL};
    ProcSpec spec = {.argv = argv,
                     .stdin_fd = -1,
                     .stdout_fd = -1,
                     .on_line = put_line,
                     .context = path,
                     .end_signal = SIGKILL,
                     .tied = true};
    pid_t runner = fork();
    if (runner == 0) {
        int status = 0;
        _exit(proc_run(&spec, &status) < 0);
    }
    struct stat st = {0};
    for (int i = 0; i < 1000 && (stat(path, &st) < 0 || st.st_size == 0); i++)
        clock_pause_ms(10);
    AUTO(str) Str text = {0};
    assert_done(file_read_text(path, 100, &text));
    pid_t pid = (pid_t)strtol(text.data, NULL, 10);
    assert_int_equal(kill(pid, 0), 0);
    kill(runner, SIGKILL);
    waitpid(runner, NULL, 0);
    for (int i = 0; i < 1000 && is_alive(pid); i++)
        clock_pause_ms(10);
    assert_false(is_alive(pid));
    scratch_remove(dir);
}

static void
test_much_output(void **state)
{
    (void)state;
    AUTO(str) Str output = {0};
    int status = -1;
    assert_done(run("i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; "
                    "echo x >&2; i=$((i+1)); done",
                    0, &output, &status));
    assert_int_equal(status, 0);
    assert_int_equal(output.length, 3000 * (strlen("out:|") + 40 + strlen("err:x|")));
}

static void
test_tail_of_stderr(void **state)
{
    (void)state;
    const char *line = "echo the reason >&2; echo >&2; printf 'what failed' >&2";
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    const char *const much[] = {"/bin/sh", "-c", "seq 1 2000 >&2", NULL};
    ProcSpec spec = {.argv = argv, .stdin_fd = -1, .stdout_fd = -1};
    int status = -1;
    for (int i = 0; i < 2; i++) {
        assert_done(proc_run(&spec, &status));
        assert_string_equal(spec.stderr_tail, "the reason; what failed");
    }
    spec.argv = much;
    assert_done(proc_run(&spec, &status));
    assert_int_equal(strlen(spec.stderr_tail), sizeof(spec.stderr_tail) - 1);
    assert_true(str_ends(spec.stderr_tail, "; 1998; 1999; 2000"));
}

static void
test_detach(void **state)
{
    (void)state;
    AUTO(free) char *own = NULL;
    const char *const nothing[] = {"/nonexistent", NULL};
    assert_done(proc_own_path(&own));
    assert_true(str_ends(own, "/proc_test"));
    assert_int_equal(access(own, X_OK), 0);
    assert_fails(proc_detach(nothing, false), ERR_IO, "start '/nonexistent'");
    char *dir = scratch_make();
    AUTO(free) char *mark = mem_printf("%s/mark", dir);
    AUTO(free) char *line = mem_printf("test $(ps -o sid= -p $$) = $$ && : > %s", mark);
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    assert_done(proc_detach(argv, false));
    for (int i = 0; i < 1000 && access(mark, F_OK) != 0; i++)
        clock_pause_ms(10);
    assert_int_equal(access(mark, F_OK), 0);
    scratch_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_and_status),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_path_prefix),
        cmocka_unit_test(test_timeout_of_silence),
        cmocka_unit_test(test_timeout_ends_the_whole_group),
        cmocka_unit_test(test_background_child_does_not_hold_us),
        cmocka_unit_test(test_background_child_that_goes_on_writing),
        cmocka_unit_test(test_not_startable),
        cmocka_unit_test(test_end_signal),
        cmocka_unit_test(test_tied),
        cmocka_unit_test(test_much_output),
        cmocka_unit_test(test_tail_of_stderr),
        cmocka_unit_test(test_detach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
