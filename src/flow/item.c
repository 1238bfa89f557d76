/* SPDX-License-Identifier: PostgreSQL
 * Step 1 of archiving: examine the source, compare it with the archive, compress it into a file
 * without a name. The source is read once and never changed. */
#include "flow/item.h"

#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"
#include "cloud/digest.h"
#include "flow/archived.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

enum { BLOCK = 256 << 10, HEAD = 4096 };

/* Records how the item's way ends before it is stored. */
static bool
end_item(Item *item, int result, const GateFinding *finding)
{
    if (result < 0) {
        item->state = ITEM_FAILED;
        item->error = *error_last();
    } else {
        item->state = result == GATE_WAIT ? ITEM_WAITING : ITEM_INVALID;
        memcpy(item->reason, finding->reason, sizeof(item->reason));
    }
    return false;
}

static int
note_source(Item *item, const char *path)
{
    if (fstat(item->fd, &item->source) < 0)
        return fail_errno("open '%s'", path);
    if (!S_ISREG(item->source.st_mode))
        return fail(ERR_DATA, "'%s' is not a regular file any more", path);
    item->wal.size = item->source.st_size;
    item->wal.mtime = item->source.st_mtim;
    return 0;
}

static int
open_source(const Recipe *recipe, Item *item)
{
    AUTO(free) char *path = mem_printf("%s/%s", recipe->directory, item->wal.name);
    if (lstat(path, &item->source) < 0)
        return fail_errno("open '%s'", path);
    item->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return item->fd < 0 ? fail_errno("open '%s'", path) : note_source(item, path);
}

static void
begin_item(const char *name, Item *ret_item)
{
    Item fresh = {.fd = -1, .wal = {.kind = wal_kind(name)}};
    snprintf(fresh.wal.name, sizeof(fresh.wal.name), "%s", name);
    *ret_item = fresh; /* whose old name may be the one that we were given */
}

