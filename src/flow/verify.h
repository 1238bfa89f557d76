/* SPDX-License-Identifier: PostgreSQL
 * Is the archive whole and sound? Catalog against archive, what is missing in between, and the
 * contents of every file up to the CRC of each record. */
#ifndef WALDEN_FLOW_VERIFY_H
#define WALDEN_FLOW_VERIFY_H

#include "flow/losses.h"

typedef enum VerifyKind {
    VERIFY_GAP,      /* WAL is missing between WAL that is there */
    VERIFY_MISSING,  /* in the catalog, not in the archive */
    VERIFY_UNLISTED, /* in the archive, not in the catalog */
    VERIFY_CATALOG,  /* the catalog is wrong otherwise: damaged lines, duplicates, sizes, codecs */
    VERIFY_TIMELINE, /* history files are missing or contradict each other */
    VERIFY_DAMAGED,  /* contents are wrong */
    VERIFY_UNREADABLE, /* could not be read */
    VERIFY_OPAQUE,     /* cannot be verified: encrypted, or unknown */
} VerifyKind;

/* The kind in one word, for machines: "gap", "missing", ... */
const char *verify_kind_name(VerifyKind kind);

/* One problem of one file, or of several that follow each other. */
typedef struct VerifyProblem {
    VerifyKind kind;
    const char *first, *last; /* files; NULL: a problem of the catalog as a whole */
    uint64_t count;           /* of files */
    const char *text;         /* "is ...", or a whole sentence when there is no file */
    const char *advice;       /* what can be done */
    const Loss *loss;         /* that explains it; NULL: a fault */
} VerifyProblem;

typedef struct VerifyProgress {
    int64_t stored, total; /* bytes of files, done and to be done */
    int64_t decoded;       /* bytes that these have contained */
    int64_t elapsed_ms;
} VerifyProgress;

typedef struct VerifyObserver {
    void *context;
    void (*problem)(void *context, const VerifyProblem *problem);
    void (*progress)(void *context, const VerifyProgress *progress); /* may be NULL */
} VerifyObserver;

typedef struct VerifyOptions {
    bool quick;        /* no contents but those of history files */
    const char *since; /* contents only from the file of this name on; NULL: of all */
    bool since_last;   /* contents only of segments that were not found sound before */
    int jobs;          /* files at once; 0: one for each core */
} VerifyOptions;

typedef struct VerifyResult {
    size_t files, segments, partials, labels, histories; /* in the archive */
    size_t strangers;    /* objects in the archive that are no WAL files; no fault */
    size_t sound;        /* contents were verified and are right */
    size_t sound_before; /* segments that were passed over since they were found sound before */
    size_t skipped;      /* passed over because of `since`, or when told to stop */
    size_t problems;     /* that are not acknowledged */
    size_t acknowledged; /* that are */
    int64_t stored;      /* bytes of all files */
    int64_t read;        /* bytes of the files whose contents were verified */
    int64_t decoded;     /* bytes that were in these */
    int64_t elapsed_ms;
    bool segment_size_known;        /* else coverage assumes the usual one */
    const CoverageReport *coverage; /* of what is in the archive */
    Losses losses;
    Arena *arena; /* owns losses; the rest is freed by verify_result_done */
    Coverage *owner;
} VerifyResult;

/* <0 when it could not be done at all, or was stopped. The result is set as far as it goes and must
 * be given back by verify_result_done in any case. What was found sound is written down. */
int verify_server(const Config *config, const ServerConfig *server, const VerifyOptions *options,
                  const VerifyObserver *observer, VerifyResult *ret_result);

/* Takes note that the segments from first to last are lost. ERR_USAGE for names that are no range;
 * refused for an archive that is not there. */
int verify_acknowledge(const Config *config, const ServerConfig *server, const char *first,
                       const char *last, const char *reason);

void verify_result_done(VerifyResult *result);

#endif
