/* SPDX-License-Identifier: PostgreSQL
 * What code under test prints on a standard stream. */
#ifndef WALDEN_TEST_CAPTURE_H
#define WALDEN_TEST_CAPTURE_H

#include "unit.h"

#include "base/str.h"

typedef struct Capture {
    FILE *stream, *file;
    int saved; /* the real one */
} Capture;

static inline Capture
capture_begin(FILE *stream)
{
    fflush(stream);
    Capture capture = {stream, tmpfile(), dup(fileno(stream))};
    assert_non_null(capture.file);
    assert_true(dup2(fileno(capture.file), fileno(stream)) >= 0);
    return capture;
}

/* Appends what was printed since. */
static inline void
capture_end(Capture *capture, Str *ret_text)
{
    char buffer[4096];
    fflush(capture->stream);
    dup2(capture->saved, fileno(capture->stream));
    close(capture->saved);
    rewind(capture->file);
    for (size_t got; (got = fread(buffer, 1, sizeof(buffer), capture->file)) > 0;)
        str_append_part(ret_text, buffer, got);
    fclose(capture->file);
}

#endif