/* Its receiver holds a lock as long as it writes into it. Ours keeps one from beginning. */
static bool
is_received(const Recipe *recipe, const Item *item, GateFinding *finding)
{
    if (!recipe->plain || item->wal.kind != WAL_PARTIAL ||
        flock(item->fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return false;
    snprintf(finding->reason, sizeof(finding->reason), "a receiver writes into it");
    return true;
}

/* A receiver makes its file before the first byte comes. *ret_blank: none came, from where the file
 * was read to, either. Zeros at the beginning alone may be damage. */
static int
look_for_wal(const Item *item, bool *ret_blank)
{
    AUTO(free) char *buffer = mem_alloc(BLOCK);
    size_t got;
    do {
        TRY(stop_check());
        TRY(file_read(item->fd, buffer, BLOCK, item->wal.name, &got));
        *ret_blank = wal_is_zero(buffer, got);
    } while (*ret_blank && got == BLOCK);
    return 0;
}

/* opened: was it, or why not? */
static bool
examine(const Recipe *recipe, int opened, Item *ret_item)
{
    const char *name = ret_item->wal.name;
    GateFinding finding = {0};
    char head[HEAD];
    size_t got = 0;
    int result = opened;
    bool blank = false;
    if (result == 0 && is_received(recipe, ret_item, &finding))
        result = GATE_WAIT;
    if (result == 0)
        result = file_read(ret_item->fd, head, sizeof(head), name, &got);
    if (result == 0 && recipe->plain && ret_item->wal.kind == WAL_PARTIAL && wal_is_zero(head, got))
        result = look_for_wal(ret_item, &blank);
    /* As a file that does not become whole, it must not hold up the others for ever. What was
     * received is whole: that the receiver runs as somebody else is to be put right. */
    if (result < 0 && error_last()->os_error == EACCES && !recipe->plain &&
        gate_defect(&recipe->gate, &ret_item->source, &finding, "%s", error_last()->text) ==
            GATE_INVALID)
        result = GATE_INVALID;
    if (result != 0)
        return end_item(ret_item, result, &finding);
    if (blank) {
        ret_item->state = ITEM_BLANK;
        return false;
    }

    CustomCodec custom = recipe->custom;
    custom.presumed = false; /* a source that nothing recognises is no compressed one */
    ret_item->class = recipe->plain ? NULL : recognise(&custom, name, head, got);
    ret_item->wal.compression = ret_item->class ? ret_item->class->name : NULL;
    result = ret_item->class ? gate_check_compressed(&recipe->gate, &ret_item->wal,
                                                     &ret_item->source, ret_item->fd,
                                                     ret_item->class, &recipe->custom, &finding)
                             : gate_check(&recipe->gate, &ret_item->wal, &ret_item->source, head,
                                          got, &finding);
    if (result != 0)
        return end_item(ret_item, result, &finding);
    ret_item->opaque = finding.opaque;
    if (finding.known)
        ret_item->facts = finding.facts;
    return true;
}

bool
item_examine(const Recipe *recipe, const char *name, Item *ret_item)
{
    begin_item(name, ret_item);
    int result = open_source(recipe, ret_item);
    if (result < 0 && error_last()->os_error == ENOENT) {
        ret_item->state = ITEM_GONE;
        return false;
    }
    return examine(recipe, result, ret_item);
}

bool
item_examine_open(const Recipe *recipe, const char *name, int fd, Item *ret_item)
{
    begin_item(name, ret_item);
    ret_item->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    bool good = ret_item->fd >= 0 && lseek(fd, 0, SEEK_SET) == 0;
    int result = good ? note_source(ret_item, name) : fail_errno("read '%s'", name);
    return examine(recipe, result, ret_item);
}

bool
item_is_current(const Recipe *recipe, const Item *item)
{
    AUTO(free) char *path = mem_printf("%s/%s", recipe->directory, item->wal.name);
    struct stat now;
    return lstat(path, &now) == 0 && file_unchanged(&item->source, &now);
}

/* Whether the source itself is damaged; what encrypts or stores it may fail in many ways. */
typedef struct Soundness {
    WalChecker *checker; /* NULL: its records are not looked at */
    bool damaged;
} Soundness;

/* Where the bytes of the source go while they are read: to a checker, a digest, and through what
 * compresses and what encrypts into the put, or to some of these. */
typedef struct Stream {
    Soundness *check; /* NULL: nowhere */
    Digest *digest;
    Coder *coder;
    Coder *cipher;
    StorePut *put; /* NULL: nowhere */
} Stream;

static int
stream_store(void *context, const void *data, size_t size)
{
    const Stream *stream = context;
    if (stream->cipher)
        return coder_push(stream->cipher, data, size);
    return stream->put ? store_put_write(stream->put, data, size) : 0;
}

/* Every failure of the checker is the source's. */
static int
check_block(Soundness *check, const void *data, size_t size)
{
    if (!check || !check->checker)
        return 0;
    int result =
        data ? wal_checker_push(check->checker, data, size) : wal_checker_finish(check->checker);
    check->damaged = result < 0;
    return result;
}

static int
stream_block(Stream *stream, const void *data, size_t size)
{
    TRY(check_block(stream->check, data, size));
    if (stream->digest)
        TRY(digest_add(stream->digest, data, size));
    return stream->coder ? coder_push(stream->coder, data, size) : stream_store(stream, data, size);
}

static int
stream_source(const Item *item, Stream *stream)
{
    AUTO(free) char *buffer = mem_alloc(BLOCK);
    int64_t total = 0;
    size_t got = 0;
    if (lseek(item->fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", item->wal.name);
    if (stream->coder)
        TRY(coder_begin(stream->coder, item->source.st_size, stream_store, stream));
    do {
        TRY(stop_check());
        TRY(file_read(item->fd, buffer, BLOCK, item->wal.name, &got));
        total += (int64_t)got;
        if (total > item->source.st_size)
            return fail(ERR_IO, "'%s' grew while it was read", item->wal.name);
        TRY(stream_block(stream, buffer, got));
    } while (got == BLOCK);
    if (total != item->source.st_size)
        return fail(ERR_IO, "'%s' shrank while it was read", item->wal.name);
    TRY(check_block(stream->check, NULL, 0));
    return stream->coder ? coder_finish(stream->coder) : 0;
}

/* The program reads the source itself. What it writes goes straight into the archive, unless it is
 * to be encrypted on the way. */
static int
run_program(const Recipe *recipe, const Item *item, Stream *stream)
{
    if (lseek(item->fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", item->wal.name);
    int fd = store_put_fd(stream->put);
    if (!stream->cipher && fd >= 0)
        return program_recode(recipe->codec, true, recipe->level, &recipe->custom, item->fd, fd);
    AUTO(reader) Reader *reader = NULL;
    AUTO(free) char *buffer = mem_alloc(BLOCK);
    size_t got = 0;
    TRY(reader_open_compressing(item->fd, recipe->codec, recipe->level, &recipe->custom, &reader));
    do {
        TRY(reader_read(reader, buffer, BLOCK, item->wal.name, &got));
        TRY(stream_store(stream, buffer, got));
    } while (got == BLOCK);
    return 0;
}

static int
run_stream(const Recipe *recipe, Coder **compressor, Stream *stream, const Item *item)
{
    bool compress = recipe->codec && !item->class;
    bool program = compress && codec_is_program(recipe->codec);
    if (compress && !program) {
        if (!*compressor)
            TRY(compressor_new(recipe->codec, recipe->level, compressor));
        stream->coder = *compressor;
    }
    if (!program)
        return stream_source(item, stream);
    if (stream->check->checker || stream->digest)
        TRY(stream_source(item, &(Stream){.check = stream->check, .digest = stream->digest}));
    return run_program(recipe, item, stream);
}

static int
fill_put(const Recipe *recipe, Coder **compressor, Stream stream, const Item *item)
{
    AUTO(coder) Coder *cipher = NULL;
    stream.put = item->put;
    if (!recipe->cipher)
        return run_stream(recipe, compressor, &stream, item);
    TRY(encryptor_new(recipe->cipher, recipe->custom.keyring, item->wal.name, &cipher));
    TRY(coder_begin(cipher, -1, store_put_write, item->put));
    stream.cipher = cipher;
    TRY(run_stream(recipe, compressor, &stream, item));
    return coder_finish(cipher);
}

/* Somebody who still writes into the source would make us archive a mixture. */
static int
check_unchanged(const Item *item)
{
    struct stat now;
    if (fstat(item->fd, &now) < 0)
        return fail_errno("stat '%s'", item->wal.name);
    if (!file_unchanged(&item->source, &now))
        return fail(ERR_IO, "'%s' was changed while it was read", item->wal.name);
    return 0;
}

/* Fills the put that was begun. The digest of the plain contents goes along with them: by it a
 * damaged copy is told from another file, later; and where who encrypts cannot decrypt, it is all
 * by which a duplicate can be recognised. A source that is compressed already is decoded once more
 * for it only then.
 */
static int
transform(const Recipe *recipe, Coder **compressor, Stream stream, Item *item)
{
    AUTO(digest) Digest *digest = NULL;
    bool locked = recipe->cipher && recipe->cipher->secret_apart;
    if (locked && item->class) {
        int result = item_digest(recipe, item, item->sha256);
        stream.check->damaged = result < 0 && error_last()->class == ERR_DATA;
        TRY(result);
    } else if ((locked || (store_keeps_digests(recipe->store) && !recipe->undigested)) &&
               !item->class) {
        TRY(digest_begin(DIGEST_SHA256, &digest));
    }
    stream.digest = digest;
    TRY(fill_put(recipe, compressor, stream, item));
    return digest ? digest_end_hex(digest, item->sha256) : 0;
}

static WalChecker *
checker_for(const Recipe *recipe, const Item *item)
{
    WalName name;
    if (recipe->gate.level != VALIDATE_FULL || !item->facts.major || item->class)
        return NULL;
    wal_name_parse(item->wal.name, &name);
    return wal_checker_new(&name, &item->facts);
}

/* An untransformed source on the archive's own file system is published by a second link to it, and
 * not by a rename: as long as the source has its name, the next pass knows that something may be
 * missing. */
static int
bring(const Recipe *recipe, Coder **compressor, Item *item, bool *ret_damaged)
{
    bool compress = recipe->codec && !item->class;
    int adopted = STORE_CANNOT_LINK;
    /* An object's name says what it is compressed with; under the encryption nobody sees that. */
    const CodecClass *codec = recipe->cipher ? NULL : compress ? recipe->codec : item->class;
    if (!compress && !recipe->cipher)
        adopted = store_put_adopt(recipe->store, item->wal.name, item->fd, &item->put);
    if (adopted < 0)
        return adopted;
    if (adopted == STORE_CANNOT_LINK)
        TRY(store_put_begin(recipe->store, item->wal.name, codec ? codec->name : NULL, &item->put));

    Soundness check = {.checker = checker_for(recipe, item)};
    int result = 0;
    if (adopted == STORE_CANNOT_LINK)
        result = transform(recipe, compressor, (Stream){.check = &check}, item);
    else if (check.checker)
        result = stream_source(item, &(Stream){.check = &check});
    wal_checker_free(check.checker);
    *ret_damaged = check.damaged;
    TRY(result);
    TRY(check_unchanged(item));
    TRY(store_put_finish(item->put, item->fd, &item->source, *item->sha256 ? item->sha256 : NULL,
                         &item->wal.size));
    if (compress)
        item->wal.compression = recipe->codec->name;
    if (recipe->cipher)
        item->wal.encryption = recipe->cipher->name;
    return 0;
}

void
item_store(const Recipe *recipe, Coder **compressor, Item *item)
{
    int result = store_holds(recipe->store, item->wal.name);
    if (result == 0) {
        item->archived = true;
        result = item_compare(recipe, item);
        item->state = result > 0 ? (ItemState)result : ITEM_FAILED;
    } else if (result == STORE_MISSING) {
        bool damaged = false;
        result = bring(recipe, compressor, item, &damaged);
        item->state = result == 0 ? ITEM_READY : damaged ? ITEM_INVALID : ITEM_FAILED;
    } else {
        item->state = ITEM_FAILED;
    }
    if (result >= 0)
        return;
    item->error = *error_last();
    snprintf(item->reason, sizeof(item->reason), "%s", item->error.text);
    store_put_free(take(item->put));
}

void
item_done(Item *item)
{
    store_put_free(take(item->put));
    if (item->fd >= 0)
        close(item->fd);
    item->fd = -1;
}
