/* SPDX-License-Identifier: PostgreSQL
 * How functions say what happened:
 *
 *    0  done
 *   <0  failed; the thread's error record holds class and sentence. Return it as it is (TRY), or
 * with the name of the object in front of it (wrap). >0  a named outcome of that one function
 * (LOCK_BUSY, STORE_EXISTS); the caller handles it at once.
 *
 * The record is thread-local and of fixed size, so that running out of memory can be reported too.
 * Only commands log errors: one failure, one line. */
#ifndef WALDEN_BASE_ERROR_H
#define WALDEN_BASE_ERROR_H

#include <assert.h>

typedef enum ErrorClass {
    ERR_USAGE,  /* the command line is wrong */
    ERR_CONFIG, /* the configuration is wrong */
    ERR_DATA,   /* contents are damaged or do not belong here; another try gives the same answer */
    ERR_IO,     /* the operating system refused; another try may succeed */
    ERR_UNSUPPORTED, /* asked for something that this program or file cannot do */
    ERR_BUSY,        /* somebody else holds what we need */
    ERR_TIMEOUT,     /* a deadline passed */
    ERR_HOOK,        /* a program that the site configured failed */
    ERR_STOPPED,     /* we were told to stop */
} ErrorClass;

typedef struct Error {
    ErrorClass class;
    int os_error;    /* errno behind it, or 0 */
    char text[1400]; /* a sentence without full stop: object, what was tried, what was answered */
    char hint[400];  /* what the DBA can do next, or empty */
} Error;

/* Records a failure and returns -1. */
int fail(ErrorClass class, const char *format, ...) PRINTF_LIKE(2, 3);

/* Records a failure of class ERR_IO, appends ": " and the text of errno, returns -1. */
int fail_errno(const char *format, ...) PRINTF_LIKE(1, 2);

/* Puts "context: " before the recorded sentence if result is negative; returns result. */
int wrap(int result, const char *format, ...) PRINTF_LIKE(2, 3);

/* Adds advice to the recorded failure if result is negative; returns result. */
int hint(int result, const char *format, ...) PRINTF_LIKE(2, 3);

/* The calling thread's record of its last failure. */
const Error *error_last(void);

/* Replaces the calling thread's record: to carry a failure from a worker thread to its master, or
 * past a clean-up that may itself fail. */
void error_restore(const Error *error);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time and would follow paths on which a failure counts as done. */
#define fail(...) ((void)fail(__VA_ARGS__), -1)
#define fail_errno(...) ((void)fail_errno(__VA_ARGS__), -1)
#define hint(result, ...)                                                                          \
    ({                                                                                             \
        int hint_result_ = (result);                                                               \
        (void)hint(hint_result_, __VA_ARGS__);                                                     \
        hint_result_;                                                                              \
    })
#endif

#define TRY(expression)                                                                            \
    do {                                                                                           \
        int try_result_ = (expression);                                                            \
        if (try_result_ < 0)                                                                       \
            return try_result_;                                                                    \
        assert(try_result_ == 0);                                                                  \
    } while (0)

#endif
