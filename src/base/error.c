/* SPDX-License-Identifier: PostgreSQL
 * The thread's error record. Knows nothing of logging: whoever ends a failure's way up decides how
 * it is told. Nothing here allocates. */
#include "base/error.h"
#undef fail /* what error.h tells the analyzer */
#undef fail_errno
#undef hint

#include <errno.h>
#include <stdarg.h>

static _Thread_local Error last;

static void
    PRINTF_LIKE(3, 0) record(ErrorClass class, int os_error, const char *format, va_list args)
{
    /* The arguments may point into the old record, so the new text is made beside it. */
    char text[sizeof(last.text)];
    vsnprintf(text, sizeof(text), format, args);
    last.class = class;
    last.os_error = os_error;
    last.hint[0] = '\0';
    snprintf(last.text, sizeof(last.text), "%s", text);
}

int
fail(ErrorClass class, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    record(class, 0, format, args);
    va_end(args);
    return -1;
}

int
fail_errno(const char *format, ...)
{
    int os_error = errno;
    va_list args;
    va_start(args, format);
    record(ERR_IO, os_error, format, args);
    va_end(args);

    char reason[128];
    size_t used = strlen(last.text);
    snprintf(last.text + used, sizeof(last.text) - used, ": %s",
             strerror_r(os_error, reason, sizeof(reason)));
    if (os_error == ENOSPC || os_error == EDQUOT)
        snprintf(last.hint, sizeof(last.hint), "free space there; what was not archived is kept");
    errno = os_error;
    return -1;
}

int
wrap(int result, const char *format, ...)
{
    if (result >= 0)
        return result;
    char context[sizeof(last.text)];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(context, sizeof(context) - 2, format, args);
    va_end(args);
    if (length < 0 || (size_t)length > sizeof(context) - 3)
        length = (int)sizeof(context) - 3;
    memcpy(context + length, ": ", 3);

    size_t lead = (size_t)length + 2;
    memmove(last.text + lead, last.text, sizeof(last.text) - lead);
    memcpy(last.text, context, lead);
    last.text[sizeof(last.text) - 1] = '\0';
    return result;
}

int
hint(int result, const char *format, ...)
{
    if (result >= 0)
        return result;
    va_list args;
    va_start(args, format);
    vsnprintf(last.hint, sizeof(last.hint), format, args);
    va_end(args);
    return result;
}

const Error *
error_last(void)
{
    return &last;
}

void
error_restore(const Error *error)
{
    if (error != &last)
        last = *error;
}
