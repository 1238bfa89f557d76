/* SPDX-License-Identifier: PostgreSQL
 * Pieces are taken as long as they follow on each other. The plain segment is in memory only, as
 * what is encrypted never lies anywhere. */
#include "flow/growing.h"

#include "base/file.h"

#include <sys/mman.h>

char *
growing_binding(const Piece *piece)
{
    return mem_printf("%s/%08X-%08X", piece->name, piece->offset, piece->length);
}

int
growing_reach(void *context, const Piece *piece)
{
    uint32_t *end = context;
    if (piece->offset <= *end && piece->offset + piece->length > *end)
        *end = piece->offset + piece->length;
    return 0;
}

typedef struct Assembly {
    const Store *store;
    Keyring *keyring;
    int fd;
    uint32_t end;
} Assembly;

static int
write_piece(void *context, const void *data, size_t size)
{
    return file_write(*(const int *)context, data, size, "memory");
}

static int
decrypt(void *context, const void *data, size_t size)
{
    return coder_push(context, data, size);
}

/* The plain bytes of a piece. */
static int
read_piece(const Store *store, Keyring *keyring, const Piece *piece, Sink *sink, void *context)
{
    const CipherClass *cipher = cipher_find(piece->cipher);
    AUTO(free) char *binding = growing_binding(piece);
    AUTO(coder) Coder *coder = NULL;
    if (!*piece->cipher)
        return piece_get(store, piece, sink, context);
    if (!cipher)
        return fail(ERR_UNSUPPORTED, "a piece of '%s' is encrypted with '%s', which is not known",
                    piece->name, piece->cipher);
    TRY(decryptor_new(cipher, keyring, binding, &coder));
    TRY(coder_begin(coder, -1, sink, context));
    TRY(piece_get(store, piece, decrypt, coder));
    return wrap(coder_finish(coder), "a piece of '%s'", piece->name);
}

static int
add_piece(void *context, const Piece *piece)
{
    Assembly *assembly = context;
    uint32_t before = assembly->end;
    (void)growing_reach(&assembly->end, piece);
    if (assembly->end == before)
        return 0;
    if (lseek(assembly->fd, piece->offset, SEEK_SET) < 0)
        return fail_errno("seek in memory");
    TRY(read_piece(assembly->store, assembly->keyring, piece, write_piece, &assembly->fd));
    off_t end = lseek(assembly->fd, 0, SEEK_CUR);
    if (end != (off_t)piece->offset + piece->length)
        return fail(ERR_DATA, "the piece of '%s' at %u is not %u bytes long", piece->name,
                    piece->offset, piece->length);
    return 0;
}

/* A PieceVisit that keeps the first one. */
enum { FOUND = 1 };

static int
keep_first(void *context, const Piece *piece)
{
    *(Piece *)context = *piece;
    return FOUND;
}

int
growing_compare(const Store *store, Keyring *keyring, const char *name, int fd)
{
    Piece first = {0};
    AUTO(str) Str there = {0};
    int result = piece_list(store, name, keep_first, &first);
    if (result != FOUND)
        return result;
    const CipherClass *cipher = cipher_find(first.cipher);
    if (cipher && !cipher->can_decrypt(keyring))
        return 0;
    TRY(read_piece(store, keyring, &first, str_sink, &there));
    AUTO(free) char *here = mem_alloc(there.length + 1);
    ssize_t got = pread(fd, here, there.length, first.offset);
    if (got < 0)
        return fail_errno("read '%s'", name);
    return (size_t)got == there.length && memcmp(here, there.data, there.length) == 0
               ? 0
               : GROWING_OTHER;
}

int
growing_assemble(const Store *store, Keyring *keyring, const char *name, int *ret_fd)
{
    AUTO(close) int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return fail_errno("make a file in memory");
    Assembly assembly = {.store = store, .keyring = keyring, .fd = fd};
    TRY(piece_list(store, name, add_piece, &assembly));
    if (assembly.end == 0)
        return GROWING_NONE;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in memory");
    *ret_fd = take_fd(&fd);
    return 0;
}
