/* SPDX-License-Identifier: PostgreSQL
 * Both files are read to their ends, through whatever compressed and encrypted them, unless a
 * digest of the plain contents was recorded that can be believed. */
#include "flow/archived.h"

#include "base/log.h"
#include "base/proc.h"
#include "cloud/digest.h"

enum { BLOCK = 256 << 10 };

static int
push_digest(void *context, const void *data, size_t size)
{
    TRY(stop_check());
    return digest_add(context, data, size);
}

int
item_digest(const Recipe *recipe, const Item *item, char ret_sha256[OBJECT_SHA256_ROOM])
{
    AUTO(digest) Digest *digest = NULL;
    TRY(digest_begin(DIGEST_SHA256, &digest));
    if (lseek(item->fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", item->wal.name);
    TRY(decode_any(item->fd, item->class, &recipe->custom, item->wal.name, push_digest, digest));
    return digest_end_hex(digest, ret_sha256);
}

/* a is the source, b the archived copy. */
static int
compare_contents(Reader *a, Reader *b, const char *name)
{
    AUTO(free) char *block_a = mem_alloc(BLOCK);
    AUTO(free) char *block_b = mem_alloc(BLOCK);
    size_t got_a = 0, got_b = 0;
    do {
        TRY(stop_check());
        TRY(reader_read(a, block_a, BLOCK, name, &got_a));
        int result = reader_read(b, block_b, BLOCK, name, &got_b);
        if (result < 0 && error_last()->class == ERR_DATA) {
            log_error("the archived copy of '%s' is damaged: %s", name, error_last()->text);
            return ITEM_DIFFERENT;
        }
        TRY(wrap(result, "archived copy"));
        if (got_a != got_b || memcmp(block_a, block_b, got_a) != 0)
            return ITEM_DIFFERENT;
    } while (got_a == BLOCK);
    return ITEM_SAME;
}

/* Is the digest that was recorded with the archived file the source's? STORE_MISSING, STORE_UNKNOWN
 */
static int
compare_digest(const Recipe *recipe, const Item *item, bool *ret_same)
{
    char ours[OBJECT_SHA256_ROOM], archived[OBJECT_SHA256_ROOM];
    int found = store_digest(recipe->store, item->wal.name, archived);
    if (found != 0)
        return found;
    memcpy(ours, item->sha256, sizeof(ours));
    if (!*ours)
        TRY(item_digest(recipe, item, ours));
    *ret_same = strcmp(ours, archived) == 0;
    return 0;
}

/* Beyond this host a digest says what its writer meant to store, not what the store has. Where
 * nobody here can read that, it is all there is. */
static bool
believes_digest(const Recipe *recipe)
{
    return !store_is_remote(recipe->store) || (recipe->cipher && recipe->cipher->secret_apart);
}

/* The contents differ. Were the same meant to be stored, then the archived copy is damaged, and the
 * source may be the only good one: it waits, and does not go to errors/. */
static int
judge_different(const Recipe *recipe, const Item *item)
{
    bool same = false;
    int found = compare_digest(recipe, item, &same);
    if (found < 0 || !same)
        return found < 0 ? found : ITEM_DIFFERENT;
    return hint(fail(ERR_DATA,
                     "the archived copy of '%s' is damaged: it is not what was to be stored there",
                     item->wal.name),
                "remove that copy, and this file is archived anew");
}

/* Contents are read and compared, or a digest of all of them: equal sizes and times prove nothing.
 */
int
item_compare(const Recipe *recipe, const Item *item)
{
    AUTO(close) int fd = -1;
    bool same = false;
    int found = STORE_UNKNOWN;
    if (believes_digest(recipe))
        found = compare_digest(recipe, item, &same);
    if (found == 0)
        return same ? ITEM_SAME : ITEM_DIFFERENT;
    if (found == STORE_UNKNOWN)
        found = store_read(recipe->store, item->wal.name, &fd);
    if (found == STORE_MISSING)
        return fail(ERR_IO, "'%s' vanished from the archive", item->wal.name);
    TRY(found);
    int result = item_compare_with(recipe, item, fd);
    return result == ITEM_DIFFERENT ? judge_different(recipe, item) : result;
}

/* Why a content could not be opened: an encrypted one waits for who has its key, as errors/ would
 * fill with good WAL. */
static int
fail_locked(void)
{
    Error error = *error_last();
    return hint(fail(error.class,
                     "the archived copy is encrypted and cannot be compared with this file: %s",
                     error.text),
                "give this account the key, or remove the file if you are sure that it was "
                "archived");
}

/* Through what compressed and encrypted them */
static int
compare_plain(const Recipe *recipe, const Item *item, Content *content)
{
    AUTO(reader) Reader *source = NULL;
    AUTO(reader) Reader *archived = NULL;
    if (lseek(item->fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", item->wal.name);
    TRY(reader_open(item->fd, item->class, &recipe->custom, &source));
    TRY(reader_open(content->fd, content->class, &recipe->custom, &archived));
    int result = compare_contents(source, archived, item->wal.name);
    reader_close(take(archived)); /* before what it reads from */
    if (result < 0)
        return content_finish(content, result);
    /* It may only seem to differ, because it could not be decrypted to its end. */
    int ended = content_finish(content, 0);
    if (ended < 0 && error_last()->class == ERR_DATA) {
        log_error("the archived copy of '%s' is damaged: %s", item->wal.name, error_last()->text);
        return ITEM_DIFFERENT;
    }
    TRY(wrap(ended, "archived copy"));
    return result;
}

/* The bytes as they are: what the site's archive_command encrypted and sent twice */
static int
compare_stored(const Item *item, int fd)
{
    AUTO(reader) Reader *source = NULL;
    AUTO(reader) Reader *archived = NULL;
    if (lseek(item->fd, 0, SEEK_SET) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", item->wal.name);
    TRY(reader_open(item->fd, NULL, NULL, &source));
    TRY(reader_open(fd, NULL, NULL, &archived));
    return compare_contents(source, archived, item->wal.name);
}

static int
is_encrypted(int fd, const char *name, bool *ret_encrypted)
{
    char head[CIPHER_HEAD];
    ssize_t got = pread(fd, head, sizeof(head), 0);
    if (got < 0)
        return fail_errno("read '%s'", name);
    *ret_encrypted = cipher_recognise(head, (size_t)got);
    return 0;
}

int
item_compare_with(const Recipe *recipe, const Item *item, int fd)
{
    bool source_encrypted = false, encrypted = false;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return fail_errno("stat '%s'", item->wal.name);
    /* The other link of a file that a crash left with both its names */
    if (st.st_dev == item->source.st_dev && st.st_ino == item->source.st_ino)
        return ITEM_SAME;
    TRY(is_encrypted(item->fd, item->wal.name, &source_encrypted));
    TRY(is_encrypted(fd, item->wal.name, &encrypted));
    int stored = encrypted && source_encrypted ? compare_stored(item, fd) : ITEM_DIFFERENT;
    if (stored != ITEM_DIFFERENT)
        return stored;
    AUTO(content) Content content = CONTENT_NONE;
    int opened = content_open(fd, item->wal.name, &recipe->custom, &content);
    if (opened < 0 && encrypted)
        return source_encrypted ? ITEM_DIFFERENT : fail_locked();
    TRY(opened);
    return compare_plain(recipe, item, &content);
}

/* What an encrypted file is compressed with is known to who can decrypt it. */
static const CodecClass *
class_inside(const Store *store, const CustomCodec *custom, const char *name)
{
    AUTO(close) int fd = -1;
    AUTO(content) Content content = CONTENT_NONE;
    bool known = store_read_head(store, name, STORE_HEAD, &fd) == 0 &&
                 content_open(fd, name, custom, &content) == 0;
    return known ? content.class : NULL;
}

int
archived_row(const Store *store, const CustomCodec *custom, const char *name, WalFile *ret_row)
{
    AUTO(close) int fd = -1;
    Content content = CONTENT_NONE;
    struct stat st;
    int found = store_stat(store, name, &st);
    if (found == 0)
        found = store_read_head(store, name, CONTENT_HEAD, &fd);
    if (found != 0)
        return found;
    TRY(content_open_stored(fd, name, custom, &content));
    const CodecClass *class = content.cipher ? class_inside(store, custom, name) : content.class;
    *ret_row = (WalFile){.kind = wal_kind(name),
                         .size = st.st_size,
                         .mtime = st.st_mtim,
                         .compression = class ? class->name : NULL,
                         .encryption = content.cipher ? content.cipher->name : NULL};
    snprintf(ret_row->name, sizeof(ret_row->name), "%s", name);
    return 0;
}
