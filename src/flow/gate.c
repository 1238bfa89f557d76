/* SPDX-License-Identifier: PostgreSQL
 * Stands between the queue and the store. Refusing good WAL would be as bad as taking damaged WAL,
 * so only what is certainly wrong is refused: content that is no WAL at all may be encrypted by the
 * site's archive_command, and a magic that we have never seen may be PostgreSQL's next version. */
#include "flow/gate.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "flow/recode/reader.h"
#include "wal/identity.h"

#include <stdarg.h>

enum { BLOCK = 256 << 10 };

WalValidation
wal_validation_parse(const char *text)
{
    if (strcmp(text, "off") == 0)
        return VALIDATE_OFF;
    return strcmp(text, "full") == 0 ? VALIDATE_FULL : VALIDATE_HEADER;
}

void
gate_init(const ServerConfig *server, Gate *ret_gate)
{
    *ret_gate = (Gate){.level = wal_validation_parse(server->wal_validation),
                       .grace = server->incoming_grace};
    if (identity_read(server->backup_directory, &ret_gate->system_id) < 0)
        log_warning("%s; archiving without knowing the cluster", error_last()->text);
    else if (ret_gate->system_id == 0 && ret_gate->level != VALIDATE_OFF)
        ret_gate->unclaimed = server->backup_directory;
}

int
gate_claim(Gate *gate, const WalFacts *facts, uint64_t *ret_owner)
{
    const char *directory = gate->unclaimed;
    if (!directory || facts->major == 0)
        return 0;
    gate->unclaimed = NULL;
    if (identity_check(directory, facts->system_id, facts->major) == 0) {
        log_info("the archive in '%s' is that of the cluster with system identifier %llu from now "
                 "on",
                 directory, (unsigned long long)facts->system_id);
        return 0;
    }
    Error error = *error_last();
    if (identity_read(directory, ret_owner) == 0 && *ret_owner && *ret_owner != facts->system_id)
        return GATE_INVALID;
    log_warning("%s; archiving without knowing the cluster", error.text);
    return 0;
}

int
gate_defect(const Gate *gate, const struct stat *st, GateFinding *finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(finding->reason, sizeof(finding->reason), format, args);
    va_end(args);
    /* The change time cannot be set back by cp -p or rsync, as the modification time can. A time
     * far in the future is a wrong clock, and no reason to wait for it. */
    int64_t age = (int64_t)time(NULL) - (int64_t)st->st_ctim.tv_sec;
    return age < gate->grace && age > -gate->grace ? GATE_WAIT : GATE_INVALID;
}

static int invalid(GateFinding *finding, const char *format, ...) PRINTF_LIKE(2, 3);

static int
invalid(GateFinding *finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(finding->reason, sizeof(finding->reason), format, args);
    va_end(args);
    return GATE_INVALID;
}

/* The first bytes of a segment or partial against its name and the cluster. */
static int
check_header(const Gate *gate, const WalFile *wal, const struct stat *st, const void *head,
             size_t head_size, GateFinding *finding)
{
    WalName name;
    wal_name_parse(wal->name, &name);
    switch (wal_header_check(head, head_size, &name, &finding->facts, finding->reason)) {
    case WAL_HEADER_FOREIGN:
        return GATE_INVALID;
    case WAL_HEADER_TOO_SHORT:
        return gate_defect(gate, st, finding, "it is only %zu bytes long", head_size);
    case WAL_HEADER_UNKNOWN:
        finding->opaque = true;
        return 0;
    case WAL_HEADER_FITS:
        break;
    }
    finding->known = true;
    if (gate->system_id && finding->facts.system_id != gate->system_id)
        return invalid(
            finding, "it is of the cluster with system identifier %llu, and this archive of %llu",
            (unsigned long long)finding->facts.system_id, (unsigned long long)gate->system_id);
    return 0;
}

static bool
is_segment(const WalFile *wal)
{
    return wal->kind == WAL_SEGMENT || wal->kind == WAL_PARTIAL;
}

