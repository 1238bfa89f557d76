/* SPDX-License-Identifier: PostgreSQL
 * One operation of the program gpg, through GPGME, which is loaded when it is needed. GPGME waits
 * for gpg without a deadline; so we watch its descriptors ourselves, and give up a gpg that does
 * nothing. */
#ifndef WALDEN_FLOW_RECODE_GPG_RUN_H
#define WALDEN_FLOW_RECODE_GPG_RUN_H

#include "base/library.h"
#include "base/sink.h"

#include <gpgme.h>
#include <stdbool.h>
#include <stdint.h>

#define GPGME_FUNCTIONS(X)                                                                         \
    X(gpgme_cancel)                                                                                \
    X(gpgme_check_version_internal)                                                                \
    X(gpgme_data_new_from_cbs)                                                                     \
    X(gpgme_data_release)                                                                          \
    X(gpgme_data_set_flag)                                                                         \
    X(gpgme_io_writen)                                                                             \
    X(gpgme_key_unref)                                                                             \
    X(gpgme_new)                                                                                   \
    X(gpgme_op_decrypt_start)                                                                      \
    X(gpgme_op_encrypt_ext_start)                                                                  \
    X(gpgme_op_keylist_start)                                                                      \
    X(gpgme_release)                                                                               \
    X(gpgme_set_ctx_flag)                                                                          \
    X(gpgme_set_io_cbs)                                                                            \
    X(gpgme_set_offline)                                                                           \
    X(gpgme_set_passphrase_cb)                                                                     \
    X(gpgme_set_pinentry_mode)                                                                     \
    X(gpgme_set_status_cb)                                                                         \
    X(gpgme_strerror_r)

/* Its functions, once gpg_run_load was successful */
extern struct Gpgme {
    GPGME_FUNCTIONS(LIBRARY_FIELD)
} gpgme;

/* ERR_UNSUPPORTED */
int gpg_run_load(void);

enum { GPG_WATCHES_MAX = 16 };

/* A descriptor of gpg's that GPGME wants to hear of */
typedef struct GpgWatch {
    int fd; /* -1: free */
    bool writes;
    bool is_input; /* gpg takes what it is to encrypt or decrypt from it */
    gpgme_io_cb_t function;
    void *data;
} GpgWatch;

typedef struct GpgRun {
    int64_t patience_ms;                            /* for gpg to do something; 0: for ever */
    Sink *sink;                                     /* takes what gpg writes */
    void (*on_key)(void *context, gpgme_key_t key); /* of a listing; takes the key over */
    void *context;                                  /* of both */
    gpgme_ctx_t gpg;
    gpgme_data_t input, output;
    GpgWatch watches[GPG_WATCHES_MAX];
    const GpgWatch *called; /* whose function is at work */
    const char *data;       /* to be taken by gpg */
    size_t left;
    bool ended; /* there will be no more */
    bool done;  /* gpg has finished, with `answer` */
    bool told;  /* it has said itself how that went */
    gpgme_error_t answer;
    int failed; /* of the sink, or noted by gpg_run_fail: <0 and its error */
    Error error;
} GpgRun;

/* Makes a context, and for a message (with a sink) its input and output; an operation can be
 * started with them then. May follow gpg_run_close. */
gpgme_error_t gpg_run_open(GpgRun *run);

/* Waits once for whatever gpg does next. Fails with ERR_TIMEOUT when that is nothing. */
int gpg_run_step(GpgRun *run);

/* Notes the failure on record as that of the run. */
void gpg_run_fail(GpgRun *run);

/* Ends gpg, if it is at work. Any number of times. */
void gpg_run_close(GpgRun *run);

#endif
