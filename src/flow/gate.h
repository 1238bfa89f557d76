/* SPDX-License-Identifier: PostgreSQL
 * The gate: before anything is stored, does this file look like what its name says, is it whole,
 * and does it belong to this cluster? (wal_validation, incoming_grace, identity.json) */
#ifndef WALDEN_FLOW_GATE_H
#define WALDEN_FLOW_GATE_H

#include "config/config.h"
#include "flow/recode/codec.h"
#include "wal/page.h"

#include <sys/stat.h>

typedef enum WalValidation { VALIDATE_OFF, VALIDATE_HEADER, VALIDATE_FULL } WalValidation;

typedef struct Gate {
    WalValidation level;
    uint64_t system_id;    /* of the archive's cluster; 0: not known */
    int64_t grace;         /* seconds for which a file that is not whole may still be arriving */
    const char *unclaimed; /* where to write whose archive it is, which nobody has done yet; NULL */
} Gate;

/* "off", "header", "full" */
WalValidation wal_validation_parse(const char *text);

/* As the server's configuration and its identity.json say; one that cannot be read is warned of. */
void gate_init(const ServerConfig *server, Gate *ret_gate);

/* To be told of WAL that rests here now, and of which cluster: the first one's the archive is from
 * now on (identity.json). GATE_INVALID and *ret_owner when another one's was faster; what else may
 * fail is warned of. Costs nothing once it has been done. */
int gate_claim(Gate *gate, const WalFacts *facts, uint64_t *ret_owner);

/* Named outcomes of the checks below */
enum {
    GATE_WAIT = 1,    /* not whole, but may still be arriving: look again later */
    GATE_INVALID = 2, /* does not belong into the archive */
};

typedef struct GateFinding {
    bool known;  /* it is WAL of a version that we know; facts are set */
    bool opaque; /* neither WAL nor a known codec: passed without a look inside */
    WalFacts facts;
    char reason[WAL_REASON_ROOM]; /* for GATE_WAIT and GATE_INVALID */
} GateFinding;

/* Looks at an uncompressed file: its name, its stat and its first bytes (as many as there are, at
 * least WAL_LONG_HEADER_SIZE of a larger file). */
int gate_check(const Gate *gate, const WalFile *wal, const struct stat *st, const void *head,
               size_t head_size, GateFinding *ret_finding);

/* Looks at a compressed file by reading all of it (from offset 0): the stream must be whole, and
 * what is inside is held to the same rules. */
int
gate_check_compressed(const Gate *gate, const WalFile *wal, const struct stat *st, int fd,
                      const CodecClass *class, const CustomCodec *custom, GateFinding *ret_finding);

/* Turns a defect into GATE_WAIT or GATE_INVALID by the age of the file's last change. */
int gate_defect(const Gate *gate, const struct stat *st, GateFinding *finding, const char *format,
                ...) PRINTF_LIKE(4, 5);

#endif
