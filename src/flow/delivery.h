/* SPDX-License-Identifier: PostgreSQL
 * One WAL file that comes from an archive on another host, for a server that recovers here. */
#ifndef WALDEN_FLOW_DELIVERY_H
#define WALDEN_FLOW_DELIVERY_H

#include "flow/recode/codec.h"
#include "wal/page.h"

/* What is asked for */
typedef struct Order {
    const char *name;   /* of a WAL file */
    bool partial;       /* a partial segment may stand in, which is filled up with zeros */
    uint64_t system_id; /* of the cluster that recovers; 0: not known */
} Order;

/* Named outcome: a partial segment into which nothing was written yet, which is as good as none. */
enum { DELIVERY_NOTHING = 1 };

/* Is a file that begins so and has this size what was asked for? *ret_fill: how long a stand-in is
 * to be made; else 0. ERR_DATA when it is damaged, not whole, or of another cluster. */
int delivery_check(const Order *order, const void *head, size_t head_size, int64_t size,
                   int64_t *ret_fill);

/* Takes what comes in pieces, decompresses it where it is compressed, and writes it. */
typedef struct Delivery {
    const Order *order;
    int fd;
    Coder *coder;
    char head[64]; /* what came first, until it is enough to see what it is */
    size_t head_size;
    char plain[WAL_LONG_HEADER_SIZE]; /* the first of the plain contents */
    int64_t size;                     /* of these */
} Delivery;

/* To write into fd, which is not owned. */
void delivery_begin(const Order *order, int fd, Delivery *ret_delivery);

/* A Sink: the context is the Delivery. */
int delivery_push(void *context, const void *data, size_t size);

/* That was all: checks it, and makes a stand-in full length. 0, DELIVERY_NOTHING or <0. */
int delivery_finish(Delivery *delivery);

void delivery_done(Delivery *delivery);

static inline void
auto_delivery(Delivery *delivery)
{
    delivery_done(delivery);
}

#endif
