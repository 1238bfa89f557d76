/* SPDX-License-Identifier: PostgreSQL
 * How a client reaches the archive's host: by ssh, with each word of the command quoted for the
 * shell there. */
#include "command/client.h"

/* After this time without a byte ssh is ended, whatever hangs; PostgreSQL asks again by itself. */
enum { SILENCE_MS = 10 * 60 * 1000 };

static void
append_quoted(Str *line, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_=./:@%+,";
    str_append(line, line->length ? " " : "");
    if (*word && word[strspn(word, plain)] == '\0') {
        str_append(line, word);
        return;
    }
    str_append(line, "'");
    for (; *word; word++)
        if (*word == '\'')
            str_append(line, "'\\''");
        else
            str_append_part(line, word, 1);
    str_append(line, "'");
}

static void
pass_on(void *context, bool is_stderr, const char *line)
{
    (void)context;
    fprintf(is_stderr ? stderr : stdout, "%s\n", line);
}

/* What comes is a sign of life, as is what goes. */
typedef struct Arrival {
    const ClientCall *call;
    _Atomic int64_t bytes;
} Arrival;

static int
take_data(void *context, const void *data, size_t size)
{
    Arrival *arrival = context;
    arrival->bytes += (int64_t)size;
    return arrival->call->on_data(arrival->call->context, data, size);
}

int
client_call(const ClientTarget *target, const ClientCall *call, int *ret_status)
{
    AUTO(str) Str command = {0};
    AUTO(free) char *where = mem_printf("%s@%s", target->user, target->host);
    append_quoted(&command, "barman");
    if (target->config) {
        AUTO(free) char *config = mem_printf("--config=%s", target->config);
        append_quoted(&command, config);
    }
    for (const char *const *word = call->words; *word; word++)
        append_quoted(&command, *word);
    const char *argv[] = {"ssh", "-q", "-T", NULL, NULL, NULL, NULL, NULL};
    size_t count = 3;
    if (target->port) {
        argv[count++] = "-p";
        argv[count++] = target->port;
    }
    argv[count++] = where;
    argv[count++] = str_text(&command);
    Arrival arrival = {.call = call};
    ProcSpec spec = {.argv = argv,
                     .stdin_fd = call->stdin_fd,
                     .stdout_fd = -1,
                     .on_line = call->on_line ? call->on_line : pass_on,
                     .on_data = call->on_data ? take_data : NULL,
                     .context = call->on_data ? &arrival : call->context,
                     .timeout_ms = SILENCE_MS,
                     .moved = call->sent ? call->sent : &arrival.bytes,
                     .stop = call->stop};
    return proc_run(&spec, ret_status);
}

int
client_fail(int code)
{
    const Error *error = error_last();
    fprintf(stderr, "ERROR: %s\n", error->text);
    if (error->hint[0])
        fprintf(stderr, "HINT: %s\n", error->hint);
    return code;
}
