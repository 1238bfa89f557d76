/* SPDX-License-Identifier: PostgreSQL
 * barman-wal-archive: sends one WAL file to put-wal on the archive's host, with Barman's options
 * and exit codes. For archive_command: never a code above 125, at which PostgreSQL's archiver
 * process would end. */
#include "base/file.h"
#include "command/client.h"
#include "command/options.h"
#include "flow/intake/parcel.h"
#include "flow/recode/codec.h"
#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

enum { EXIT_CONNECTION = 3, BLOCK = 256 << 10 };

enum Option {
    USER,
    PORT,
    CONFIG,
    TEST,
    MD5SUM,
    GZIP,
    BZIP2,
    XZ,
    SNAPPY,
    ZSTD,
    LZ4,
    LEVEL,
    VERSION,
    HELP,
    OPTIONS
};

static const CommandOption options[] = {
    [USER] = {"user", "U", "USER", "account on the archive's host (barman)"},
    [PORT] = {"port", "", "PORT", "of its ssh server"},
    [CONFIG] = {"config", "c", "FILE", "configuration file on the archive's host"},
    [TEST] = {"test", "t", NULL, "only check that WAL could be sent"},
    [MD5SUM] = {"md5", "", NULL, "send an MD5 checksum, for Barman before 3.5"},
    [GZIP] = {"gzip", "z", NULL, "compress what is sent: gzip"},
    [BZIP2] = {"bzip2", "j", NULL, "bzip2"},
    [XZ] = {"xz", "", NULL, "xz"},
    [SNAPPY] = {"snappy", "", NULL, "snappy"},
    [ZSTD] = {"zstd", "", NULL, "zstd"},
    [LZ4] = {"lz4", "", NULL, "lz4"},
    [LEVEL] = {"compression-level", "", "LEVEL", "low, medium, high or a number (medium)"},
    [VERSION] = {"version", "V", NULL, "print the version and exit"},
    [HELP] = {"help", "h", NULL, "print this and exit"},
};

/* What the stream is made of: runs beside ssh, which takes it. */
typedef struct Sender {
    ParcelSource source;
    int to_fd;
    int result;
    Error error;
} Sender;

static void *
send_stream(void *context)
{
    Sender *sender = context;
    sender->result = parcel_send(&sender->source, sender->to_fd);
    if (sender->result < 0)
        sender->error = *error_last();
    close(sender->to_fd); /* the end of the stream */
    return NULL;
}

static int
call_with_stream(const ClientTarget *target, const char *server, const ParcelSource *source,
                 int *ret_status)
{
    const char *const words[] = {"put-wal", server, NULL};
    int pipes[2];
    pthread_t thread;
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return fail_errno("make a pipe");
    _Atomic int64_t sent = 0;
    Sender sender = {.source = *source, .to_fd = pipes[1]};
    sender.source.sent = &sent;
    errno = pthread_create(&thread, NULL, send_stream, &sender);
    if (errno) {
        fail_errno("start a thread");
        close(pipes[0]);
        close(pipes[1]);
        return -1;
    }
    const ClientCall call = {.words = words, .stdin_fd = pipes[0], .sent = &sent};
    int status = 0, result = client_call(target, &call, &status);
    Error error = *error_last();
    close(pipes[0]); /* who still writes has nobody to write to any more */
    pthread_join(thread, NULL);
    if (result < 0) {
        error_restore(&error);
        return result;
    }
    /* That it broke off is told by ssh, with the reason. */
    if (sender.result < 0 && (status == 0 || sender.error.os_error != EPIPE)) {
        error_restore(&sender.error);
        return -1;
    }
    *ret_status = status;
    return 0;
}

static int
write_piece(void *context, const void *data, size_t size)
{
    return file_write(*(int *)context, data, size, "the compressed file");
}

