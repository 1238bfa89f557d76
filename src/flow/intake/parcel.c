/* SPDX-License-Identifier: PostgreSQL
 * Takes a tar stream from somebody who may be anybody. libarchive knows the formats; what may be in
 * the stream is decided here, and nothing is believed that was not counted or computed here. The
 * file is written as it comes and both its digests are computed on the way, since the list of
 * checksums usually comes last. libarchive and nettle are loaded, not linked: get-wal does not need
 * them. Never touches a file that has a name. */
#include "flow/intake/parcel.h"

#include "base/library.h"
#include "base/proc.h"
#include "flow/intake/sums.h"
#include "wal/name.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

enum {
    BLOCK = 256 << 10,
    SILENCE_MS = 300 * 1000, /* a sender who says nothing for so long is gone */
    OVERHEAD_MAX = 1 << 20,  /* bytes that are no contents: headers, padding */
    SMALL_MAX = 1 << 20,     /* a history file, a backup label */
    LIST_MAX = 4096,         /* a list of checksums */
    END_MARK = 1024          /* two blocks of zeros */
};

#define ARCHIVE_FUNCTIONS(X)                                                                       \
    X(archive_entry_filetype)                                                                      \
    X(archive_entry_hardlink)                                                                      \
    X(archive_entry_mtime)                                                                         \
    X(archive_entry_mtime_nsec)                                                                    \
    X(archive_entry_pathname)                                                                      \
    X(archive_entry_size)                                                                          \
    X(archive_entry_size_is_set)                                                                   \
    X(archive_entry_sparse_count)                                                                  \
    X(archive_error_string)                                                                        \
    X(archive_filter_bytes)                                                                        \
    X(archive_read_data_block)                                                                     \
    X(archive_read_free)                                                                           \
    X(archive_read_new)                                                                            \
    X(archive_read_next_header)                                                                    \
    X(archive_read_open)                                                                           \
    X(archive_read_support_format_tar)
#define FIELD(name) __typeof__(name) *name;
typedef struct Libraries {
    ARCHIVE_FUNCTIONS(FIELD)
} Libraries;

/* One checksum that the sender told */
typedef struct Told {
    bool given;
    char digest[SUM_HEX_ROOM];
    char name[WAL_NAME_ROOM]; /* of the file that it is for */
} Told;

typedef struct Reception {
    Libraries call;
    struct archive *archive;
    Parcel *parcel;
    const char *directory;
    Told told[ALGORITHMS];
    char digests[ALGORITHMS][SUM_HEX_ROOM]; /* of what came */
    int fd;
    void *buffer;
    int64_t total, limit; /* bytes of the stream: that came, and that may come as far as we know */
    int64_t content_end;  /* behind the last byte of them that is not zero */
    bool broken;          /* the stream could not be read, and the error is recorded */
} Reception;

static int
load(Libraries *call)
{
#define SYMBOL(function) {#function, &call->function},
    const LibrarySymbol symbols[] = {ARCHIVE_FUNCTIONS(SYMBOL)};
    return library_load("libarchive.so.13", "libarchive13", symbols, COUNT_OF(symbols));
}

/* The next bytes of the stream; 0 at its end. */
static int
receive_block(Reception *self, size_t *ret_got)
{
    ssize_t got = 0;
    do {
        struct pollfd wait = {.fd = self->fd, .events = POLLIN};
        int ready = stop_poll(&wait, 1, SILENCE_MS);
        TRY(stop_check());
        if (ready == 0)
            return fail(ERR_TIMEOUT, "nothing came on standard input for %d s", SILENCE_MS / 1000);
        got = ready < 0 ? -1 : read(self->fd, self->buffer, BLOCK);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < 0)
        return fail_errno("read standard input");
    const uint8_t *bytes = self->buffer;
    for (ssize_t i = got; i > 0; i--)
        if (bytes[i - 1] != 0) {
            self->content_end = self->total + i;
            break;
        }
    self->total += got;
    if (self->total > self->limit)
        return fail(ERR_DATA, "there is more in the stream than one WAL file and its checksum");
    *ret_got = (size_t)got;
    return 0;
}

/* For libarchive */
static la_ssize_t
on_read(struct archive *archive, void *context, const void **ret_data)
{
    Reception *self = context;
    size_t got = 0;
    (void)archive;
    self->broken = self->broken || receive_block(self, &got) < 0;
    *ret_data = self->buffer;
    return self->broken ? ARCHIVE_FATAL : (la_ssize_t)got;
}

