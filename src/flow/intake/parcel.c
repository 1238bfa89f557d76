/* SPDX-License-Identifier: PostgreSQL
 * Takes a tar stream from somebody who may be anybody. What may be in the stream is decided here,
 * and nothing is believed that was not counted or computed here. The file is written as it comes
 * and its digest is computed on the way, since the list of checksums usually comes last; an MD5
 * only when a list of those has come. Never touches a file that has a name. */
#include "flow/intake/parcel.h"

#include "base/proc.h"
#include "flow/intake/sums.h"
#include "flow/intake/tar.h"
#include "wal/name.h"

#include <errno.h>

enum {
    BLOCK = 256 << 10,
    SILENCE_MS = 300 * 1000, /* a sender who says nothing for so long is gone */
    OVERHEAD_MAX = 1 << 20,  /* bytes that are no contents: headers, padding */
    SMALL_MAX = 1 << 20,     /* a history file, a backup label */
    LIST_MAX = 4096,         /* a list of checksums */
    EXTENSION_MAX = 32 << 10,
    END_MARK = 2 * TAR_BLOCK /* of zeros */
};

/* One checksum that the sender told */
typedef struct Told {
    bool given;
    char digest[SUM_HEX_ROOM];
    char name[WAL_NAME_ROOM]; /* of the file that it is for */
} Told;

typedef struct Reception {
    Parcel *parcel;
    const char *directory;
    Told told[ALGORITHMS];
    char digests[ALGORITHMS][SUM_HEX_ROOM]; /* of what came */
    int fd;
    char *buffer;
    size_t at, end;       /* what is left of it */
    int64_t taken;        /* bytes of the stream that are understood */
    int64_t total, limit; /* bytes of the stream: that came, and that may come as far as we know */
    int64_t content_end;  /* behind the last byte of them that is not zero */
} Reception;

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
    const char *bytes = self->buffer;
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

/* The next bytes, at most so many; none at the end of the stream. */
static int
next_bytes(Reception *self, size_t most, const char **ret_data, size_t *ret_got)
{
    if (self->at == self->end) {
        self->at = self->end = 0;
        TRY(receive_block(self, &self->end));
    }
    size_t left = self->end - self->at;
    *ret_got = left < most ? left : most;
    *ret_data = self->buffer + self->at;
    self->at += *ret_got;
    self->taken += (int64_t)*ret_got;
    return 0;
}

/* The next `size` bytes, piece by piece */
static int
read_bytes(Reception *self, int64_t size, Sink *sink, void *context)
{
    while (size > 0) {
        const char *data = NULL;
        size_t got = 0;
        TRY(next_bytes(self, size < BLOCK ? (size_t)size : BLOCK, &data, &got));
        if (got == 0)
            return fail(ERR_DATA, "the tar stream ends too early");
        TRY(sink(context, data, got));
        size -= (int64_t)got;
    }
    return 0;
}

static int
drop_piece(void *context, const void *data, size_t size)
{
    (void)context, (void)data, (void)size;
    return 0;
}