/* The compressed contents, from the start, as the source: its size has to be told before them. */
static int
compress(ParcelSource *source, const CodecClass *class, int level, int to_fd)
{
    AUTO(coder) Coder *coder = NULL;
    AUTO(free) char *buffer = mem_alloc(BLOCK);
    size_t got = 0;
    TRY(compressor_new(class, level, &coder));
    TRY(coder_begin(coder, source->size, write_piece, &to_fd));
    do {
        TRY(file_read(source->fd, buffer, BLOCK, source->name, &got));
        TRY(coder_push(coder, buffer, got));
    } while (got == BLOCK);
    TRY(coder_finish(coder));
    off_t size = lseek(to_fd, 0, SEEK_CUR);
    if (size < 0 || lseek(to_fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in the compressed file");
    source->fd = to_fd;
    source->size = size;
    return 0;
}

static int
send_file(const ClientTarget *target, const char *server, const char *path,
          const char *const *given, int *ret_status)
{
    AUTO(atomic) AtomicFile compressed = ATOMIC_NONE; /* never published */
    const char *slash = strrchr(path, '/'), *codec = NULL;
    struct stat st;
    int level = 0;
    for (int i = GZIP; i <= LZ4; i++)
        codec = given[i] ? options[i].name : codec;
    const CodecClass *class = codec ? codec_find(codec) : NULL;
    if (class && !codec_level(class, given[LEVEL] ? given[LEVEL] : "medium", &level))
        return fail(ERR_USAGE, "--compression-level '%s' is not known", given[LEVEL]);
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_errno("open '%s'", path);
    if (S_ISDIR(st.st_mode))
        return fail(ERR_USAGE, "WAL_PATH cannot be a directory: %s", path);
    ParcelSource source = {.fd = fd,
                           .size = st.st_size,
                           .name = slash ? slash + 1 : path,
                           .mtime = st.st_mtim,
                           .md5 = given[MD5SUM] != NULL};
    if (class) {
        const char *directory = getenv("TMPDIR");
        TRY(atomic_open(directory ? directory : "/tmp", source.name, 0600, &compressed));
        TRY(compress(&source, class, level, compressed.fd));
    }
    return call_with_stream(target, server, &source, ret_status);
}

static int
exit_code(int status)
{
    if (status == EXIT_SSH) {
        fail(ERR_IO, "Connection problem with ssh");
        return client_fail(EXIT_CONNECTION);
    }
    if (status == 0)
        return EXIT_DONE;
    fail(ERR_IO, "Remote 'barman put-wal' command has failed!");
    return client_fail(status > EXIT_HIGHEST ? EXIT_CANNOT : status);
}

static int
print_help(void)
{
    puts("Usage: barman-wal-archive [OPTIONS] BARMAN_HOST SERVER_NAME WAL_PATH\n\n"
         "Sends a WAL file by ssh to the archive on another host, for archive_command:\n"
         "    archive_command = 'barman-wal-archive BARMAN_HOST SERVER_NAME %p'\n\n"
         "Exit codes: 0 it is durable there; 2 it could not be sent; 3 no connection by ssh;\n"
         "else what put-wal answered there.\n\nOptions:");
    options_print(options, OPTIONS);
    return EXIT_DONE;
}

int
client_wal_archive(int argc, char **argv)
{
    const char *given[OPTIONS_MAX];
    int first = 0, status = 0;
    int result = options_parse(argc, argv, options, OPTIONS, false, given, &first);
    if (result == 0 && given[HELP])
        return print_help();
    if (result == 0 && given[VERSION])
        return puts("barman-wal-archive (Walden) " WALDEN_VERSION) < 0 ? EXIT_FAILED : EXIT_DONE;
    if (result == 0 && argc - first != 3)
        result = fail(ERR_USAGE, "it needs BARMAN_HOST, SERVER_NAME and WAL_PATH");
    if (result < 0)
        return client_fail(EXIT_USAGE);
    ClientTarget target = {.host = argv[first],
                           .user = given[USER] ? given[USER] : "barman",
                           .port = given[PORT],
                           .config = given[CONFIG]};
    const char *server = argv[first + 1], *path = argv[first + 2];
    stop_on_signals();
    if (given[TEST]) {
        const char *const words[] = {"put-wal", server, "--test", NULL};
        const ClientCall call = {.words = words, .stdin_fd = -1};
        result = client_call(&target, &call, &status);
    } else {
        result = send_file(&target, server, path, given, &status);
    }
    return result < 0 ? client_fail(EXIT_CANNOT) : exit_code(status);
}
