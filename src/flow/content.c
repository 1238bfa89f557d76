/* SPDX-License-Identifier: PostgreSQL
 * One way to the contents of a file for all who need them: archiving, handing out, comparing,
 * verifying. */
#include "flow/content.h"

#include "base/file.h"
#include "wal/page.h"

/* Could these be the first bytes of such a file, not compressed? */
static bool
looks_plain(const char *text, const char *head, size_t size)
{
    static const char label[] = "START WAL LOCATION";
    WalName name;
    WalFacts facts;
    char reason[WAL_REASON_ROOM];
    wal_name_parse(text, &name);
    switch (name.kind) {
    case WAL_HISTORY:
        return size == 0 || (head[0] >= '0' && head[0] <= '9' && memchr(head, '\t', size)) ||
               head[0] == '#';
    case WAL_LABEL:
        return size >= sizeof(label) - 1 && memcmp(head, label, sizeof(label) - 1) == 0;
    default:
        return wal_header_check(head, size, &name, &facts, reason) != WAL_HEADER_UNKNOWN;
    }
}

const CodecClass *
recognise(const CustomCodec *custom, const char *name, const void *head, size_t size)
{
    if (custom->magic && size >= custom->magic_size &&
        memcmp(head, custom->magic, custom->magic_size) == 0)
        return codec_find("custom");
    const CodecClass *class = codec_recognise(head, size);
    return !class && custom->presumed && !looks_plain(name, head, size) ? codec_find("custom")
                                                                        : class;
}

int
content_open_stored(int fd, const char *name, const CustomCodec *custom, Content *ret_content)
{
    Content content = {.name = name, .custom = custom, .file = fd, .fd = fd};
    if (lseek(fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", name);
    TRY(file_read(fd, content.head, sizeof(content.head), name, &content.head_size));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", name);
    content.cipher = cipher_recognise(content.head, content.head_size);
    if (!content.cipher)
        content.class = recognise(custom, name, content.head, content.head_size);
    *ret_content = content;
    return 0;
}

/* Through the encryption */
static int
open_encrypted(Content *content)
{
    if (!content->custom->keyring)
        return fail(ERR_CONFIG, "'%s' is encrypted, and its key is not at hand", content->name);
    TRY(decryption_start(content->cipher, content->custom->keyring, content->name, content->file,
                         &content->decryption, &content->fd));
    return decryption_peek(content->decryption, content->head, &content->head_size);
}

int
content_open(int fd, const char *name, const CustomCodec *custom, Content *ret_content)
{
    Content content = CONTENT_NONE;
    TRY(content_open_stored(fd, name, custom, &content));
    int result = content.cipher ? open_encrypted(&content) : 0;
    /* Nothing came out of it: was that all, or why? */
    if (content.decryption && (result < 0 || content.head_size == 0)) {
        result = content_finish(&content, result);
        if (result == 0)
            result = content_rewind(&content);
    }
    TRY(result);
    if (content.cipher)
        content.class = recognise(custom, name, content.head, content.head_size);
    *ret_content = content;
    return 0;
}

bool
content_is_opaque(const Content *content)
{
    return !content->cipher && !content->class &&
           !looks_plain(content->name, content->head, content->head_size);
}

int
content_rewind(Content *content)
{
    content_close(content);
    if (lseek(content->file, 0, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", content->name);
    content->fd = content->file;
    return content->cipher ? open_encrypted(content) : 0;
}

int
content_finish(Content *content, int result)
{
    return content->decryption ? decryption_end(take(content->decryption), result) : result;
}

int
content_decode(Content *content, Sink *sink, void *context)
{
    return content_finish(content, decode_any(content->fd, content->class, content->custom,
                                              content->name, sink, context));
}

int
content_copy(Content *content, Sink *sink, void *context)
{
    return content_finish(content, decode_file(content->fd, NULL, content->name, sink, context));
}

void
content_close(Content *content)
{
    if (!content->decryption)
        return;
    Error error = *error_last();
    (void)decryption_end(take(content->decryption), -1);
    error_restore(&error);
}
