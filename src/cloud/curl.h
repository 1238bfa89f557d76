/* SPDX-License-Identifier: PostgreSQL
 * libcurl, loaded when a store is spoken to: it brings TLS, Kerberos, LDAP and SSH with it, and
 * get-wal, which a recovering server starts for every file, would wait for all of them. Only for
 * the files of this folder, which call its functions by their own names. */
#ifndef WALDEN_CLOUD_CURL_H
#define WALDEN_CLOUD_CURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#undef curl_easy_setopt /* which curl.h makes macros */
#undef curl_easy_getinfo

#define CURL_FUNCTIONS(X)                                                                          \
    X(curl_easy_cleanup)                                                                           \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_init)                                                                              \
    X(curl_easy_perform)                                                                           \
    X(curl_easy_reset)                                                                             \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_strerror)                                                                          \
    X(curl_getdate)                                                                                \
    X(curl_global_init)                                                                            \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)

#define CURL_FIELD(name) __typeof__(name) *name;
extern struct Curl {
    CURL_FUNCTIONS(CURL_FIELD)
} curl_functions;

/* Loads the library, once; to be called before any of its functions. ERR_UNSUPPORTED. */
int curl_load(void);

/* The same by another thread, which takes a few milliseconds; whoever calls curl_load meanwhile
 * waits for it. All that time nobody can load another library. True: it is to be joined before the
 * program ends. */
bool curl_load_beside(pthread_t *ret_thread);

#ifndef CURL_LOADER /* which needs the bare names */
#define curl_easy_cleanup curl_functions.curl_easy_cleanup
#define curl_easy_getinfo curl_functions.curl_easy_getinfo
#define curl_easy_init curl_functions.curl_easy_init
#define curl_easy_perform curl_functions.curl_easy_perform
#define curl_easy_reset curl_functions.curl_easy_reset
#define curl_easy_setopt curl_functions.curl_easy_setopt
#define curl_easy_strerror curl_functions.curl_easy_strerror
#define curl_getdate curl_functions.curl_getdate
#define curl_slist_append curl_functions.curl_slist_append
#define curl_slist_free_all curl_functions.curl_slist_free_all
#endif

#endif
