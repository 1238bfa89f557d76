/* SPDX-License-Identifier: PostgreSQL
 * What somebody means by "delete what is before this". */
#ifndef WALDEN_FLOW_BEFORE_H
#define WALDEN_FLOW_BEFORE_H

#include "base/error.h"
#include "wal/name.h"

typedef enum BeforeKind { BEFORE_SEGMENT, BEFORE_LSN, BEFORE_TIME, BEFORE_LABEL } BeforeKind;

typedef struct Before {
    BeforeKind kind;
    const char *text; /* as it was given */
    WalName name;     /* of a segment, or a label */
    Lsn lsn;
    time_t time;
} Before;

/* A segment's name, a backup label's, an LSN, or a time: "2026-11-21", "2026-11-21 13:30[:05]",
 * with "Z" or "+01:00" behind it unless it is local time. ERR_USAGE for anything else. The text is
 * not copied. */
int before_parse(const char *text, Before *ret_before);

#endif
