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

static int
add_sealed(Assembly *assembly, const Piece *piece)
{
    const CipherClass *cipher = cipher_find(piece->cipher);
    AUTO(free) char *binding = growing_binding(piece);
    AUTO(coder) Coder *coder = NULL;
    if (!cipher)
        return fail(ERR_UNSUPPORTED, "a piece of '%s' is encrypted with '%s', which is not known",
                    piece->name, piece->cipher);
    TRY(decryptor_new(cipher, assembly->keyring, binding, &coder));
    TRY(coder_begin(coder, -1, write_piece, &assembly->fd));
    TRY(piece_get(assembly->store, piece, decrypt, coder));
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
    if (*piece->cipher)
        TRY(add_sealed(assembly, piece));
    else
        TRY(piece_get(assembly->store, piece, write_piece, &assembly->fd));
    off_t end = lseek(assembly->fd, 0, SEEK_CUR);
    if (end != (off_t)piece->offset + piece->length)
        return fail(ERR_DATA, "the piece of '%s' at %u is not %u bytes long", piece->name,
                    piece->offset, piece->length);
    return 0;
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