static int
fail_format(const Reception *self)
{
    if (self->broken) /* that was recorded already */
        return -1;
    if (self->total == 0)
        return fail(ERR_DATA, "nothing came on standard input");
    const char *reason = self->call.archive_error_string(self->archive);
    return fail(ERR_DATA, "what came on standard input is no whole tar stream: %s",
                reason ? reason : "it is damaged");
}

/* Contents of the present member, piece by piece, exactly `size` bytes of them. */
static int
receive_contents(Reception *self, int64_t size,
                 int (*take_piece)(void *context, const void *data, size_t size), void *context)
{
    int64_t done = 0;
    for (;;) {
        const void *data = NULL;
        size_t got = 0;
        la_int64_t offset = 0;
        int answer = self->call.archive_read_data_block(self->archive, &data, &got, &offset);
        if (answer == ARCHIVE_EOF)
            break;
        if (answer != ARCHIVE_OK)
            return fail_format(self);
        if (got == 0)
            continue;
        if (offset != done || (int64_t)got > size - done)
            return fail(ERR_DATA, "a member of the tar stream is not as long as its header says");
        TRY(take_piece(context, data, got));
        done += (int64_t)got;
    }
    if (done != size)
        return fail(ERR_DATA, "a member of the tar stream is not as long as its header says");
    return 0;
}

/* Where the contents of the WAL file go */
typedef struct Target {
    Sums sums;
    int fd;
} Target;

static int
write_piece(void *context, const void *data, size_t size)
{
    Target *target = context;
    sums_push(&target->sums, data, size);
    return file_write(target->fd, data, size, "the received file");
}

static int
receive_wal(Reception *self, struct archive_entry *entry, const char *name)
{
    const Libraries *call = &self->call;
    Parcel *parcel = self->parcel;
    int64_t size = call->archive_entry_size(entry);
    WalKind kind = wal_kind(name);
    /* What does not compress becomes a little larger by it. */
    int64_t most =
        kind == WAL_SEGMENT || kind == WAL_PARTIAL ? WAL_SEGMENT_MAX + SMALL_MAX : SMALL_MAX;
    if (parcel->name[0])
        return fail(ERR_DATA, "the tar stream holds more than one WAL file: '%s' and '%s'",
                    parcel->name, name);
    if (size < 0 || size > most)
        return fail(ERR_DATA, "'%s' is %lld bytes long, which no such file is", name,
                    (long long)size);
    self->limit += size;
    snprintf(parcel->name, sizeof(parcel->name), "%s", name);
    TRY(atomic_open(self->directory, name, 0666, &parcel->file));
    Target target = {.fd = parcel->file.fd};
    TRY(sums_begin(&target.sums));
    for (int i = 0; i < ALGORITHMS; i++) /* which list comes is not known yet */
        target.sums.wanted[i] = true;
    TRY(wrap(receive_contents(self, size, write_piece, &target), "'%s'", name));
    sums_finish(&target.sums, self->digests);

    struct timespec time = {call->archive_entry_mtime(entry),
                            call->archive_entry_mtime_nsec(entry)};
    const struct timespec times[] = {time, time};
    return futimens(parcel->file.fd, times) < 0 ? fail_errno("set the time of '%s'", name) : 0;
}

static int
append_piece(void *context, const void *data, size_t size)
{
    str_append_part(context, data, size);
    return 0;
}

static const char *
without_dot(const char *path)
{
    return str_starts(path, "./") ? path + 2 : path;
}

/* "<digest> *<name>" or "<digest>  <name>", one line */
static bool
parse_list(char *text, size_t length, size_t digest_size, Told *ret_told)
{
    size_t digits = 2 * digest_size;
    if (!text)
        return false;
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        text[--length] = '\0';
    if (strlen(text) != length || length <= digits + 2 ||
        strspn(text, "0123456789abcdef") != digits || text[digits] != ' ' ||
        (text[digits + 1] != '*' && text[digits + 1] != ' '))
        return false;
    const char *name = without_dot(text + digits + 2);
    if (wal_kind(name) == WAL_NONE)
        return false;
    ret_told->given = true;
    snprintf(ret_told->digest, sizeof(ret_told->digest), "%.*s", (int)digits, text);
    snprintf(ret_told->name, sizeof(ret_told->name), "%s", name);
    return true;
}

static int
receive_list(Reception *self, struct archive_entry *entry, enum Algorithm algorithm)
{
    const char *list = sum_kinds[algorithm].list;
    int64_t size = self->call.archive_entry_size(entry);
    AUTO(str) Str text = {0};
    if (self->told[algorithm].given)
        return fail(ERR_DATA, "the tar stream holds '%s' more than once", list);
    if (size <= 0 || size > LIST_MAX)
        return fail(ERR_DATA, "'%s' is %lld bytes long", list, (long long)size);
    TRY(wrap(receive_contents(self, size, append_piece, &text), "'%s'", list));
    if (!parse_list(text.data, text.length, sum_kinds[algorithm].size, &self->told[algorithm]))
        return fail(ERR_DATA, "'%s' does not hold the checksum of one WAL file and nothing else",
                    list);
    return 0;
}

