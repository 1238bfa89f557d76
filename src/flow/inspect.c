/* SPDX-License-Identifier: PostgreSQL
 * The contents of one archived file, streamed through its decoder into the checker of its kind.
 * Tells apart what is wrong, what cannot be read, and what cannot be judged, since each has another
 * remedy, and only the first says anything about the WAL. Never changes anything. */
#include "flow/inspect.h"

#include "base/file.h"
#include "base/str.h"
#include "flow/content.h"

#include <stdarg.h>

enum { HISTORY_MAX = 1 << 20 };

/* One file that is being decoded */
typedef struct Stream {
    WalName name;
    Lsn left_at;
    bool facts_only;  /* end with the header */
    size_t head_size; /* of the stored file, no more is read than that; 0: all */
    bool had_facts;   /* it ended so */
    unsigned char head[WAL_LONG_HEADER_SIZE];
    size_t have; /* bytes in head[] while it is not full */
    WalChecker *checker;
    bool blank; /* a partial segment into which no WAL was written yet */
    Str *text;  /* of a history file */
    Inspection *found;
} Stream;

static int
conclude(Inspection *inspection, InspectState state, const char *format, ...) PRINTF_LIKE(3, 4);

/* Ends the stream with a finding; -1, so that nothing more is decoded. */
static int
conclude(Inspection *inspection, InspectState state, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(inspection->reason, sizeof(inspection->reason), format, args);
    va_end(args);
    inspection->state = state;
    return -1;
}

/* A failure of decoding or checking, in terms of what it says about the file. */
static void
conclude_failure(Inspection *inspection)
{
    const Error *error = error_last();
    switch (error->class) {
    case ERR_DATA:
        conclude(inspection, INSPECT_DAMAGED, "is damaged: %s", error->text);
        break;
    case ERR_UNSUPPORTED:
    case ERR_CONFIG:
        conclude(inspection, INSPECT_OPAQUE, "%s: %s",
                 inspection->encrypted ? "is encrypted and cannot be decrypted"
                                       : "cannot be decoded",
                 error->text);
        break;
    case ERR_STOPPED:
        conclude(inspection, INSPECT_STOPPED, "was not read to its end: %s", error->text);
        break;
    default:
        conclude(inspection, INSPECT_UNREADABLE, "cannot be read: %s", error->text);
    }
}

/* The segment in which a timeline ends may end like a partial one: what the server had in its
 * recycled file is behind the last record. */
static bool
may_break_off(const Stream *stream, uint32_t segment_size)
{
    Lsn start;
    return stream->left_at > 0 && wal_segment_start(&stream->name, segment_size, &start) &&
           stream->left_at >= start && stream->left_at - start < segment_size;
}

/* The first bytes of a segment or partial */
static int
take_header(Stream *stream, const void *head, size_t size)
{
    char reason[WAL_REASON_ROOM];
    Inspection *found = stream->found;
    stream->blank = stream->name.kind == WAL_PARTIAL &&
                    (size < WAL_LONG_HEADER_SIZE || wal_is_zero(head, WAL_LONG_HEADER_SIZE));
    if (stream->blank)
        return 0;
    switch (wal_header_check(head, size, &stream->name, &found->facts, reason)) {
    case WAL_HEADER_FOREIGN:
        found->facts = (WalFacts){0};
        return conclude(found, INSPECT_DAMAGED, "is not what its name says: %s", reason);
    case WAL_HEADER_UNKNOWN:
        if (wal_is_zero(head, size < WAL_LONG_HEADER_SIZE ? size : WAL_LONG_HEADER_SIZE))
            return conclude(found, INSPECT_DAMAGED,
                            "is damaged: it begins with zeros where its header should be");
        return conclude(found, INSPECT_OPAQUE,
                        "begins with no page header that this version knows: it is encrypted, of "
                        "a newer PostgreSQL, or damaged");
    case WAL_HEADER_TOO_SHORT:
        return conclude(found, INSPECT_DAMAGED, "is damaged: it has only %zu bytes", size);
    case WAL_HEADER_FITS:
        break;
    }
    stream->had_facts = true;
    if (stream->facts_only)
        return -1;
    WalName name = stream->name;
    if (may_break_off(stream, found->facts.segment_size))
        name.kind = WAL_PARTIAL;
    stream->checker = wal_checker_new(&name, &found->facts);
    return 0;
}