/* The first bytes of the plain contents; none when they are empty */
static int
check_head(const Gate *gate, const WalFile *wal, const struct stat *st, const void *head,
           size_t head_size, GateFinding *finding)
{
    if (head_size == 0)
        return gate_defect(gate, st, finding, "it is empty");
    if (wal_is_zero(head, head_size < WAL_LONG_HEADER_SIZE ? head_size : WAL_LONG_HEADER_SIZE))
        return invalid(finding, "it begins with zeros where its header should be");
    return is_segment(wal) ? check_header(gate, wal, st, head, head_size, finding) : 0;
}

/* size: of the plain contents, where all of them were seen */
static int
check_size(const Gate *gate, const WalFile *wal, const struct stat *st, int64_t size,
           GateFinding *finding)
{
    int64_t expected = finding->facts.segment_size;
    if (!finding->known || size == expected)
        return 0;
    if (size > expected)
        return invalid(finding, "it is %lld bytes long, and its header says %lld", (long long)size,
                       (long long)expected);
    int result = gate_defect(gate, st, finding, "it is %lld bytes long, and its header says %lld",
                             (long long)size, (long long)expected);
    /* A partial segment may be short, but it may also still be arriving. */
    return result == GATE_INVALID && wal->kind == WAL_PARTIAL ? 0 : result;
}

int
gate_check(const Gate *gate, const WalFile *wal, const struct stat *st, const void *head,
           size_t head_size, GateFinding *ret_finding)
{
    *ret_finding = (GateFinding){0};
    if (gate->level == VALIDATE_OFF)
        return 0;
    int result = check_head(gate, wal, st, head, head_size, ret_finding);
    return result ? result : check_size(gate, wal, st, st->st_size, ret_finding);
}

/* A damaged record will not become whole by waiting, unlike a stream that ends too early. */
static int
judge_records(int result, GateFinding *finding)
{
    if (result < 0 && error_last()->class == ERR_DATA)
        return invalid(finding, "%s", error_last()->text);
    return result;
}

/* The plain contents of a compressed file, block by block. */
static int
check_contents(const Gate *gate, const WalFile *wal, const struct stat *st, Reader *reader,
               GateFinding *finding)
{
    AUTO(free) char *buffer = mem_alloc(BLOCK);
    WalChecker *checker = NULL;
    int64_t size = 0;
    size_t got = 0;
    int result = 0;
    do {
        result = reader_read(reader, buffer, BLOCK, wal->name, &got);
        if (result == 0 && size == 0)
            result = check_head(gate, wal, st, buffer, got, finding);
        if (result == 0 && size == 0 && finding->known && gate->level == VALIDATE_FULL) {
            WalName name;
            wal_name_parse(wal->name, &name);
            checker = wal_checker_new(&name, &finding->facts);
        }
        if (result == 0 && checker)
            result = judge_records(wal_checker_push(checker, buffer, got), finding);
        size += (int64_t)got;
    } while (result == 0 && got == BLOCK);
    if (result == 0)
        result = check_size(gate, wal, st, size, finding);
    if (result == 0 && checker)
        result = judge_records(wal_checker_finish(checker), finding);
    wal_checker_free(checker);
    return result;
}

int
gate_check_compressed(const Gate *gate, const WalFile *wal, const struct stat *st, int fd,
                      const CodecClass *class, const CustomCodec *custom, GateFinding *ret_finding)
{
    *ret_finding = (GateFinding){0};
    if (gate->level == VALIDATE_OFF)
        return 0;
    AUTO(reader) Reader *reader = NULL;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", wal->name);
    TRY(reader_open(fd, class, custom, &reader));
    int result = check_contents(gate, wal, st, reader, ret_finding);
    /* A stream that ends too early cannot be told from one that is still being copied. */
    if (result < 0 && error_last()->class == ERR_DATA)
        return gate_defect(gate, st, ret_finding, "%s", error_last()->text);
    return result;
}