static int
receive_member(Reception *self, struct archive_entry *entry)
{
    const Libraries *call = &self->call;
    const char *path = call->archive_entry_pathname(entry);
    if (!path)
        return fail(ERR_DATA, "a member of the tar stream has no name that can be read");
    const char *name = without_dot(path);
    if (call->archive_entry_filetype(entry) != AE_IFREG || call->archive_entry_hardlink(entry) ||
        call->archive_entry_sparse_count(entry) > 0 || !call->archive_entry_size_is_set(entry))
        return fail(ERR_DATA, "'%.100s' in the tar stream is not a plain regular file", name);
    for (int i = 0; i < ALGORITHMS; i++)
        if (strcmp(name, sum_kinds[i].list) == 0)
            return receive_list(self, entry, i);
    if (wal_kind(name) == WAL_NONE)
        return fail(ERR_DATA, "'%.100s' in the tar stream is not the name of a WAL file", name);
    char copy[WAL_NAME_ROOM]; /* a WAL file's name fits */
    snprintf(copy, sizeof(copy), "%s", name);
    return receive_wal(self, entry, copy);
}

static int
receive_members(Reception *self)
{
    const Libraries *call = &self->call;
    if (call->archive_read_support_format_tar(self->archive) != ARCHIVE_OK ||
        call->archive_read_open(self->archive, self, NULL, on_read, NULL) != ARCHIVE_OK)
        return fail_format(self);
    for (;;) {
        struct archive_entry *entry = NULL;
        int answer = call->archive_read_next_header(self->archive, &entry);
        if (answer == ARCHIVE_EOF)
            return 0;
        /* A warning: the owner's name cannot be shown in our locale. */
        if (answer != ARCHIVE_OK && answer != ARCHIVE_WARN)
            return fail_format(self);
        TRY(receive_member(self, entry));
    }
}

/* Behind the end mark, which libarchive does not insist on, there may be zeros only. */
static int
receive_end(Reception *self)
{
    int64_t understood = self->call.archive_filter_bytes(self->archive, 0);
    size_t got = 0;
    do
        TRY(receive_block(self, &got));
    while (got > 0);
    if (self->total == 0)
        return fail_format(self);
    if (self->content_end > understood)
        return fail(ERR_DATA, "there is something behind the end of the tar stream");
    if (self->total - self->content_end < END_MARK)
        return fail(ERR_DATA, "the tar stream ends too early");
    return 0;
}

static int
check_digests(const Reception *self)
{
    const char *name = self->parcel->name;
    bool told = false;
    if (!name[0])
        return fail(ERR_DATA, "there is no WAL file in the tar stream");
    for (int i = 0; i < ALGORITHMS; i++) {
        if (!self->told[i].given)
            continue;
        told = true;
        if (strcmp(self->told[i].name, name) != 0)
            return fail(ERR_DATA, "'%s' is of '%s', but the file is '%s'", sum_kinds[i].list,
                        self->told[i].name, name);
        if (strcmp(self->told[i].digest, self->digests[i]) != 0)
            return fail(ERR_DATA, "'%s' is damaged: its checksum is %s, but %s says %s", name,
                        self->digests[i], sum_kinds[i].list, self->told[i].digest);
    }
    return told ? 0 : fail(ERR_DATA, "there is no checksum of '%s' in the tar stream", name);
}

int
parcel_receive(int fd, const char *directory, Parcel *ret_parcel)
{
    AUTO(parcel) Parcel parcel = PARCEL_NONE;
    AUTO(free) void *buffer = mem_alloc(BLOCK);
    Reception self = {.parcel = &parcel,
                      .directory = directory,
                      .fd = fd,
                      .buffer = buffer,
                      .limit = OVERHEAD_MAX};
    TRY(load(&self.call));
    self.archive = self.call.archive_read_new();
    if (!self.archive)
        return fail(ERR_IO, "libarchive has no memory left");
    int result = receive_members(&self);
    if (result == 0)
        result = receive_end(&self);
    self.call.archive_read_free(self.archive);
    TRY(result);
    TRY(check_digests(&self));
    *ret_parcel = parcel;
    parcel = PARCEL_NONE;
    return 0;
}

void
parcel_done(Parcel *parcel)
{
    atomic_close(&parcel->file);
}
