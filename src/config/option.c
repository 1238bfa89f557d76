/* SPDX-License-Identifier: PostgreSQL
 * The table of options and what can be asked of it. */
#include "config/option.h"

#include <strings.h>

static const OptionInfo infos[] = {
#define OPTION(kind, name, scope, standard, placeholder, help)                                     \
    {#name, #kind, #scope, standard, placeholder, help},
#include "config/options.def"
#undef OPTION
};

#define OFFSET_GLOBAL(name) offsetof(Config, name)
#define OFFSET_SERVER(name) offsetof(ServerConfig, name)
#define OFFSET_INHERIT(name) offsetof(ServerConfig, name)
static const OptionSlot slots[] = {
#define OPTION(kind, name, scope, ...) {&value_##kind, OPTION_##scope, OFFSET_##scope(name)},
#include "config/options.def"
#undef OPTION
};

const OptionInfo *
option_all(size_t *ret_count)
{
    *ret_count = COUNT_OF(infos);
    return infos;
}

const OptionSlot *
option_slot(const OptionInfo *option)
{
    return &slots[option - infos];
}

void *
option_field(const OptionInfo *option, Config *config, ServerConfig *server)
{
    const OptionSlot *slot = option_slot(option);
    char *base = slot->scope == OPTION_GLOBAL ? (char *)config : (char *)server;
    return base ? base + slot->offset : NULL;
}

const char *
option_value(const OptionInfo *option, const Config *config, const ServerConfig *server,
             Arena *arena)
{
    const OptionSlot *slot = option_slot(option);
    const char *base = slot->scope == OPTION_GLOBAL ? (const char *)config : (const char *)server;
    return base ? slot->kind->write(base + slot->offset, arena) : NULL;
}

const OptionInfo *
option_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(infos); i++)
        if (strcmp(infos[i].name, name) == 0)
            return &infos[i];
    return NULL;
}

static int
compare_name(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

bool
barman_option_known(const char *name)
{
    return bsearch(name, barman_options, barman_option_count, sizeof(char *), compare_name);
}

enum { NAME_MAX_LENGTH = 48 };

/* Damerau and Levenshtein's distance: letters added, left out, changed, or two exchanged. */
static size_t
name_distance(const char *a, const char *b)
{
    unsigned char rows[3][NAME_MAX_LENGTH + 1];
    unsigned char *before = rows[0], *last = rows[1], *row = rows[2];
    size_t a_length = strlen(a), b_length = strlen(b);
    for (size_t k = 0; k <= b_length; k++)
        last[k] = (unsigned char)k;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = (unsigned char)i;
        for (size_t k = 1; k <= b_length; k++) {
            unsigned best = last[k - 1] + (a[i - 1] != b[k - 1]);
            best = last[k] + 1u < best ? last[k] + 1u : best;
            best = row[k - 1] + 1u < best ? row[k - 1] + 1u : best;
            bool exchanged = i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1];
            best = exchanged && before[k - 2] + 1u < best ? before[k - 2] + 1u : best;
            row[k] = (unsigned char)best;
        }
        unsigned char *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_length];
}

const char *
option_suggest(const char *name)
{
    const char *nearest = NULL;
    size_t length = strlen(name), best = length < 6 ? 1 : 3; /* as far away it may be */
    if (length > NAME_MAX_LENGTH)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(infos) + barman_option_count; i++) {
        const char *known =
            i < COUNT_OF(infos) ? infos[i].name : barman_options[i - COUNT_OF(infos)];
        size_t distance = name_distance(name, known);
        if (distance < best + !nearest) {
            best = distance;
            nearest = known;
        }
    }
    return nearest;
}
