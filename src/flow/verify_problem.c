/* SPDX-License-Identifier: PostgreSQL
 * How a verification tells what it found: neighbouring segments with the same trouble are one
 * problem, and one that an acknowledged loss explains is told as such. */
#include "flow/verify_run.h"

#include <stdarg.h>

const char verify_look_for_copy[] =
    "look for another copy of this file; if there is none, acknowledge the loss";

static const char *const kind_names[] = {
    [VERIFY_GAP] = "gap",
    [VERIFY_MISSING] = "missing",
    [VERIFY_UNLISTED] = "unlisted",
    [VERIFY_CATALOG] = "catalog",
    [VERIFY_TIMELINE] = "timeline",
    [VERIFY_DAMAGED] = "damaged",
    [VERIFY_UNREADABLE] = "unreadable",
    [VERIFY_OPAQUE] = "unverifiable",
};

const char *
verify_kind_name(VerifyKind kind)
{
    return kind_names[kind];
}

void
verify_flush(VerifyRun *run)
{
    if (run->pending.kind < 0)
        return;
    bool has_file = run->pending.first[0] != '\0';
    int loss = run->pending.loss;
    *(loss < 0 ? &run->result->problems : &run->result->acknowledged) += 1;
    run->observer->problem(run->observer->context,
                           &(VerifyProblem){
                               .kind = (VerifyKind)run->pending.kind,
                               .first = has_file ? run->pending.first : NULL,
                               .last = has_file ? run->pending.last : NULL,
                               .count = run->pending.count,
                               .text = run->pending.text,
                               .advice = run->pending.advice,
                               .loss = loss < 0 ? NULL : &run->result->losses.items[loss],
                           });
    run->pending.kind = -1;
}

/* Is it the segment right behind the last one of the pending problem? */
static bool
follows_pending(const VerifyRun *run, const char *name)
{
    WalName last, next;
    char expected[WAL_NAME_ROOM];
    if (!wal_name_parse(run->pending.last, &last) || last.kind != WAL_SEGMENT ||
        !wal_name_next(&last, run->segment_size, &next))
        return false;
    wal_name_format(&next, expected);
    return strcmp(expected, name) == 0;
}

void
verify_problem(VerifyRun *run, VerifyKind kind, const char *name, int loss, const char *advice,
               const char *format, ...)
{
    char text[sizeof(run->pending.text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bool joins = name && run->pending.kind == (int)kind && run->pending.loss == loss &&
                 strcmp(run->pending.text, text) == 0 && follows_pending(run, name);
    if (!joins) {
        verify_flush(run);
        run->pending.kind = (int)kind;
        run->pending.loss = loss;
        run->pending.advice = advice;
        run->pending.count = 0;
        snprintf(run->pending.first, sizeof(run->pending.first), "%s", name ? name : "");
        memcpy(run->pending.text, text, sizeof(text));
    }
    snprintf(run->pending.last, sizeof(run->pending.last), "%s", name ? name : "");
    run->pending.count++;
}

int
verify_loss(const VerifyRun *run, const char *name)
{
    WalName parts;
    Lsn lsn;
    if (!wal_name_parse(name, &parts) || parts.kind == WAL_HISTORY ||
        !wal_segment_start(&parts, run->segment_size, &lsn))
        return -1;
    return losses_explaining(&run->result->losses, parts.timeline, lsn);
}

void
verify_finding(VerifyRun *run, const char *name, const Inspection *found)
{
    int loss = verify_loss(run, name);
    if (found->state == INSPECT_OPAQUE)
        verify_problem(run, VERIFY_OPAQUE, name, loss,
                       found->encrypted ? "verify it where its key is at hand"
                                        : "verify it with what has written it",
                       "%s", found->reason);
    else if (found->state == INSPECT_UNREADABLE)
        verify_problem(run, VERIFY_UNREADABLE, name, loss,
                       "see what the disk or the filter says, and try again", "%s", found->reason);
    else
        verify_problem(run, VERIFY_DAMAGED, name, loss, verify_look_for_copy, "%s", found->reason);
}
