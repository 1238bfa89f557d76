/* SPDX-License-Identifier: PostgreSQL
 * Included before everything else (meson passes -include): feature macros, and the functions that
 * nobody here may call because a bounded or thread-safe one stands beside them. */
#ifndef WALDEN_BUILD_H
#define WALDEN_BUILD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* clang's headers make macros of some of these, and so do PostgreSQL's. */
#if !defined(__clang__) && !defined(WALDEN_INCLUDES_POSTGRES)
#pragma GCC poison sprintf vsprintf strcpy strcat strncpy strncat strtok atoi atol gets
#pragma GCC poison strerror localtime gmtime asctime ctime tmpnam mktemp
#endif

#define PRINTF_LIKE(text, first) __attribute__((__format__(__printf__, text, first)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

#endif