/* Contents of a member, and their padding */
static int
receive_contents(Reception *self, int64_t size, Sink *sink, void *context)
{
    TRY(read_bytes(self, size, sink, context));
    return read_bytes(self, (int64_t)tar_padding(size), drop_piece, NULL);
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
receive_wal(Reception *self, const TarHeader *header, const char *name)
{
    Parcel *parcel = self->parcel;
    int64_t size = header->size;
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
    target.sums.wanted[SHA256] = true;
    TRY(wrap(receive_contents(self, size, write_piece, &target), "'%s'", name));
    sums_finish(&target.sums, self->digests);

    const struct timespec times[] = {header->mtime, header->mtime};
    return futimens(parcel->file.fd, times) < 0 ? fail_errno("set the time of '%s'", name) : 0;
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
receive_list(Reception *self, int64_t size, enum Algorithm algorithm)
{
    const char *list = sum_kinds[algorithm].list;
    AUTO(str) Str text = {0};
    if (self->told[algorithm].given)
        return fail(ERR_DATA, "the tar stream holds '%s' more than once", list);
    if (size <= 0 || size > LIST_MAX)
        return fail(ERR_DATA, "'%s' is %lld bytes long", list, (long long)size);
    TRY(wrap(receive_contents(self, size, str_sink, &text), "'%s'", list));
    if (!parse_list(text.data, text.length, sum_kinds[algorithm].size, &self->told[algorithm]))
        return fail(ERR_DATA, "'%s' does not hold the checksum of one WAL file and nothing else",
                    list);
    return 0;
}

static int
receive_member(Reception *self, const TarHeader *header)
{
    const char *name = without_dot(header->name);
    if (header->type != TAR_REGULAR)
        return fail(ERR_DATA, "'%.100s' in the tar stream is not a plain regular file", name);
    for (int i = 0; i < ALGORITHMS; i++)
        if (strcmp(name, sum_kinds[i].list) == 0)
            return receive_list(self, header->size, i);
    if (wal_kind(name) == WAL_NONE)
        return fail(ERR_DATA, "'%.100s' in the tar stream is not the name of a WAL file", name);
    return receive_wal(self, header, name);
}

/* TAR_END at the end of the stream */
static int
receive_header(Reception *self, TarHeader *ret_header)
{
    AUTO(str) Str block = {0};
    TRY(read_bytes(self, TAR_BLOCK, str_sink, &block));
    return wrap(tar_header_parse(block.data, ret_header),
                "what came on standard input is no whole tar stream");
}

/* What belongs to the member that follows */
static int
receive_extension(Reception *self, int64_t size, Str *ret_records)
{
    if (size <= 0 || size > EXTENSION_MAX || ret_records->length)
        return fail(ERR_DATA, "an extended header of the tar stream is damaged");
    return receive_contents(self, size, str_sink, ret_records);
}

static int
receive_members(Reception *self)
{
    AUTO(str) Str records = {0};
    TarHeader header;
    int result = 0;
    while ((result = receive_header(self, &header)) == 0) {
        if (header.type == TAR_EXTENSION) {
            TRY(receive_extension(self, header.size, &records));
        } else if (header.type == TAR_GLOBAL && header.size <= EXTENSION_MAX) {
            TRY(receive_contents(self, header.size, drop_piece, NULL));
        } else {
            TRY(tar_extension_apply(str_text(&records), records.length, &header));
            TRY(receive_member(self, &header));
            str_clear(&records);
        }
    }
    return result == TAR_END && !records.length ? 0
           : result < 0                         ? result
                        : fail(ERR_DATA, "an extended header of the tar stream is damaged");
}

/* Behind the first block of zeros there may be zeros only. */
static int
receive_end(Reception *self)
{
    size_t got = 0;
    do
        TRY(receive_block(self, &got));
    while (got > 0);
    if (self->content_end > self->taken)
        return fail(ERR_DATA, "there is something behind the end of the tar stream");
    if (self->total - self->taken < END_MARK - TAR_BLOCK)
        return fail(ERR_DATA, "the tar stream ends too early");
    return 0;
}

/* For senders of old, who told nothing else */
static int
compute_md5(Reception *self)
{
    int fd = self->parcel->file.fd;
    char texts[ALGORITHMS][SUM_HEX_ROOM];
    Sums sums;
    size_t got = 0;
    TRY(sums_begin(&sums));
    sums.wanted[MD5] = true;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", self->parcel->name);
    do {
        TRY(file_read(fd, self->buffer, BLOCK, self->parcel->name, &got));
        sums_push(&sums, self->buffer, got);
    } while (got == BLOCK);
    sums_finish(&sums, texts);
    memcpy(self->digests[MD5], texts[MD5], SUM_HEX_ROOM);
    return 0;
}

static int
check_digests(Reception *self)
{
    const char *name = self->parcel->name;
    bool told = false;
    if (!name[0])
        return fail(ERR_DATA, "there is no WAL file in the tar stream");
    if (self->told[MD5].given)
        TRY(compute_md5(self));
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
    AUTO(free) char *buffer = mem_alloc(BLOCK);
    Reception self = {.parcel = &parcel,
                      .directory = directory,
                      .fd = fd,
                      .buffer = buffer,
                      .limit = OVERHEAD_MAX};
    int result = receive_members(&self);
    if (result < 0 && self.total == 0 && error_last()->class == ERR_DATA)
        return fail(ERR_DATA, "nothing came on standard input");
    TRY(result);
    TRY(receive_end(&self));
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
