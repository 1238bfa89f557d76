/* SPDX-License-Identifier: PostgreSQL
 * What is to be known of a server's receiver without starting it, for show-servers and check. */
#ifndef WALDEN_FLOW_INTAKE_STATUS_H
#define WALDEN_FLOW_INTAKE_STATUS_H

#include "config/config.h"

typedef enum Answer { ANSWER_NO, ANSWER_YES, ANSWER_UNKNOWN } Answer;

/* Of the program that receives: ourselves, or pg_receivewal. The last three depend on the server,
 * and are unknown when it does not answer. */
typedef struct ReceiverStatus {
    bool installed;
    const char *path, *version; /* NULL when it is not installed */
    Answer compatible;          /* with the server's version */
    Answer supports_slots;
    Answer synchronous;  /* does the server wait for us? */
    const char *problem; /* why the server did not answer; NULL: it did */
} ReceiverStatus;

/* Asks the server for at most timeout_ms; that it does not answer is no failure, being told to stop
 * is. Memory is the arena's. */
int receiver_status(const ServerConfig *server, int64_t timeout_ms, Arena *arena,
                    ReceiverStatus *ret_status);

#endif
