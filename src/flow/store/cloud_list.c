/* SPDX-License-Identifier: PostgreSQL
 * Listings of an object store's archive, and removing from it. Which compression a file was stored
 * with does not follow from today's configuration: it is read from the key, so files are found by
 * listing what begins with their name. Where a name has several objects, the one without a
 * compression counts, then the first; the others are strangers. */
#include "flow/store/cloud.h"

typedef struct Collecting {
    const CloudStore *store;
    CloudEntries *entries;
    size_t strangers;
} Collecting;

static int
collect(void *context, const char *key, const ObjectInfo *info)
{
    Collecting *collecting = context;
    CloudEntries *entries = collecting->entries;
    CloudEntry entry;
    if (!cloud_key_parse(key + strlen(collecting->store->root), &entry)) {
        collecting->strangers++;
        return 0;
    }
    if (entries->count == entries->room) {
        entries->room = entries->room ? 2 * entries->room : 64;
        entries->items = mem_resize(entries->items, entries->room, sizeof(CloudEntry));
    }
    entry.size = info->size;
    entry.mtime = info->mtime;
    entries->items[entries->count++] = entry;
    return 0;
}

static int
listing_order(const void *left, const void *right)
{
    const CloudEntry *a = left, *b = right;
    bool a_first = wal_kind(a->name) == WAL_HISTORY, b_first = wal_kind(b->name) == WAL_HISTORY;
    if (a_first != b_first)
        return b_first - a_first;
    int order = strcmp(a->name, b->name);
    return order ? order : strcmp(a->extension, b->extension); /* "" is the first */
}

static void
sort_entries(CloudEntries *entries)
{
    if (entries->count)
        qsort(entries->items, entries->count, sizeof(CloudEntry), listing_order);
}

