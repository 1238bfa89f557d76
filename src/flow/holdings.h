/* SPDX-License-Identifier: PostgreSQL
 * What the archive holds, by its catalog: read once, with the history files and the acknowledged
 * losses, into the account of wal/coverage.h. Whether all of that is really there, and sound, is
 * for verify. */
#ifndef WALDEN_FLOW_HOLDINGS_H
#define WALDEN_FLOW_HOLDINGS_H

#include "flow/losses.h"
#include "flow/store/store.h"

/* What the segment size was taken from */
typedef enum SizeSource {
    SIZE_FROM_HEADER,  /* of a segment: certain */
    SIZE_FROM_CATALOG, /* the size of segments that are not compressed */
    SIZE_FROM_NAMES,   /* the largest that the names allow */
    SIZE_ASSUMED,      /* nothing says anything else than the usual one */
} SizeSource;

typedef struct Holdings {
    char *catalog_path;
    bool has_catalog;
    Store *store; /* NULL: there is no archive directory */
    uint32_t segment_size;
    SizeSource size_source;
    size_t rows, damaged;           /* lines of the catalog */
    Losses losses;                  /* by the index of a gap's loss */
    StrList warnings;               /* sentences about what makes the account doubtful */
    const CoverageReport *coverage; /* NULL while it has not been made */
    Arena *arena;
    Coverage *owner;
} Holdings;

/* Calls visit, if there is one, for each row of the catalog, in its order and under its lock. <0
 * when the catalog could not be read. Give it back by holdings_done in any case. */
typedef void HoldingsVisit(void *context, const WalFile *row);
int holdings_take(const Config *config, const ServerConfig *server, HoldingsVisit *visit,
                  void *context, Holdings *ret_holdings);

void holdings_done(Holdings *holdings);

/* The source in one word, for machines: "header", "catalog", ... */
const char *size_source_name(SizeSource source);

static inline void
auto_holdings(Holdings *holdings)
{
    holdings_done(holdings);
}

#endif
