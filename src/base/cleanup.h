/* SPDX-License-Identifier: PostgreSQL
 * What a scope owns, it gives back when it is left, by whatever way:
 *
 *     AUTO(free) char *text = NULL;
 *     AUTO(close) int fd = -1;
 *     ...
 *     *ret_fd = take_fd(&fd);       ownership leaves by take
 */
#ifndef WALDEN_BASE_CLEANUP_H
#define WALDEN_BASE_CLEANUP_H

#include <dirent.h>
#include <unistd.h>

#define AUTO(name) __attribute__((cleanup(auto_##name)))

/* Defines auto_NAME for pointers of TYPE; FUNCTION need not accept NULL. */
#define AUTO_DEFINE(name, type, function)                                                          \
    static inline void auto_##name(type *object)                                                   \
    {                                                                                              \
        if (*object)                                                                               \
            function(*object);                                                                     \
    }

static inline void
auto_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void
auto_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

AUTO_DEFINE(closedir, DIR *, closedir)

#define take(pointer)                                                                              \
    ({                                                                                             \
        __typeof__(pointer) take_value_ = (pointer);                                               \
        (pointer) = NULL;                                                                          \
        take_value_;                                                                               \
    })

static inline int
take_fd(int *fd)
{
    int value = *fd;
    *fd = -1;
    return value;
}

#endif
