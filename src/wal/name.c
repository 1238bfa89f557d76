/* SPDX-License-Identifier: PostgreSQL
 * Names of WAL files: what they are, where they rest, which comes next. Every other module that
 * meets a file name asks here first; a name that passed wal_kind() is safe to put into a path.
 * Pure functions: never allocates, never touches a file, never depends on the locale. */
#include "wal/name.h"

#include <assert.h>

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* Reads up to 8 hex digits; returns how many there were. */
static int
hex_take(const char *text, uint32_t *ret_value)
{
    uint32_t value = 0;
    int digits = 0;
    for (int digit; digits < 8 && (digit = hex_value(text[digits])) >= 0; digits++)
        value = value << 4 | (uint32_t)digit;
    *ret_value = value;
    return digits;
}

bool
wal_name_parse(const char *name, WalName *ret_name)
{
    WalName found = {0};

    if (hex_take(name, &found.timeline) != 8)
        return false;
    name += 8;
    if (strcmp(name, ".history") == 0) {
        found.kind = WAL_HISTORY;
        *ret_name = found;
        return true;
    }
    if (hex_take(name, &found.log) != 8 || hex_take(name + 8, &found.seg) != 8)
        return false;
    name += 16;
    if (*name == '\0')
        found.kind = WAL_SEGMENT;
    else if (strcmp(name, ".partial") == 0)
        found.kind = WAL_PARTIAL;
    else if (*name == '.' && hex_take(name + 1, &found.offset) == 8 &&
             strcmp(name + 9, ".backup") == 0)
        found.kind = WAL_LABEL;
    else
        return false;
    *ret_name = found;
    return true;
}

WalKind
wal_kind(const char *name)
{
    WalName parts;
    return wal_name_parse(name, &parts) ? parts.kind : WAL_NONE;
}

void
wal_hash_dir(const char *name, char *ret_dir)
{
    WalName parts;
    bool is_wal = wal_name_parse(name, &parts);
    assert(is_wal);
    if (!is_wal || parts.kind == WAL_HISTORY)
        *ret_dir = '\0';
    else
        snprintf(ret_dir, WAL_HASH_DIR_ROOM, "%08X%08X", parts.timeline, parts.log);
}

void
wal_relative_path(const char *name, char *ret_path)
{
    char dir[WAL_HASH_DIR_ROOM];
    wal_hash_dir(name, dir);
    snprintf(ret_path, WAL_PATH_ROOM, "%s%s%s", dir, *dir ? "/" : "", name);
}

bool
wal_segment_size_valid(uint64_t size)
{
    return size >= WAL_SEGMENT_MIN && size <= WAL_SEGMENT_MAX && (size & (size - 1)) == 0;
}

/* Without a segment size the third group is counted up beyond any real border, as Barman does, and
 * the caller looks whether there is such a file. */
enum { LAST_SEG_UNKNOWN = 0x7FFFF };

/* The third group counts up to this; then the second moves on. */
static uint32_t
last_seg(uint32_t segment_size)
{
    assert(wal_segment_size_valid(segment_size));
    return (uint32_t)((UINT64_C(1) << 32) / segment_size - 1);
}

void
wal_segment_name(Timeline timeline, Lsn lsn, uint32_t segment_size, char *ret_name)
{
    assert(wal_segment_size_valid(segment_size));
    WalName name = {.kind = WAL_SEGMENT,
                    .timeline = timeline,
                    .log = (uint32_t)(lsn >> 32),
                    .seg = (uint32_t)lsn / segment_size};
    wal_name_format(&name, ret_name);
}

bool
wal_segment_start(const WalName *name, uint32_t segment_size, Lsn *ret_lsn)
{
    if (name->seg > last_seg(segment_size))
        return false;
    *ret_lsn = (Lsn)name->log << 32 | (Lsn)name->seg * segment_size;
    return true;
}

bool
wal_name_next(const WalName *name, uint32_t segment_size, WalName *ret_next)
{
    uint32_t last = segment_size ? last_seg(segment_size) : LAST_SEG_UNKNOWN;
    WalName next = {
        .kind = WAL_SEGMENT, .timeline = name->timeline, .log = name->log, .seg = name->seg};

    if (name->kind == WAL_NONE || name->kind == WAL_HISTORY || name->seg > last)
        return false;
    if (name->seg < last) {
        next.seg++;
    } else {
        if (segment_size == 0 || name->log == UINT32_MAX)
            return false;
        next.log++;
        next.seg = 0;
    }
    *ret_next = next;
    return true;
}

void
wal_name_format(const WalName *name, char *ret_name)
{
    assert(name->kind == WAL_SEGMENT);
    snprintf(ret_name, WAL_NAME_ROOM, "%08X%08X%08X", name->timeline, name->log, name->seg);
}

bool
lsn_parse(const char *text, Lsn *ret_lsn)
{
    uint32_t high, low;
    int digits = hex_take(text, &high);
    if (digits == 0 || text[digits] != '/')
        return false;
    text += digits + 1;
    digits = hex_take(text, &low);
    if (digits == 0 || text[digits] != '\0')
        return false;
    *ret_lsn = (Lsn)high << 32 | low;
    return true;
}

void
lsn_format(Lsn lsn, char *ret_text)
{
    snprintf(ret_text, LSN_ROOM, "%X/%X", (uint32_t)(lsn >> 32), (uint32_t)lsn);
}

int
wal_archive_order(const char *a, const char *b)
{
    int a_history = wal_kind(a) == WAL_HISTORY;
    int b_history = wal_kind(b) == WAL_HISTORY;
    if (a_history != b_history)
        return b_history - a_history;
    return strcmp(a, b);
}
