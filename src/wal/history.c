/* SPDX-License-Identifier: PostgreSQL
 * Reads the text of a timeline history file, as PostgreSQL does in readTimeLineHistory(). The
 * receiver follows timelines by it and reports print it. As strict as the server, which refuses to
 * start on a line that it cannot read; never guesses what a damaged line meant. */
#include "wal/history.h"

#include "base/error.h"
#include "base/str.h"
#include "wal/name.h"

static const char blanks[] = " \t\r\f\v";

/* The part of text, of the given length, that has no blanks before or behind. */
static char *
trimmed(Arena *arena, const char *text, size_t length)
{
    while (length > 0 && strchr(blanks, *text))
        text++, length--;
    while (length > 0 && strchr(blanks, text[length - 1]))
        length--;
    return arena_dup_part(arena, text, length);
}

/* Cuts the first word off the line. */
static char *
word_take(char **line)
{
    char *word = *line;
    char *end = word + strcspn(word, blanks);
    *line = end + strspn(end, blanks);
    *end = '\0';
    return word;
}

static int
entry_parse(char *line, size_t number, HistoryEntry *ret_entry)
{
    HistoryEntry entry;
    int64_t parent;

    if (!int_parse(word_take(&line), 1, UINT32_MAX, &parent))
        return fail(ERR_DATA, "line %zu does not begin with the number of a timeline", number);
    if (!lsn_parse(word_take(&line), &entry.switch_lsn))
        return fail(ERR_DATA, "line %zu does not have the LSN of a timeline switch", number);
    entry.parent = (Timeline)parent;
    entry.reason = line;
    *ret_entry = entry;
    return 0;
}

int
history_parse(const char *text, Arena *arena, History *ret_history)
{
    History history = {0};
    size_t lines = 1;

    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    history.entries = arena_alloc(arena, lines * sizeof(HistoryEntry));
    for (size_t number = 1; number <= lines; number++) {
        size_t length = strcspn(text, "\n");
        char *line = trimmed(arena, text, length);
        text += length + (text[length] == '\n');
        if (*line == '\0' || *line == '#')
            continue;
        HistoryEntry *entry = &history.entries[history.count];
        TRY(entry_parse(line, number, entry));
        if (history.count > 0 && entry->parent <= entry[-1].parent)
            return fail(ERR_DATA, "line %zu: timeline %u comes after timeline %u", number,
                        entry->parent, entry[-1].parent);
        history.count++;
    }
    if (history.count == 0)
        return fail(ERR_DATA, "there is no timeline in it");
    *ret_history = history;
    return 0;
}
