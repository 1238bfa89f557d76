/* SPDX-License-Identifier: PostgreSQL
 * The way back: from the archive (or, for what has not got there yet, from incoming/ and
 * streaming/) to whoever recovers. */
#ifndef WALDEN_FLOW_RETRIEVE_H
#define WALDEN_FLOW_RETRIEVE_H

#include "config/config.h"

typedef struct Retrieval {
    const Config *config;
    const ServerConfig *server;
    const char *name;      /* of any WAL file */
    bool partial;          /* take a .partial file when there is no whole one */
    bool keep_compression; /* hand it out as it is stored */
    const char *compress;  /* "gzip" or "bzip2": hand it out so; NULL: plain */
    const char *directory; /* write DIRECTORY/NAME, whole and durable or not at all; NULL: to fd */
    int fd;
    uint32_t *ret_segment_size; /* set when a segment says it; may be NULL */
    struct Store *store;        /* the server's, if it is open; NULL: it is opened each time */
    int64_t deadline_ms;        /* for how long an archive that does not answer is asked again */
} Retrieval;

/* 0: handed out completely, and what could be checked of it is right. RETRIEVE_MISSING: it is
 * certainly not there. <0: it could not be found out, or not be handed out; with fd, part of it may
 * have been written. */
enum { RETRIEVE_MISSING = 1 };
int retrieve(const Retrieval *retrieval);

/* The same for an open plain file that was got by a retrieval before. RETRIEVE_MISSING, too, when
 * it turns out to be no good before anything was handed out. */
int retrieve_from(const Retrieval *retrieval, int fd, const char *path);

/* Up to `limit` names of WAL files that are there, from the given one on, each given to visit. */
int retrieve_peek(const Retrieval *retrieval, size_t limit,
                  void (*visit)(void *context, const char *name), void *context);

#endif
