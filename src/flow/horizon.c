/* SPDX-License-Identifier: PostgreSQL
 * Why positions, and not names as Barman compares them: along every way of recovery the position
 * only grows, while timelines change. What is before the position where a kept backup starts is on
 * none of its ways, whatever the timeline; what is behind it may be. So an old timeline whose
 * digits are lower keeps the segments that lead to the start of the newer one.
 *
 * Where in doubt (a history file is missing, the segment size is not known), more is kept. */
#include "flow/horizon.h"

void
horizon_clear(Horizon *horizon)
{
    horizon->branch_count = horizon->label_count = 0;
    horizon->newest = (WalFile){.kind = WAL_NONE};
    horizon->bytes = 0;
    horizon->other = 0;
}

static Branch *
find_branch(const Horizon *horizon, Timeline timeline)
{
    for (size_t i = horizon->branch_count; i-- > 0;)
        if (horizon->branches[i].timeline == timeline)
            return &horizon->branches[i];
    return NULL;
}

/* An array of the arena with room for one more: the old one stays there until the end. */
static void *
grow(Arena *arena, void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    *room = *room ? *room * 2 : 16;
    void *larger = arena_alloc(arena, *room * size);
    if (count)
        memcpy(larger, items, count * size);
    return larger;
}

static Branch *
make_branch(Horizon *horizon, Timeline timeline)
{
    Branch *branch = find_branch(horizon, timeline);
    if (branch)
        return branch;
    horizon->branches = grow(horizon->arena, horizon->branches, horizon->branch_count,
                             &horizon->branch_room, sizeof(Branch));
    branch = &horizon->branches[horizon->branch_count++];
    *branch = (Branch){.timeline = timeline, .kept = POSITION_NONE};
    return branch;
}

