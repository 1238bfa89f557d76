/* SPDX-License-Identifier: PostgreSQL
 * Coders push; comparing two files needs both to be pulled. So a reader lets the coder (or the
 * site's program) run in a thread of its own and reads what it says from a pipe, which bounds the
 * memory whatever the contents expand to. Plain files are read as they are. */
#include "flow/recode/reader.h"

#include "base/file.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

enum { BLOCK = 128 << 10 };

struct Reader {
    int fd; /* to read from: the file, or our end of the pipe */
    bool piped;
    bool joined;
    pthread_t thread;
    /* the thread's */
    int source_fd, pipe_end;
    const CodecClass *class;
    const CustomCodec *custom;
    bool compresses;
    int level;
    int result;
    Error error;
};

int
decode_file(int fd, const CodecClass *class, const char *name, Sink *sink, void *context)
{
    AUTO(coder) Coder *coder = NULL;
    AUTO(free) char *buffer = mem_alloc(BLOCK);
    size_t got = 0;
    if (!class)
        class = codec_find("none");
    TRY(decompressor_new(class, &coder));
    TRY(coder_begin(coder, -1, sink, context));
    do {
        TRY(stop_check());
        TRY(file_read(fd, buffer, BLOCK, name, &got));
        TRY(coder_push(coder, buffer, got));
    } while (got == BLOCK);
    return coder_finish(coder);
}

static bool
is_custom(const CodecClass *class)
{
    return codec_is_program(class) && strcmp(class->name, "custom") == 0;
}

static int
pipe_sink(void *context, const void *data, size_t size)
{
    return file_write(*(int *)context, data, size, "pipe");
}

static void *
run_decoder(void *argument)
{
    Reader *reader = argument;
    if (reader->compresses || is_custom(reader->class))
        reader->result = program_recode(reader->class, reader->compresses, reader->level,
                                        reader->custom, reader->source_fd, reader->pipe_end);
    else
        reader->result =
            decode_file(reader->source_fd,
                        reader->class->recognised_as ? reader->class->recognised_as : reader->class,
                        "compressed file", pipe_sink, &reader->pipe_end);
    if (reader->result < 0)
        reader->error = *error_last();
    close(reader->pipe_end);
    return NULL;
}

static int
start_decoder(Reader *reader)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail_errno("make a pipe");
    (void)fcntl(ends[1], F_SETPIPE_SZ, 1 << 20); /* fewer switches; 64 KiB will do as well */
    reader->fd = ends[0];
    reader->pipe_end = ends[1];
    /* All signals blocked there: SIGPIPE when we close early becomes EPIPE, the rest is for main.
     */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = pthread_create(&reader->thread, NULL, run_decoder, reader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errno) {
        fail_errno("start a thread");
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    reader->piped = true;
    return 0;
}

/* Takes over the reader. */
static int
start(Reader *reader, bool decoder, Reader **ret_reader)
{
    int result = decoder ? start_decoder(reader) : 0;
    if (result < 0)
        free(reader);
    else
        *ret_reader = reader;
    return result;
}

int
reader_open(int fd, const CodecClass *class, const CustomCodec *custom, Reader **ret_reader)
{
    Reader *reader = mem_alloc(sizeof(*reader));
    reader->fd = reader->source_fd = fd;
    reader->class = class;
    reader->custom = custom;
    return start(reader, class && strcmp(class->name, "none") != 0, ret_reader);
}

int
reader_open_compressing(int fd, const CodecClass *class, int level, const CustomCodec *custom,
                        Reader **ret_reader)
{
    Reader *reader = mem_alloc(sizeof(*reader));
    reader->source_fd = fd;
    reader->class = class;
    reader->custom = custom;
    reader->compresses = true;
    reader->level = level;
    return start(reader, true, ret_reader);
}

static void
join(Reader *reader)
{
    if (reader->piped && !reader->joined)
        pthread_join(reader->thread, NULL);
    reader->joined = true;
}

int
reader_read(Reader *reader, void *buffer, size_t size, const char *name, size_t *ret_got)
{
    size_t got = 0;
    TRY(file_read(reader->fd, buffer, size, name, &got));
    if (got < size && reader->piped) {
        join(reader);
        if (reader->result < 0)
            error_restore(&reader->error);
        TRY(wrap(reader->result, "read '%s'", name));
    }
    *ret_got = got;
    return 0;
}

void
reader_close(Reader *reader)
{
    if (!reader)
        return;
    if (reader->piped)
        close(reader->fd); /* ends the decoder, should it still write */
    join(reader);
    free(reader);
}

int
decode_any(int fd, const CodecClass *class, const CustomCodec *custom, const char *name, Sink *sink,
           void *context)
{
    if (!class || !is_custom(class))
        return decode_file(fd, class, name, sink, context);
    AUTO(reader) Reader *reader = NULL;
    AUTO(free) char *block = mem_alloc(BLOCK);
    size_t got = 0;
    TRY(reader_open(fd, class, custom, &reader));
    do {
        TRY(reader_read(reader, block, BLOCK, name, &got));
        TRY(sink(context, block, got));
    } while (got == BLOCK);
    return 0;
}
