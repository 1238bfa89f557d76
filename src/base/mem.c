/* SPDX-License-Identifier: PostgreSQL
 * Checked allocation. An arena is a list of chunks that are handed out from the front and freed
 * together; large requests get a chunk of their own. */
#include "base/mem.h"

#include <assert.h>
#include <limits.h>
#include <malloc.h>
#include <stdint.h>

enum { ARENA_CHUNK = 64 << 10, ARENA_ALIGN = _Alignof(max_align_t) };

typedef struct Chunk {
    struct Chunk *next;
    size_t used, size;
    _Alignas(max_align_t) char data[];
} Chunk;

typedef struct Ending {
    struct Ending *next;
    void (*function)(void *object);
    void *object;
} Ending;

struct Arena {
    Chunk *current; /* the one that is handed out from; full ones follow it */
    Ending *endings;
};

static void
exit_without_memory(size_t size)
{
    fprintf(stderr, "ERROR: out of memory (%zu bytes asked for)\n", size);
    /* Above 125: PostgreSQL must not take a get-wal that ended so for "there is no such file". */
    _exit(MEM_EXIT); /* any thread may be the one; the others must not see exit handlers run */
}

void (*mem_exhausted)(size_t size) = exit_without_memory;

void *
mem_alloc(size_t size)
{
    void *pointer = calloc(1, size ? size : 1);
    if (!pointer) {
        mem_exhausted(size);
        pointer = calloc(1, size ? size : 1);
    }
    if (!pointer)
        exit_without_memory(size);
    return pointer;
}

void *
mem_resize(void *pointer, size_t count, size_t size)
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, size, &total)) {
        mem_exhausted(SIZE_MAX);
        exit_without_memory(SIZE_MAX);
    }
    void *resized = realloc(pointer, total ? total : 1);
    if (!resized) {
        mem_exhausted(total);
        resized = realloc(pointer, total ? total : 1);
    }
    if (!resized)
        exit_without_memory(total);
    return resized;
}

void
mem_keep(size_t max)
{
    enum { PIECE = 4 << 20 }; /* larger ones are mapped, each for itself */
    assert(max <= INT_MAX);
    mallopt(M_MMAP_THRESHOLD, PIECE);    /* NOLINT(concurrency-mt-unsafe): before any thread */
    mallopt(M_TRIM_THRESHOLD, (int)max); /* NOLINT(concurrency-mt-unsafe) */
}

char *
mem_dup(const char *text)
{
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    return memcpy(mem_alloc(size), text, size);
}

char *
mem_vprintf(const char *format, va_list args)
{
    char *text = NULL;
    va_list once_more;
    va_copy(once_more, args);
    int length = vasprintf(&text, format, args);
    if (length < 0) {
        mem_exhausted(strlen(format));
        length = vasprintf(&text, format, once_more);
    }
    va_end(once_more);
    if (length < 0)
        exit_without_memory(strlen(format));
    return text;
}

char *
mem_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = mem_vprintf(format, args);
    va_end(args);
    return text;
}

Arena *
arena_new(void)
{
    return mem_alloc(sizeof(Arena));
}

void
arena_free(Arena *arena)
{
    if (!arena)
        return;
    for (const Ending *ending = arena->endings; ending; ending = ending->next)
        ending->function(ending->object);
    for (Chunk *chunk = arena->current; chunk;) {
        Chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    free(arena);
}

void *
arena_alloc(Arena *arena, size_t size)
{
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    Chunk *chunk = arena->current;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = size > ARENA_CHUNK ? size : ARENA_CHUNK;
        chunk = mem_alloc(sizeof(Chunk) + room);
        chunk->size = room;
        chunk->next = arena->current;
        arena->current = chunk;
    }
    void *pointer = chunk->data + chunk->used;
    chunk->used += size;
    return pointer;
}

void
arena_on_free(Arena *arena, void (*function)(void *object), void *object)
{
    Ending *ending = arena_alloc(arena, sizeof(*ending));
    *ending = (Ending){arena->endings, function, object};
    arena->endings = ending;
}

char *
arena_dup_part(Arena *arena, const char *text, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *
arena_dup(Arena *arena, const char *text)
{
    return text ? arena_dup_part(arena, text, strlen(text)) : NULL;
}

char *
arena_printf(Arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *text = mem_vprintf(format, args);
    va_end(args);
    return arena_dup(arena, text);
}