static bool
is_later(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

static void
add_label(Horizon *horizon, const WalFile *row, const WalName *name, bool kept)
{
    horizon->labels = grow(horizon->arena, horizon->labels, horizon->label_count,
                           &horizon->label_room, sizeof(Backup));
    Backup *label = &horizon->labels[horizon->label_count++];
    *label = (Backup){.timeline = name->timeline,
                      .start = wal_position(name),
                      .offset = name->offset,
                      .time = row->mtime,
                      .kept = kept};
    snprintf(label->name, sizeof(label->name), "%s", row->name);
}

void
horizon_add(Horizon *horizon, const WalFile *row, bool kept)
{
    WalName name;
    horizon->bytes += row->size;
    if (!wal_name_parse(row->name, &name) || name.kind == WAL_HISTORY)
        return;
    WalPosition position = wal_position(&name);
    Branch *branch = make_branch(horizon, name.timeline);
    if (position > branch->last)
        branch->last = position;
    if (name.kind == WAL_LABEL) {
        add_label(horizon, row, &name, kept);
        return;
    }
    if (kept && position < branch->kept)
        branch->kept = position;
    if (name.kind != WAL_SEGMENT)
        return;
    bool later = is_later(row->mtime, horizon->newest.mtime);
    bool same = !later && !is_later(horizon->newest.mtime, row->mtime);
    if (!horizon->newest.name[0] || later || (same && strcmp(row->name, horizon->newest.name) > 0))
        horizon->newest = *row;
}

static WalPosition
switch_position(const Horizon *horizon, Lsn lsn)
{
    return lsn >> 32 << 32 | (uint32_t)lsn / horizon->segment_size;
}

/* Can a recovery that starts from the backup come to this timeline? */
static bool
reaches(const Horizon *horizon, const Backup *backup, const Branch *branch)
{
    const History *history = &branch->history;
    if (branch->timeline <= backup->timeline)
        return branch->timeline == backup->timeline;
    if (!history->count || !horizon->segment_size)
        return true;
    for (size_t i = 0; i < history->count; i++)
        if (history->entries[i].parent == backup->timeline)
            return backup->start <= switch_position(horizon, history->entries[i].switch_lsn);
    return false;
}

static void
lower(WalPosition *cut, WalPosition position)
{
    if (position < *cut)
        *cut = position;
}

static void
keep_newest(Horizon *horizon)
{
    WalName name;
    if (!wal_name_parse(horizon->newest.name, &name))
        return;
    Branch *branch = find_branch(horizon, name.timeline);
    lower(&branch->cut, wal_position(&name));
    branch->lives = true;
}

static void
keep_backup(Horizon *horizon, const Backup *backup)
{
    for (size_t i = 0; i < horizon->branch_count; i++)
        if (reaches(horizon, backup, &horizon->branches[i]))
            lower(&horizon->branches[i].cut, backup->start);
}

static bool
is_standalone(const Horizon *horizon, Timeline timeline, WalPosition position)
{
    for (size_t i = 0; i < horizon->barman_count; i++) {
        const Backup *backup = &horizon->barman[i];
        if (backup->standalone && backup->timeline == timeline && position >= backup->start &&
            position <= backup->end)
            return true;
    }
    return false;
}

/* The label that a standalone backup of Barman's has in the archive: it needs no more either. */
static bool
is_label_of_standalone(const Horizon *horizon, const Backup *label)
{
    for (size_t i = 0; i < horizon->barman_count; i++) {
        const Backup *backup = &horizon->barman[i];
        if (backup->standalone && backup->timeline == label->timeline &&
            backup->start == label->start && backup->offset == label->offset)
            return true;
    }
    return false;
}

static const Backup *
first_broken(const Horizon *horizon, const Backup *backups, size_t count, WalPosition position)
{
    const Backup *first = NULL;
    for (size_t i = 0; i < count; i++)
        if (backups[i].start < position && (!first || backups[i].start < first->start) &&
            !backups[i].standalone && !is_label_of_standalone(horizon, &backups[i]))
            first = &backups[i];
    return first;
}

static const char *
start_name(const Backup *backup, char *ret_name)
{
    WalName name = {.kind = WAL_SEGMENT,
                    .timeline = backup->timeline,
                    .log = (uint32_t)(backup->start >> 32),
                    .seg = (uint32_t)backup->start};
    wal_name_format(&name, ret_name);
    return ret_name;
}

/* The newest label that starts at the position or before it. */
static const Backup *
label_at(const Horizon *horizon, WalPosition position)
{
    const Backup *found = NULL;
    for (size_t i = 0; i < horizon->label_count; i++)
        if (horizon->labels[i].start <= position &&
            (!found || horizon->labels[i].start >= found->start))
            found = &horizon->labels[i];
    return found;
}

int
horizon_set(Horizon *horizon, WalPosition position, bool give_up_labels)
{
    char start[WAL_NAME_ROOM];
    const Backup *barman = first_broken(horizon, horizon->barman, horizon->barman_count, position);
    const Backup *label = first_broken(horizon, horizon->labels, horizon->label_count, position);
    if (barman)
        return hint(fail(ERR_USAGE, "Barman's backup '%s' needs the WAL from '%s' on", barman->name,
                         start_name(barman, start)),
                    "ask for no more than '--before %s', or delete that backup with Barman first",
                    start);
    if (label && !give_up_labels)
        return hint(
            fail(ERR_USAGE, "the backup of label '%s' needs the WAL from '%s' on", label->name,
                 start_name(label, start)),
            "'--before %s' keeps this backup and gives up those before it, --force gives it up",
            label_at(horizon, position)->name);
    for (size_t i = 0; i < horizon->branch_count; i++)
        horizon->branches[i].cut = position;
    horizon->other = position;
    keep_newest(horizon);
    return 0;
}

/* The newest label from which the timeline can be reached, among those that are kept or not. */
static Backup *
newest_label(const Horizon *horizon, const Branch *branch, bool kept)
{
    Backup *newest = NULL;
    for (size_t i = 0; i < horizon->label_count; i++) {
        Backup *label = &horizon->labels[i];
        if (label->kept == kept && !is_label_of_standalone(horizon, label) &&
            reaches(horizon, label, branch) && (!newest || is_later(label->time, newest->time)))
            newest = label;
    }
    return newest;
}

void
horizon_fit(Horizon *horizon, bool window)
{
    for (size_t i = 0; i < horizon->branch_count; i++) {
        Branch *branch = &horizon->branches[i];
        /* Nothing kept: all of its rows may go, but nothing that comes to it meanwhile. */
        branch->lives = branch->kept != POSITION_NONE;
        branch->cut = branch->lives ? branch->kept : branch->last + 1;
    }
    keep_newest(horizon);
    for (size_t i = 0; i < horizon->branch_count; i++) {
        const Branch *branch = &horizon->branches[i];
        Backup *label = newest_label(horizon, branch, false);
        if (branch->lives && label && (window || !newest_label(horizon, branch, true)))
            keep_backup(horizon, label);
    }
    for (size_t i = 0; i < horizon->label_count; i++)
        if (horizon->labels[i].kept)
            keep_backup(horizon, &horizon->labels[i]);
    for (size_t i = 0; i < horizon->barman_count; i++)
        if (!horizon->barman[i].standalone)
            keep_backup(horizon, &horizon->barman[i]);
    horizon->other = horizon->branch_count ? POSITION_NONE : 0;
    for (size_t i = 0; i < horizon->branch_count; i++)
        lower(&horizon->other, horizon->branches[i].cut);
}

const Backup *
horizon_label(const Horizon *horizon, const char *name)
{
    for (size_t i = 0; i < horizon->label_count; i++)
        if (strcmp(horizon->labels[i].name, name) == 0)
            return &horizon->labels[i];
    return NULL;
}

WalPosition
horizon_lowest_kept(const Horizon *horizon)
{
    WalPosition lowest = POSITION_NONE;
    for (size_t i = 0; i < horizon->branch_count; i++)
        lower(&lowest, horizon->branches[i].kept);
    return lowest;
}

static WalPosition
cut_of(const Horizon *horizon, Timeline timeline)
{
    const Branch *branch = find_branch(horizon, timeline);
    return branch ? branch->cut : horizon->other;
}

bool
horizon_deletes(const Horizon *horizon, const char *name)
{
    WalName parts;
    if (!wal_name_parse(name, &parts) || parts.kind == WAL_HISTORY)
        return false;
    WalPosition position = wal_position(&parts);
    return position < cut_of(horizon, parts.timeline) &&
           !is_standalone(horizon, parts.timeline, position);
}

bool
horizon_concerns(const Horizon *horizon, const char *hash_dir)
{
    char first[WAL_NAME_ROOM];
    WalName name;
    snprintf(first, sizeof(first), "%.16s00000000", hash_dir);
    return wal_name_parse(first, &name) && wal_position(&name) < cut_of(horizon, name.timeline);
}
