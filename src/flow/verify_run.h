/* SPDX-License-Identifier: PostgreSQL
 * One verification under way: what the files of verify.h share. */
#ifndef WALDEN_FLOW_VERIFY_RUN_H
#define WALDEN_FLOW_VERIFY_RUN_H

#include "flow/inspect.h"
#include "flow/inventory.h"
#include "flow/verify.h"

/* What became of one file of the inventory */
typedef enum VerifyVerdict {
    VERDICT_NONE,   /* not looked at */
    VERDICT_WANTED, /* to be looked at */
    VERDICT_SOUND,
    VERDICT_BAD,
} VerifyVerdict;

typedef struct VerifyRun {
    const ServerConfig *server;
    const VerifyOptions *options;
    const VerifyObserver *observer;
    VerifyResult *result;
    int64_t began_ms;
    Store *store;
    CustomCodec custom;
    Inspector inspector;
    Inventory inventory;
    uint8_t *verdicts; /* VerifyVerdict of each file of the inventory */
    uint32_t segment_size;
    uint64_t system_id; /* of the cluster; 0: not known yet */
    struct {            /* the problem that may still grow; kind < 0: none */
        int kind;
        char first[WAL_NAME_ROOM], last[WAL_NAME_ROOM];
        uint64_t count;
        char text[sizeof(((Error *)NULL)->text)];
        const char *advice;
        int loss;
    } pending;
} VerifyRun;

/* Tells of a problem of the file, or joins it to the one before. advice is static. */
void verify_problem(VerifyRun *run, VerifyKind kind, const char *name, int loss, const char *advice,
                    const char *format, ...) PRINTF_LIKE(6, 7);

/* Tells of the one that may still have grown. */
void verify_flush(VerifyRun *run);

/* Advice for a damaged file */
extern const char verify_look_for_copy[];

/* The loss that explains what is wrong with this file, or -1. */
int verify_loss(const VerifyRun *run, const char *name);

/* What an inspection found to be wrong with the file. */
void verify_finding(VerifyRun *run, const char *name, const Inspection *found);

/* The contents of all files that are WANTED, in parallel; their verdicts are set. */
int verify_contents(VerifyRun *run);

#endif
