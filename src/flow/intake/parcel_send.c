/* SPDX-License-Identifier: PostgreSQL
 * The other end of parcel.c: one file and its checksum as a tar stream, read once. The list comes
 * last, because only then is the checksum known. */
#include "flow/intake/parcel.h"
#include "flow/intake/sums.h"
#include "flow/intake/tar.h"

enum { BLOCK = 256 << 10 };

static const char stream_name[] = "the tar stream";

typedef struct Sending {
    int to_fd;
    int64_t sent;
    _Atomic int64_t *told;
} Sending;

static int
send_bytes(Sending *self, const void *data, size_t size)
{
    TRY(file_write(self->to_fd, data, size, stream_name));
    self->sent += (int64_t)size;
    if (self->told)
        *self->told = self->sent;
    return 0;
}

static int
send_padding(Sending *self, size_t size)
{
    AUTO(free) char *zeros = mem_alloc(size + 1);
    return send_bytes(self, zeros, size);
}

static int
send_header(Sending *self, const TarHeader *header)
{
    char blocks[3 * TAR_BLOCK] = "", *records = blocks + TAR_BLOCK;
    tar_extension_format(header, records);
    TarHeader extension = {.name = "pax", .type = TAR_EXTENSION, .size = (int64_t)strlen(records)};
    bool extended = extension.size > 0;
    if (extended)
        TRY(tar_header_format(&extension, blocks));
    TRY(tar_header_format(header, blocks + (extended ? sizeof(blocks) - TAR_BLOCK : 0)));
    return send_bytes(self, blocks, extended ? sizeof(blocks) : TAR_BLOCK);
}

static int
send_contents(Sending *self, const ParcelSource *source, Sums *sums)
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
        TRY(send_bytes(self, buffer, got));
    } while (got == BLOCK);
    if (total != source->size)
        return fail(ERR_IO, "'%s' was changed while it was read", source->name);
    return send_padding(self, tar_padding(total));
}

/* Its end: two blocks of zeros, and as many more as tar writes. */
static int
send_end(Sending *self)
{
    TRY(send_padding(self, (size_t)2 * TAR_BLOCK));
    return send_padding(self, (size_t)(TAR_PIECE - self->sent % TAR_PIECE) % TAR_PIECE);
}

int
parcel_send(const ParcelSource *source, int to_fd)
{
    Sending self = {.to_fd = to_fd, .told = source->sent};
    Sums sums;
    char texts[ALGORITHMS][SUM_HEX_ROOM];
    enum Algorithm algorithm = source->md5 ? MD5 : SHA256;
    TarHeader header = {.type = TAR_REGULAR, .size = source->size, .mtime = source->mtime};
    TRY(sums_begin(&sums));
    sums.wanted[algorithm] = true;
    snprintf(header.name, sizeof(header.name), "%s", source->name);
    TRY(send_header(&self, &header));
    TRY(send_contents(&self, source, &sums));
    sums_finish(&sums, texts);
    AUTO(free) char *list = mem_printf("%s *%s\n", texts[algorithm], source->name);
    size_t size = strlen(list);
    header = (TarHeader){.type = TAR_REGULAR, .size = (int64_t)size};
    snprintf(header.name, sizeof(header.name), "%s", sum_kinds[algorithm].list);
    TRY(send_header(&self, &header));
    TRY(send_bytes(&self, list, size));
    TRY(send_padding(&self, tar_padding(header.size)));
    return send_end(&self);
}
