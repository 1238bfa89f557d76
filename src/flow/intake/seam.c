/* SPDX-License-Identifier: PostgreSQL
 * Follows the records through the segment that is held, which is read once, and through the
 * beginning of the one that comes: up to the end of the record that goes on across the border, or
 * else to the header of the first one behind it. That header links back to the last record before
 * the border; a record across it has a checksum over both its parts. Holds no more than a page. */
#include "flow/intake/seam.h"

#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"
#include "wal/chain.h"

enum { BLOCK = 256 << 10 };

struct Seam {
    WalChain chain; /* where the held segment ends */
    WalFacts facts; /* of it */
    WalName name;   /* of the one that comes */
    char held[WAL_NAME_ROOM];
    WalChecker *checker; /* from when its header is there, which is gathered here: */
    unsigned char head[WAL_LONG_HEADER_SIZE];
    size_t have;
    uint32_t fed; /* bytes */
};

/* For what begins with this header, which must be of our segment size. */
static int
begin_checking(const void *head, size_t size, const WalName *name, uint32_t segment_size,
               WalFacts *ret_facts, WalChecker **ret_checker)
{
    char reason[WAL_REASON_ROOM];
    WalHeaderVerdict verdict = wal_header_check(head, size, name, ret_facts, reason);
    if (verdict == WAL_HEADER_FOREIGN)
        return fail(ERR_DATA, "%s", reason);
    if (verdict != WAL_HEADER_FITS)
        return fail(ERR_DATA, "it does not begin with a page header that is known");
    if (ret_facts->segment_size != segment_size)
        return fail(ERR_DATA, "its page header gives a segment size of %u bytes",
                    ret_facts->segment_size);
    *ret_checker = wal_checker_new(name, ret_facts);
    return 0;
}

static int
read_held(Seam *seam, int fd, uint32_t segment_size)
{
    AUTO(free) char *block = mem_alloc(BLOCK);
    WalChecker *checker = NULL;
    WalBorder border;
    WalName name;
    size_t got = 0;
    int result = wal_name_parse(seam->held, &name) ? 0 : fail(ERR_DATA, "it is no WAL");
    do {
        if (result == 0)
            result = stop_check();
        if (result == 0)
            result = file_read(fd, block, BLOCK, seam->held, &got);
        if (result == 0 && !checker)
            result = begin_checking(block, got, &name, segment_size, &seam->facts, &checker);
        if (result == 0)
            result = wal_checker_push(checker, block, got);
    } while (result == 0 && got == BLOCK);
    if (result == 0)
        result = wal_checker_finish(checker);
    if (result == 0) {
        wal_checker_border(checker, &border);
        result = wal_chain_join(&seam->chain, &border);
    }
    if (checker)
        wal_checker_free(checker);
    return result;
}

int
seam_open(int fd, const char *held, Timeline timeline, Lsn lsn, uint32_t segment_size,
          Seam **ret_seam)
{
    AUTO(seam) Seam *seam = mem_alloc(sizeof(*seam));
    char name[WAL_NAME_ROOM];
    wal_segment_name(timeline, lsn, segment_size, name);
    snprintf(seam->held, sizeof(seam->held), "%s", held);
    if (read_held(seam, fd, segment_size) < 0) {
        TRY(stop_check());
        log_debug("what comes is not held against the end of '%s': %s", held, error_last()->text);
        return SEAM_NONE;
    }
    if (!wal_name_parse(name, &seam->name) || seam->chain.next != lsn)
        return SEAM_NONE;
    *ret_seam = take(seam);
    return 0;
}

void
seam_free(Seam *seam)
{
    if (seam->checker)
        wal_checker_free(seam->checker);
    free(seam);
}

/* The header of the first page is there. */
static int
begin(Seam *seam)
{
    WalFacts facts;
    TRY(begin_checking(seam->head, sizeof(seam->head), &seam->name, seam->facts.segment_size,
                       &facts, &seam->checker));
    if (facts.system_id != seam->facts.system_id || facts.magic != seam->facts.magic)
        return fail(ERR_DATA, "its page header is of another cluster, or another version");
    return wal_checker_push(seam->checker, seam->head, sizeof(seam->head));
}

static int
feed(Seam *seam, const char *data, size_t size)
{
    size_t part = sizeof(seam->head) - seam->have;
    if (part > size)
        part = size;
    memcpy(seam->head + seam->have, data, part);
    seam->have += part;
    if (seam->have < sizeof(seam->head))
        return 0;
    if (!seam->checker)
        TRY(begin(seam));
    return wal_checker_push(seam->checker, data + part, size - part);
}

/* By what is there of the segment so far. */
static int
judge(const Seam *seam)
{
    WalBorder border;
    WalChain chain = seam->chain;
    if (!seam->checker)
        return 0;
    wal_checker_peek(seam->checker, &border);
    TRY(wal_chain_join(&chain, &border));
    bool across = border.rest > 0 && border.taken == border.rest && seam->chain.opened;
    bool filled = seam->fed >= seam->facts.segment_size;
    return border.first_record || across || filled ? SEAM_HOLDS : 0;
}

int
seam_feed(Seam *seam, const void *data, size_t size)
{
    seam->fed += (uint32_t)size;
    int result = feed(seam, data, size);
    if (result == 0)
        result = judge(seam);
    if (result >= 0)
        return result;
    return hint(
        wrap(result,
             "the server has other WAL than what was received: it does not go on where "
             "segment '%s' ends",
             seam->held),
        "is it another server, promoted to a timeline of the same number, or one that was "
        "set back? Nothing was overwritten: move what is of the other one elsewhere, from "
        "the archive, too (and execute rebuild-xlogdb), and take a base backup of this one");
}
