/* SPDX-License-Identifier: PostgreSQL
 * Looks over an archive for its horizon: what may be deleted. */
#ifndef WALDEN_FLOW_SURVEY_H
#define WALDEN_FLOW_SURVEY_H

#include "config/config.h"
#include "flow/before.h"
#include "flow/horizon.h"
#include "flow/recode/codec.h"
#include "flow/store/store.h"
#include "flow/xlogdb/xlogdb.h"

typedef struct Survey {
    const Config *config;
    const ServerConfig *server;
    Store *store;
    XlogDb *db;
    CustomCodec custom; /* set by survey_make */
    Horizon horizon;    /* the same; the arena in it is the caller's */
} Survey;

/* Reads what there is to be read and puts the horizon where `before` says or, with NULL, where the
 * server's wal_retention does. force: backups of which only the label is known are given up. */
int survey_make(Survey *survey, const Before *before, bool force);

#endif
