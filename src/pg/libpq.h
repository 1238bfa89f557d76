/* SPDX-License-Identifier: PostgreSQL
 * libpq, loaded when a server is spoken to: it brings TLS, Kerberos and LDAP with it, and get-wal,
 * which a recovering server starts for every file, would wait for all of them. Only for the files
 * of this folder, which call its functions by their own names. */
#ifndef WALDEN_PG_LIBPQ_H
#define WALDEN_PG_LIBPQ_H

#include <libpq-fe.h>

#define LIBPQ_FUNCTIONS(X)                                                                         \
    X(PQclear)                                                                                     \
    X(PQconnectPoll)                                                                               \
    X(PQconnectStartParams)                                                                        \
    X(PQconninfoFree)                                                                              \
    X(PQconninfoParse)                                                                             \
    X(PQconsumeInput)                                                                              \
    X(PQerrorMessage)                                                                              \
    X(PQfinish)                                                                                    \
    X(PQflush)                                                                                     \
    X(PQfreemem)                                                                                   \
    X(PQgetCopyData)                                                                               \
    X(PQgetResult)                                                                                 \
    X(PQgetisnull)                                                                                 \
    X(PQgetlength)                                                                                 \
    X(PQgetvalue)                                                                                  \
    X(PQhost)                                                                                      \
    X(PQisBusy)                                                                                    \
    X(PQnfields)                                                                                   \
    X(PQntuples)                                                                                   \
    X(PQport)                                                                                      \
    X(PQputCopyData)                                                                               \
    X(PQputCopyEnd)                                                                                \
    X(PQresultErrorField)                                                                          \
    X(PQresultErrorMessage)                                                                        \
    X(PQresultStatus)                                                                              \
    X(PQsendQuery)                                                                                 \
    X(PQsendQueryParams)                                                                           \
    X(PQserverVersion)                                                                             \
    X(PQsetNoticeProcessor)                                                                        \
    X(PQsetnonblocking)                                                                            \
    X(PQsocket)                                                                                    \
    X(PQstatus)

#define LIBPQ_FIELD(name) __typeof__(name) *name;
extern struct Libpq {
    LIBPQ_FUNCTIONS(LIBPQ_FIELD)
} libpq_functions;

/* Loads the library, once; to be called before any of its functions. ERR_UNSUPPORTED. */
int libpq_load(void);

#ifndef LIBPQ_LOADER /* which needs the bare names */
#define PQclear libpq_functions.PQclear
#define PQconnectPoll libpq_functions.PQconnectPoll
#define PQconnectStartParams libpq_functions.PQconnectStartParams
#define PQconninfoFree libpq_functions.PQconninfoFree
#define PQconninfoParse libpq_functions.PQconninfoParse
#define PQconsumeInput libpq_functions.PQconsumeInput
#define PQerrorMessage libpq_functions.PQerrorMessage
#define PQfinish libpq_functions.PQfinish
#define PQflush libpq_functions.PQflush
#define PQfreemem libpq_functions.PQfreemem
#define PQgetCopyData libpq_functions.PQgetCopyData
#define PQgetResult libpq_functions.PQgetResult
#define PQgetisnull libpq_functions.PQgetisnull
#define PQgetlength libpq_functions.PQgetlength
#define PQgetvalue libpq_functions.PQgetvalue
#define PQhost libpq_functions.PQhost
#define PQisBusy libpq_functions.PQisBusy
#define PQnfields libpq_functions.PQnfields
#define PQntuples libpq_functions.PQntuples
#define PQport libpq_functions.PQport
#define PQputCopyData libpq_functions.PQputCopyData
#define PQputCopyEnd libpq_functions.PQputCopyEnd
#define PQresultErrorField libpq_functions.PQresultErrorField
#define PQresultErrorMessage libpq_functions.PQresultErrorMessage
#define PQresultStatus libpq_functions.PQresultStatus
#define PQsendQuery libpq_functions.PQsendQuery
#define PQsendQueryParams libpq_functions.PQsendQueryParams
#define PQserverVersion libpq_functions.PQserverVersion
#define PQsetNoticeProcessor libpq_functions.PQsetNoticeProcessor
#define PQsetnonblocking libpq_functions.PQsetnonblocking
#define PQsocket libpq_functions.PQsocket
#define PQstatus libpq_functions.PQstatus
#endif

#endif
