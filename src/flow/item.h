/* SPDX-License-Identifier: PostgreSQL
 * One waiting file on its way into the archive, up to the point where it is complete there but has
 * no name yet (step 1 of archive.c). Runs on any thread. */
#ifndef WALDEN_FLOW_ITEM_H
#define WALDEN_FLOW_ITEM_H

#include "flow/content.h"
#include "flow/gate.h"
#include "flow/store/store.h"

typedef enum ItemState {
    ITEM_READY,     /* the put is finished and waits for its name */
    ITEM_SAME,      /* the archive has this very content under the name already */
    ITEM_DIFFERENT, /* the archive has other content under the name */
    ITEM_WAITING,   /* may still be arriving */
    ITEM_INVALID,   /* does not belong into the archive */
    ITEM_GONE,      /* somebody took it away */
    ITEM_BLANK,     /* a receiver made it, and no WAL came: there is nothing to archive */
    ITEM_FAILED,    /* could not be archived now; error says why */
} ItemState;

typedef struct Item {
    WalFile wal; /* as it waits; once READY as it is stored */
    ItemState state;
    int fd;             /* the source while it is needed, else -1 */
    struct stat source; /* its identity, size and times */
    StorePut *put;
    bool opaque;                     /* neither WAL nor a known codec */
    bool follows;                    /* WAITING only because an older file of its timeline does */
    bool archived;                   /* FAILED, but there is a file of the name in the archive */
    const CodecClass *class;         /* what the source is compressed with, or NULL */
    WalFacts facts;                  /* major 0: not known */
    char reason[WAL_REASON_ROOM];    /* for WAITING and INVALID */
    char sha256[OBJECT_SHA256_ROOM]; /* of the plain contents, once READY, where the archive keeps
                                        it; or "" */
    Error error;                     /* for FAILED */
} Item;

/* What is the same for all items of a run */
typedef struct Recipe {
    const char *directory; /* where the sources wait */
    bool plain;            /* they are never compressed, whatever they look like */
    Store *store;
    const CodecClass *codec; /* to compress with; NULL: none */
    int level;
    const CipherClass *cipher; /* to encrypt with; NULL: not at all */
    CustomCodec custom;
    Gate gate;
    bool undigested; /* no digest goes along, where it would only tell damage from difference */
} Recipe;

/* Opens the source and sends it through the gate. False when the item's way ends here (WAITING,
 * INVALID, GONE, BLANK, FAILED); else its state is not set yet. */
bool item_examine(const Recipe *recipe, const char *name, Item *ret_item);

/* The same for a file that is open and need not have a name yet. The item has a descriptor of its
 * own. */
bool item_examine_open(const Recipe *recipe, const char *name, int fd, Item *ret_item);

/* Does the source's name still lead to the file that was examined, and was that not changed? */
bool item_is_current(const Recipe *recipe, const Item *item);

/* Compares it with the archive or brings it there. *compressor is made at the first need and kept
 * for the next item; each thread has its own. Sets the state. */
void item_store(const Recipe *recipe, Coder **compressor, Item *item);

/* Gives back what the item holds; an unpublished put leaves no trace. */
void item_done(Item *item);

#endif
