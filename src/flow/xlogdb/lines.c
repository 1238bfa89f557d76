/* SPDX-License-Identifier: PostgreSQL
 * A catalog of a million lines is read for many a question, so this is written for speed: one read
 * for about a thousand lines, and no byte is looked at twice. */
#include "flow/xlogdb/lines.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>

int
lines_open(const char *path, Lines *lines)
{
    lines->path = path;
    lines->at = lines->end = 0;
    lines->failed = false;
    lines->fd = -1;
    int result = file_open(path, &lines->fd);
    if (result < 0 && error_last()->os_error == ENOENT)
        return LINES_NONE;
    /* Not ERR_DATA, which is said of the WAL that is looked for. */
    if (result < 0 && error_last()->class == ERR_DATA)
        return fail(ERR_IO, "catalog '%s' is not a regular file", path);
    return result;
}

void
lines_close(Lines *lines)
{
    if (lines->fd >= 0)
        close(lines->fd);
}

/* False at the end. */
static bool
fill(Lines *lines)
{
    if (lines->at < lines->end)
        return true;
    lines->at = lines->end = 0;
    if (!lines->failed)
        lines->failed = file_read(lines->fd, lines->buffer, sizeof(lines->buffer), lines->path,
                                  &lines->end) < 0;
    return !lines->failed && lines->end > 0;
}

size_t
lines_piece(Lines *lines, char *ret_piece)
{
    size_t length = 0;
    while (length < XLOGDB_LINE_ROOM - 1 && (!length || ret_piece[length - 1] != '\n') &&
           fill(lines)) {
        const char *from = lines->buffer + lines->at;
        size_t room = XLOGDB_LINE_ROOM - 1 - length, left = lines->end - lines->at;
        size_t most = left < room ? left : room;
        const char *feed = memchr(from, '\n', most);
        size_t part = feed ? (size_t)(feed - from) + 1 : most;
        memcpy(ret_piece + length, from, part);
        lines->at += part;
        lines->taken += (int64_t)part;
        length += part;
    }
    ret_piece[length] = '\0';
    return length;
}

size_t
lines_next(Lines *lines, char *ret_line)
{
    char rest[XLOGDB_LINE_ROOM];
    size_t length = lines_piece(lines, ret_line);
    bool cut = length == XLOGDB_LINE_ROOM - 1 && ret_line[length - 1] != '\n';
    while (cut) {
        size_t more = lines_piece(lines, rest);
        cut = more > 0 && rest[more - 1] != '\n';
    }
    return length;
}
