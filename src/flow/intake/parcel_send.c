/* SPDX-License-Identifier: PostgreSQL
 * The other end of parcel.c: one file and its checksum as a tar stream, read once. The list comes
 * last, because only then is the checksum known. */
#include "base/library.h"
#include "flow/intake/parcel.h"
#include "flow/intake/sums.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

/* The stream goes out in large pieces, and the last one as tar does it. */
enum { BLOCK = 256 << 10, LAST_PIECE = 10240, PIECE = 24 * LAST_PIECE };

#define ARCHIVE_FUNCTIONS(X)                                                                       \
    X(archive_entry_clear)                                                                         \
    X(archive_entry_free)                                                                          \
    X(archive_entry_new)                                                                           \
    X(archive_entry_set_filetype)                                                                  \
    X(archive_entry_set_mtime)                                                                     \
    X(archive_entry_set_pathname)                                                                  \
    X(archive_entry_set_perm)                                                                      \
    X(archive_entry_set_size)                                                                      \
    X(archive_error_string)                                                                        \
    X(archive_write_close)                                                                         \
    X(archive_write_data)                                                                          \
    X(archive_write_free)                                                                          \
    X(archive_write_header)                                                                        \
    X(archive_write_new)                                                                           \
    X(archive_write_open)                                                                          \
    X(archive_write_set_bytes_in_last_block)                                                       \
    X(archive_write_set_bytes_per_block)                                                           \
    X(archive_write_set_format_pax)
#define FIELD(name) __typeof__(name) *name;

typedef struct Sending {
    ARCHIVE_FUNCTIONS(FIELD)
    struct archive *archive;
    struct archive_entry *entry;
    int to_fd;
    bool broken; /* it failed, and the error is recorded: nothing is written any more */
} Sending;

/* For libarchive, which must not hear of a failure: it would not free its buffer then. */
static la_ssize_t
on_write(struct archive *archive, void *context, const void *data, size_t size)
{
    Sending *self = context;
    (void)archive;
    self->broken = self->broken || file_write(self->to_fd, data, size, "the tar stream") < 0;
    return (la_ssize_t)size;
}

static int
check(const Sending *self, la_ssize_t answer)
{
    if (self->broken)
        return -1;
    if (answer >= ARCHIVE_OK)
        return 0;
    const char *reason = self->archive_error_string(self->archive);
    return fail(ERR_IO, "write the tar stream: %s", reason ? reason : "failed");
}

static int
send_header(const Sending *self, const char *name, int64_t size, struct timespec mtime)
{
    self->archive_entry_clear(self->entry);
    self->archive_entry_set_pathname(self->entry, name);
    self->archive_entry_set_filetype(self->entry, AE_IFREG);
    self->archive_entry_set_perm(self->entry, 0644);
    self->archive_entry_set_size(self->entry, size);
    self->archive_entry_set_mtime(self->entry, mtime.tv_sec, mtime.tv_nsec);
    return check(self, self->archive_write_header(self->archive, self->entry));
}

static int
send_contents(const Sending *self, const ParcelSource *source, Sums *sums)
{
    AUTO(free) char *buffer = mem_alloc(BLOCK);
    int64_t total = 0;
    size_t got = 0;
    do {
        TRY(file_read(source->fd, buffer, BLOCK, source->name, &got));
        total += (int64_t)got;
        if (total > source->size)
            break;
        sums_push(sums, buffer, got);
        if (got > 0)
            TRY(check(self, self->archive_write_data(self->archive, buffer, got)));
    } while (got == BLOCK);
    if (total != source->size)
        return fail(ERR_IO, "'%s' was changed while it was read", source->name);
    return 0;
}

static int
send_members(const Sending *self, const ParcelSource *source)
{
    Sums sums;
    char digests[ALGORITHMS][SUM_HEX_ROOM];
    enum Algorithm algorithm = source->md5 ? MD5 : SHA256;
    TRY(sums_begin(&sums));
    sums.wanted[algorithm] = true;
    TRY(send_header(self, source->name, source->size, source->mtime));
    TRY(send_contents(self, source, &sums));
    sums_finish(&sums, digests);
    AUTO(free) char *list = mem_printf("%s *%s\n", digests[algorithm], source->name);
    size_t size = strlen(list);
    TRY(send_header(self, sum_kinds[algorithm].list, (int64_t)size, (struct timespec){0}));
    TRY(check(self, self->archive_write_data(self->archive, list, size)));
    return check(self, self->archive_write_close(self->archive));
}

int
parcel_send(const ParcelSource *source, int to_fd)
{
    Sending self = {.to_fd = to_fd};
#define SYMBOL(function) {#function, &self.function},
    const LibrarySymbol symbols[] = {ARCHIVE_FUNCTIONS(SYMBOL)};
    TRY(library_load("libarchive.so.13", "libarchive13", symbols, COUNT_OF(symbols)));
    self.archive = self.archive_write_new();
    self.entry = self.archive_entry_new();
    if (!self.archive || !self.entry)
        return fail(ERR_IO, "libarchive has no memory left");
    int result = check(&self, self.archive_write_set_format_pax(self.archive));
    self.archive_write_set_bytes_per_block(self.archive, PIECE);
    self.archive_write_set_bytes_in_last_block(self.archive, LAST_PIECE);
    if (result == 0)
        result = check(&self, self.archive_write_open(self.archive, &self, NULL, on_write, NULL));
    if (result == 0)
        result = send_members(&self, source);
    self.broken = result < 0; /* freeing it would write an end of the stream */
    self.archive_entry_free(self.entry);
    self.archive_write_free(self.archive);
    return result;
}
