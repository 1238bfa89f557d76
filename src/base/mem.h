/* SPDX-License-Identifier: PostgreSQL
 * Memory that cannot come back NULL, and the Arena for things that live and die together.
 * When there is no memory left, the hook is called. */
#ifndef WALDEN_BASE_MEM_H
#define WALDEN_BASE_MEM_H

#include "base/cleanup.h"

#include <stdarg.h>
#include <stddef.h>

/* Zeroed memory; free() it. */
void *mem_alloc(size_t size);

/* As realloc; the added part is not zeroed. count * size is checked for overflow. */
void *mem_resize(void *pointer, size_t count, size_t size);

/* Copies; free() them. mem_dup(NULL) is NULL. */
char *mem_dup(const char *text);
char *mem_printf(const char *format, ...) PRINTF_LIKE(1, 2);
char *mem_vprintf(const char *format, va_list args) PRINTF_LIKE(1, 0);

/* For programs that take and free large pieces all the time: freed memory stays with us, up to max
 * bytes of it, and is not fetched from the kernel again page by page. Before any thread. */
void mem_keep(size_t max);

/* What to do when memory is gone: programs print and exit with MEM_EXIT. A hook that can give some
 * back does so and returns: then it is asked for once more. The archive module has such a one. */
enum { MEM_EXIT = 200 };
extern void (*mem_exhausted)(size_t size);

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena);

/* Zeroed, aligned for any type, freed with the arena. */
void *arena_alloc(Arena *arena, size_t size);

/* Calls it with the object when the arena is freed, the last asked for first, while all memory of
 * the arena is still there. */
void arena_on_free(Arena *arena, void (*function)(void *object), void *object);

char *arena_dup(Arena *arena, const char *text);
char *arena_dup_part(Arena *arena, const char *text, size_t length);
char *arena_printf(Arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

AUTO_DEFINE(arena, Arena *, arena_free)

#endif