static int
check_wal(const Stream *stream, const void *data, size_t size)
{
    return stream->blank ? 0 : wal_checker_push(stream->checker, data, size);
}

/* Plain contents of a segment or partial */
static int
take_wal(void *context, const void *data, size_t size)
{
    Stream *stream = context;
    const char *bytes = data;
    stream->found->plain += (int64_t)size;
    if (stream->checker || stream->blank || size == 0)
        return size > 0 ? check_wal(stream, bytes, size) : 0;
    if (stream->have == 0 && size >= WAL_LONG_HEADER_SIZE) {
        TRY(take_header(stream, bytes, size));
        return check_wal(stream, bytes, size);
    }
    size_t part = WAL_LONG_HEADER_SIZE - stream->have;
    if (part > size)
        part = size;
    memcpy(stream->head + stream->have, bytes, part);
    stream->have += part;
    if (stream->have < WAL_LONG_HEADER_SIZE)
        return 0;
    TRY(take_header(stream, stream->head, stream->have));
    TRY(check_wal(stream, stream->head, stream->have));
    return check_wal(stream, bytes + part, size - part);
}

static int
finish_wal(Stream *stream)
{
    Inspection *found = stream->found;
    if (found->plain == 0 && stream->name.kind == WAL_PARTIAL)
        return 0;
    if (!stream->checker && !stream->blank)
        TRY(take_header(stream, stream->head, stream->have));
    if (stream->blank)
        return 0;
    TRY(wal_checker_finish(stream->checker));
    if (stream->name.kind == WAL_SEGMENT && found->plain != found->facts.segment_size)
        return fail(ERR_DATA, "it has %lld of the %u bytes of a segment", (long long)found->plain,
                    found->facts.segment_size);
    wal_checker_border(stream->checker, &found->border);
    if (stream->name.kind == WAL_SEGMENT && found->border.sound < stream->left_at &&
        may_break_off(stream, found->facts.segment_size)) {
        char end[LSN_ROOM], left_at[LSN_ROOM];
        lsn_format(found->border.sound, end);
        lsn_format(stream->left_at, left_at);
        return fail(ERR_DATA, "its WAL ends at %s, and the timeline was left at %s", end, left_at);
    }
    return 0;
}

static int
take_text(void *context, const void *data, size_t size)
{
    Stream *stream = context;
    stream->found->plain += (int64_t)size;
    if (stream->text->length + size > HISTORY_MAX)
        return fail(ERR_DATA, "it is longer than %d bytes", HISTORY_MAX);
    str_append_part(stream->text, data, size);
    return 0;
}

static int
take_label(void *context, const void *data, size_t size)
{
    static const char start[] = "START WAL LOCATION";
    Stream *stream = context;
    if (stream->found->plain == 0 && size > 0 &&
        (size < sizeof(start) - 1 || memcmp(data, start, sizeof(start) - 1) != 0))
        return fail(ERR_DATA, "it does not begin with \"%s\"", start);
    stream->found->plain += (int64_t)size;
    return 0;
}

