/* SPDX-License-Identifier: PostgreSQL
 * Success of the far side says that it has sent all it had; it may still be a file that was short
 * there already, or of another cluster. Such a file would end a recovery too early and without a
 * word, so it is refused before PostgreSQL sees it. */
#include "flow/delivery.h"

#include "base/file.h"
#include "flow/item.h"

enum { SMALL_MAX = 1 << 20 }; /* a history file, a backup label */

static bool
is_segment(WalKind kind)
{
    return kind == WAL_SEGMENT || kind == WAL_PARTIAL;
}

static int
fail_contents(const Order *order, const char *reason)
{
    return hint(
        fail(ERR_DATA, "what came for '%s' is not what its name says: %s", order->name, reason),
        "the archive is damaged there, or it is another server's");
}

static int
check_length(const Order *order, const WalFacts *facts, int64_t size, WalKind kind,
             int64_t *ret_fill)
{
    char reason[WAL_REASON_ROOM];
    if (size == facts->segment_size)
        return 0;
    if (size < facts->segment_size && (order->partial || kind == WAL_PARTIAL)) {
        *ret_fill = kind == WAL_SEGMENT ? facts->segment_size : 0;
        return 0;
    }
    snprintf(reason, sizeof(reason), "it is %lld bytes long, and its header says %u",
             (long long)size, facts->segment_size);
    return fail_contents(order, reason);
}

static int
check_segment(const Order *order, const void *head, size_t head_size, int64_t size,
              int64_t *ret_fill)
{
    char reason[WAL_REASON_ROOM];
    WalName name;
    WalFacts facts;
    wal_name_parse(order->name, &name);
    switch (wal_header_check(head, head_size, &name, &facts, reason)) {
    case WAL_HEADER_FOREIGN:
        return fail_contents(order, reason);
    case WAL_HEADER_TOO_SHORT:
        snprintf(reason, sizeof(reason), "it is only %lld bytes long", (long long)size);
        return fail_contents(order, reason);
    case WAL_HEADER_UNKNOWN: /* of a PostgreSQL to come */
        if (wal_segment_size_valid((uint64_t)size) && !cipher_recognise(head, head_size))
            return 0;
        return fail_contents(order, cipher_recognise(head, head_size)
                                        ? "it is encrypted"
                                        : "it is neither a whole segment nor compressed");
    case WAL_HEADER_FITS:
        break;
    }
    if (order->system_id && facts.system_id != order->system_id) {
        snprintf(reason, sizeof(reason),
                 "it is of the cluster with system identifier %llu, and this server's is %llu",
                 (unsigned long long)facts.system_id, (unsigned long long)order->system_id);
        return fail_contents(order, reason);
    }
    return check_length(order, &facts, size, name.kind, ret_fill);
}

int
delivery_check(const Order *order, const void *head, size_t head_size, int64_t size,
               int64_t *ret_fill)
{
    *ret_fill = 0;
    bool zeros = wal_is_zero(head, head_size); /* also when there is nothing */
    if (zeros && order->partial)
        return DELIVERY_NOTHING;
    if (zeros)
        return fail_contents(order, size ? "it begins with zeros" : "it is empty");
    return is_segment(wal_kind(order->name)) ? check_segment(order, head, head_size, size, ret_fill)
                                             : 0;
}

void
delivery_begin(const Order *order, int fd, Delivery *ret_delivery)
{
    *ret_delivery = (Delivery){.order = order, .fd = fd};
}

/* Plain contents, from the decoder */
static int
write_plain(void *context, const void *data, size_t size)
{
    Delivery *self = context;
    int64_t limit = is_segment(wal_kind(self->order->name)) ? WAL_SEGMENT_MAX : SMALL_MAX;
    if ((int64_t)size > limit - self->size)
        return fail_contents(self->order, "it is longer than such a file can be");
    if (self->size < (int64_t)sizeof(self->plain)) {
        size_t room = sizeof(self->plain) - (size_t)self->size;
        memcpy(self->plain + self->size, data, size < room ? size : room);
    }
    self->size += (int64_t)size;
    return file_write(self->fd, data, size, self->order->name);
}

/* Now it can be seen what it is. */
static int
begin_decoding(Delivery *self)
{
    const CodecClass *class = codec_recognise(self->head, self->head_size);
    TRY(decompressor_new(class ? class : codec_find("none"), &self->coder));
    TRY(coder_begin(self->coder, -1, write_plain, self));
    return coder_push(self->coder, self->head, self->head_size);
}

int
delivery_push(void *context, const void *data, size_t size)
{
    Delivery *self = context;
    if (self->coder)
        return coder_push(self->coder, data, size);
    size_t room = sizeof(self->head) - self->head_size, part = size < room ? size : room;
    memcpy(self->head + self->head_size, data, part);
    self->head_size += part;
    if (part == room) {
        TRY(begin_decoding(self));
        return coder_push(self->coder, (const char *)data + part, size - part);
    }
    return 0;
}

int
delivery_finish(Delivery *self)
{
    int64_t fill = 0;
    if (!self->coder)
        TRY(begin_decoding(self));
    TRY(coder_finish(self->coder));
    size_t head =
        self->size < (int64_t)sizeof(self->plain) ? (size_t)self->size : sizeof(self->plain);
    int result = delivery_check(self->order, self->plain, head, self->size, &fill);
    if (result == 0 && fill && ftruncate(self->fd, fill) < 0)
        return fail_errno("fill up '%s'", self->order->name);
    return result;
}

void
delivery_done(Delivery *self)
{
    coder_free(self->coder);
    self->coder = NULL;
}