/* By bisection: where the objects of the file begin, or would */
static size_t
first_of(const CloudEntries *entries, const char *name)
{
    size_t low = 0, high = entries->count;
    CloudEntry wanted = {.extension = ""};
    snprintf(wanted.name, sizeof(wanted.name), "%s", name);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (listing_order(&entries->items[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int
cloud_collect(const CloudStore *store, const char *below, CloudEntries *ret_entries,
              size_t *strangers)
{
    AUTO(free) char *prefix = mem_printf("%s%s", store->root, below);
    Collecting collecting = {store, ret_entries, 0};
    *ret_entries = (CloudEntries){0};
    TRY(cloud_allowed(store));
    int result = cloud_note(store, bucket_list(store->bucket, prefix, NULL, collect, &collecting));
    if (result < 0) {
        free(ret_entries->items);
        *ret_entries = (CloudEntries){0};
        return result;
    }
    sort_entries(ret_entries);
    *strangers += collecting.strangers;
    return 0;
}

int
cloud_find(const CloudStore *store, const char *name, CloudEntry *ret_entry)
{
    char relative[WAL_PATH_ROOM];
    CloudEntries entries;
    size_t strangers = 0;
    wal_relative_path(name, relative);
    TRY(cloud_collect(store, relative, &entries, &strangers));
    size_t at = first_of(&entries, name);
    bool found = at < entries.count && strcmp(entries.items[at].name, name) == 0;
    if (found)
        *ret_entry = entries.items[at];
    free(entries.items);
    return found ? 0 : STORE_MISSING;
}

/* What was there a moment ago */

/* Lists the hash directory from the name's last digit on: its neighbours come next. */
static int
list_from(const CloudStore *store, const char *name)
{
    CloudLive *live = store->live;
    char hash_dir[WAL_HASH_DIR_ROOM];
    wal_hash_dir(name, hash_dir);
    snprintf(live->begin, sizeof(live->begin), "%.23s", name);
    free(live->known.items);
    live->known = (CloudEntries){0};
    AUTO(free) char *prefix = mem_printf("%s%s/", store->root, hash_dir);
    AUTO(free) char *after = mem_printf("%s%s", prefix, live->begin);
    Collecting collecting = {.store = store, .entries = &live->known};
    int result = bucket_list(store->bucket, prefix, after, collect, &collecting);
    if (result < 0)
        live->begin[0] = '\0';
    else
        sort_entries(&live->known);
    return result;
}

static bool
is_listed(const CloudLive *live, const char *name)
{
    return *live->begin && strncmp(live->begin, name, WAL_HASH_DIR_ROOM - 1) == 0 &&
           strcmp(live->begin, name) < 0;
}

/* Looks the file up in what is listed; if it is not, and may be, it is listed now. */
static int
look_up(const CloudStore *store, const char *name, bool may_list, CloudEntry *ret_entry,
        bool *ret_fresh)
{
    CloudLive *live = store->live;
    int result = STORE_UNKNOWN;
    unsigned failed_before = live->lists_failed;
    pthread_mutex_lock(&live->listing);
    bool listed = is_listed(live, name);
    bool list = !listed && may_list;
    if (list && live->lists_failed != failed_before) { /* while we waited: it would again */
        error_restore(&live->list_error);
        pthread_mutex_unlock(&live->listing);
        return -1;
    }
    int answer = list ? list_from(store, name) : 0;
    if (answer < 0) {
        live->list_error = *error_last();
        live->lists_failed++;
    }
    if (answer == 0 && (listed || list)) {
        size_t at = first_of(&live->known, name);
        bool found = at < live->known.count && strcmp(live->known.items[at].name, name) == 0;
        if (found)
            *ret_entry = live->known.items[at];
        result = found ? 0 : STORE_MISSING;
    }
    pthread_mutex_unlock(&live->listing);
    *ret_fresh = list;
    if (list && cloud_note(store, answer) < 0)
        return -1;
    return result;
}

int
cloud_holds(const Store *base, const char *name)
{
    const CloudStore *store = cloud(base);
    CloudEntry entry;
    bool fresh = false;
    if (store->alone)
        return STORE_MISSING;
    if (wal_kind(name) == WAL_HISTORY)
        return cloud_find(store, name, &entry);
    TRY(cloud_allowed(store));
    return look_up(store, name, true, &entry, &fresh);
}

int
cloud_locate(const CloudStore *store, const char *name, CloudEntry *ret_entry, bool *ret_fresh)
{
    bool many = __atomic_exchange_n(&store->live->located, true, __ATOMIC_RELAXED);
    if (wal_kind(name) != WAL_HISTORY) {
        TRY(cloud_allowed(store));
        int found = look_up(store, name, many, ret_entry, ret_fresh);
        if (found <= 0 || (found == STORE_MISSING && *ret_fresh))
            return found;
    }
    *ret_fresh = true;
    return cloud_find(store, name, ret_entry);
}

/* The whole */

int
cloud_list(const Store *base, StoreWants *wanted, StoreVisit *visit, void *context,
           size_t *strangers)
{
    CloudEntries entries;
    int result = 0;
    TRY(cloud_collect(cloud(base), "", &entries, strangers));
    for (size_t i = 0; i < entries.count && result == 0; i++) {
        const CloudEntry *entry = &entries.items[i];
        char hash_dir[WAL_HASH_DIR_ROOM];
        wal_hash_dir(entry->name, hash_dir);
        if (i > 0 && strcmp(entry->name, entry[-1].name) == 0) {
            ++*strangers;
        } else if (!wanted || (*hash_dir && wanted(context, hash_dir))) {
            struct stat st = cloud_stat_of(entry);
            result = visit(context, entry->name, &st);
        }
    }
    free(entries.items);
    return result;
}

static int
find_one(void *context, const char *key, const ObjectInfo *info)
{
    (void)context, (void)key, (void)info;
    return STORE_EMPTY; /* by which the listing ends */
}

int
cloud_is_empty(const Store *base)
{
    const CloudStore *store = cloud(base);
    TRY(cloud_allowed(store));
    int found = cloud_note(store, bucket_list(store->bucket, store->root, NULL, find_one, NULL));
    return found < 0 ? found : found == STORE_EMPTY ? 0 : STORE_EMPTY;
}

/* Removing */

typedef struct Removing {
    const CloudStore *store;
    StoreRemoval *batch;
    ObjectRemoval *objects;
    size_t *owners; /* of each object: which of the batch it belongs to */
    size_t count, room;
} Removing;

static void
add_object(Removing *removing, size_t owner, const CloudEntry *entry)
{
    if (removing->count == removing->room) {
        removing->room = removing->room ? 2 * removing->room : 64;
        removing->objects =
            mem_resize(removing->objects, removing->room, sizeof(*removing->objects));
        removing->owners = mem_resize(removing->owners, removing->room, sizeof(size_t));
    }
    char *key = cloud_key(removing->store, entry->name, entry->extension);
    removing->objects[removing->count] = (ObjectRemoval){.key = key};
    removing->owners[removing->count++] = owner;
}

/* The objects of the files from..to, which are in one hash directory; of one history file. */
static int
find_objects(Removing *removing, size_t from, size_t to)
{
    char below[WAL_PATH_ROOM];
    CloudEntries entries;
    size_t strangers = 0;
    if (wal_kind(removing->batch[from].name) == WAL_HISTORY)
        wal_relative_path(removing->batch[from].name, below);
    else
        wal_hash_dir(removing->batch[from].name, below);
    TRY(cloud_collect(removing->store, below, &entries, &strangers));
    for (size_t i = from; i < to; i++) {
        StoreRemoval *removal = &removing->batch[i];
        removal->missing = true;
        removal->error = NULL;
        for (size_t at = first_of(&entries, removal->name);
             at < entries.count && strcmp(entries.items[at].name, removal->name) == 0; at++) {
            add_object(removing, i, &entries.items[at]);
            removal->missing = false;
        }
    }
    free(entries.items);
    return 0;
}

static int
find_all(Removing *removing, size_t count)
{
    for (size_t from = 0, to; from < count; from = to) {
        char here[WAL_HASH_DIR_ROOM], next[WAL_HASH_DIR_ROOM];
        wal_hash_dir(removing->batch[from].name, here);
        for (to = from + 1; to < count && *here; to++) {
            wal_hash_dir(removing->batch[to].name, next);
            if (strcmp(here, next) != 0)
                break;
        }
        TRY(find_objects(removing, from, to));
    }
    return 0;
}

static int
remove_objects(const Removing *removing)
{
    const CloudStore *store = removing->store;
    size_t most = store->removal_batch > 0 ? (size_t)store->removal_batch : removing->count;
    for (size_t from = 0; from < removing->count; from += most) {
        size_t left = removing->count - from;
        TRY(cloud_allowed(store));
        TRY(cloud_note(store, bucket_remove(store->bucket, removing->objects + from,
                                            left < most ? left : most)));
    }
    return 0;
}

int
cloud_remove(Store *base, StoreRemoval *batch, size_t count)
{
    Removing removing = {.store = cloud(base), .batch = batch};
    int result = find_all(&removing, count);
    if (result == 0)
        result = remove_objects(&removing);
    for (size_t i = 0; i < removing.count; i++) {
        char **error = &batch[removing.owners[i]].error;
        if (result == 0 && !*error)
            *error = take(removing.objects[i].error);
        free(removing.objects[i].error);
        free((char *)removing.objects[i].key);
    }
    free(removing.objects);
    free(removing.owners);
    return result;
}
