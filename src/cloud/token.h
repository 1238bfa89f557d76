/* SPDX-License-Identifier: PostgreSQL
 * A token that somebody gave us for a while: fetched when it is first needed and again shortly
 * before it ends, by one thread for all. And how one is asked for (OAuth 2 over HTTP). */
#ifndef WALDEN_CLOUD_TOKEN_H
#define WALDEN_CLOUD_TOKEN_H

#include "cloud/http.h"

#include <pthread.h>

/* Asks for a new one, until the deadline: what to say, and for how many seconds it is good. */
typedef int TokenFetch(void *context, int64_t deadline, char **ret_value, int64_t *ret_seconds);

typedef struct Token {
    TokenFetch *fetch;
    void *context;
    pthread_mutex_t mutex;
    char *value;         /* NULL: none yet */
    int64_t renew, ends; /* on clock_ms */
} Token;

void token_init(Token *token, TokenFetch *fetch, void *context);
void token_done(Token *token);

/* A copy of the token; free it. One that cannot be renewed is used until it ends. */
int token_get(Token *token, int64_t deadline, char **ret_value);

/* This token was refused: the next token_get asks for another one. */
void token_refused(Token *token, const char *value);

typedef struct TokenRequest {
    const char *who; /* gives it, for messages */
    const char *url;
    const char *header; /* one that it wants, or NULL */
    const char *form;   /* what is posted to it; NULL: a GET */
    bool local;         /* as in HttpRequest */
    bool probe;         /* perhaps nobody is there: TOKEN_NOBODY, found out quickly */
} TokenRequest;

/* Asks, and again while that may help. ERR_CONFIG when it is refused. */
enum { TOKEN_NOBODY = 1 };
int token_request(Http *http, const TokenRequest *request, int64_t deadline, char **ret_value,
                  int64_t *ret_seconds);

#endif
