/* SPDX-License-Identifier: PostgreSQL
 * Is one archived file sound? It is decoded to its end and everything in it is checked that can be
 * checked without its neighbours. */
#ifndef WALDEN_FLOW_INSPECT_H
#define WALDEN_FLOW_INSPECT_H

#include "flow/recode/codec.h"
#include "flow/store/store.h"
#include "wal/history.h"
#include "wal/page.h"

typedef enum InspectState {
    INSPECT_SOUND,
    INSPECT_DAMAGED,    /* the contents are wrong */
    INSPECT_UNREADABLE, /* could not be read now: a failing disk, a filter that failed */
    INSPECT_OPAQUE,     /* cannot be looked into: encrypted, or of a format that we do not know */
    INSPECT_GONE,       /* there is no such file (any more) */
    INSPECT_STOPPED,    /* we were told to stop */
} InspectState;

typedef struct Inspection {
    InspectState state;
    char reason[WAL_REASON_ROOM * 2]; /* unless SOUND: "is ...", "has ..." */
    const CodecClass *class;          /* what it was compressed with, or NULL */
    bool encrypted;
    int64_t plain;    /* bytes that were decoded */
    WalFacts facts;   /* of a segment or partial; major 0: not known */
    WalBorder border; /* of a SOUND segment or partial */
} Inspection;

/* What is the same for all files of an archive; for any thread. */
typedef struct Inspector {
    const Store *store;
    const CustomCodec *custom;
} Inspector;

/* What the catalog says of a file; NULL: nothing, or no such thing. */
typedef struct Recorded {
    const char *compression, *encryption;
} Recorded;

/* left_at: where its timeline was
 * left for another one, or 0; in a segment that holds this position WAL need not go on behind it.
 */
void inspect(const Inspector *inspector, const char *name, const Recorded *recorded, Lsn left_at,
             Inspection *ret_inspection);

/* Reads a history file; memory is the arena's. An Inspection tells what is wrong with it. */
void inspect_history(const Inspector *inspector, const char *name, Arena *arena,
                     Inspection *ret_inspection, History *ret_history);

/* The header of a segment or partial, without reading the rest. False if it cannot be had. */
bool inspect_facts(const Inspector *inspector, const char *name, WalFacts *ret_facts);

#endif