/* Opens the file and finds out how it is to be decoded. */
static int
open_file(const Inspector *inspector, const char *name, const Recorded *recorded,
          const Stream *stream, int *ret_fd, Content *ret_content)
{
    Inspection *found = stream->found;
    AUTO(close) int fd = -1;
    AUTO(content) Content content = CONTENT_NONE;
    int result = stream->head_size ? store_read_head(inspector->store, name, stream->head_size, &fd)
                                   : store_read(inspector->store, name, &fd);
    if (result == STORE_MISSING)
        return conclude(found, INSPECT_GONE, "is not in the archive");
    TRY(result);
    TRY(content_open_stored(fd, name, inspector->custom, &content));
    found->encrypted = content.cipher;
    if (content.cipher)
        TRY(content_open(fd, name, inspector->custom, &content));
    found->class = content.class;
    if (content.head_size == 0 && wal_kind(name) != WAL_PARTIAL)
        return conclude(found, INSPECT_DAMAGED, "is empty");
    if (!content.cipher && recorded->encryption)
        return conclude(found, INSPECT_DAMAGED,
                        "is damaged: it does not begin as an encrypted file (%s), which the "
                        "catalog says it is",
                        recorded->encryption);
    if (!content.class && recorded->compression && strcmp(recorded->compression, "custom") != 0)
        return conclude(found, INSPECT_DAMAGED,
                        "is damaged: it does not begin as a file of %s, which the catalog says "
                        "it is",
                        recorded->compression);
    *ret_fd = take_fd(&fd);
    *ret_content = content;
    content.decryption = NULL;
    return 0;
}

static int
read_file(const Inspector *inspector, const char *name, const Recorded *recorded, Stream *stream)
{
    AUTO(close) int fd = -1;
    AUTO(content) Content content = CONTENT_NONE;
    Inspection *found = stream->found;
    TRY(open_file(inspector, name, recorded, stream, &fd, &content));
    switch (stream->name.kind) {
    case WAL_HISTORY:
        return content_decode(&content, take_text, stream);
    case WAL_LABEL:
        TRY(content_decode(&content, take_label, stream));
        return found->plain == 0 ? fail(ERR_DATA, "it is empty") : 0;
    default:
        TRY(content_decode(&content, take_wal, stream));
        return finish_wal(stream);
    }
}

static void
run_stream(const Inspector *inspector, const char *name, const Recorded *recorded, Stream *stream)
{
    wal_name_parse(name, &stream->name);
    int result = read_file(inspector, name, recorded, stream);
    if (result < 0 && stream->found->state == INSPECT_SOUND && !stream->facts_only)
        conclude_failure(stream->found);
    wal_checker_free(stream->checker);
}

void
inspect(const Inspector *inspector, const char *name, const Recorded *recorded, Lsn left_at,
        Inspection *ret_inspection)
{
    AUTO(str) Str text = {0};
    *ret_inspection = (Inspection){0};
    Stream stream = {.left_at = left_at, .text = &text, .found = ret_inspection};
    run_stream(inspector, name, recorded, &stream);
}

void
inspect_history(const Inspector *inspector, const char *name, Arena *arena,
                Inspection *ret_inspection, History *ret_history)
{
    AUTO(str) Str text = {0};
    *ret_inspection = (Inspection){0};
    *ret_history = (History){0};
    Stream stream = {.text = &text, .found = ret_inspection};
    run_stream(inspector, name, &(Recorded){0}, &stream);
    if (ret_inspection->state != INSPECT_SOUND)
        return;
    bool is_text = strlen(str_text(&text)) == text.length;
    if ((is_text ? history_parse(str_text(&text), arena, ret_history)
                 : fail(ERR_DATA, "there is a zero byte in it")) < 0)
        conclude_failure(ret_inspection);
}

bool
inspect_facts(const Inspector *inspector, const char *name, WalFacts *ret_facts)
{
    /* Usually the first is enough; only blocks that hardly compress are longer. */
    static const size_t sizes[] = {STORE_HEAD / 8, STORE_HEAD};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        Inspection found = {0};
        Stream stream = {.facts_only = true, .head_size = sizes[i], .found = &found};
        run_stream(inspector, name, &(Recorded){0}, &stream);
        if (stream.had_facts)
            *ret_facts = found.facts;
        if (stream.had_facts || !store_is_remote(inspector->store))
            return stream.had_facts;
    }
    return false;
}
