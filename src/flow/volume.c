/* SPDX-License-Identifier: PostgreSQL
 * Buckets that grow: when a row comes that does not fit, each few of them become one. A length is
 * always a multiple of the one before it, so that no bucket is ever divided. */
#include "flow/volume.h"

#include "base/file.h"

enum { DAY = 86400, EARLIEST = 1104537600 /* 2005: no PostgreSQL archived WAL before */ };

static const int64_t widths[] = {1, 5, 15, 60, 300, 900, 3600, 10800, 43200, DAY};

void
volume_init(Volume *volume, time_t now)
{
    *volume = (Volume){.width = widths[0], .latest = now + DAY};
}

int64_t
volume_begin(const Volume *volume, size_t i)
{
    return (volume->first + (int64_t)i) * volume->width;
}

static int64_t
next_width(int64_t width)
{
    for (size_t i = 0; i < COUNT_OF(widths); i++)
        if (widths[i] > width)
            return widths[i];
    return 2 * width;
}

static void
keep_newer(VolumeBucket *bucket, const char *name, struct timespec time)
{
    if (bucket->newest[0] && time.tv_sec < bucket->time.tv_sec)
        return;
    memcpy(bucket->newest, name, sizeof(bucket->newest));
    bucket->time = time;
}

static void
coarsen(Volume *volume)
{
    int64_t width = next_width(volume->width), first = volume->first * volume->width / width;
    size_t count = 0;
    for (size_t i = 0; i < volume->count; i++) {
        size_t to = (size_t)(volume_begin(volume, i) / width - first);
        VolumeBucket *from = &volume->buckets[i], *into = &volume->buckets[to];
        count = to + 1;
        if (to == i)
            continue;
        into->segments += from->segments;
        into->stored += from->stored;
        if (from->newest[0])
            keep_newer(into, from->newest, from->time);
        *from = (VolumeBucket){0};
    }
    volume->width = width;
    volume->first = first;
    volume->count = count;
}

static bool
has_room(const Volume *volume, int64_t number)
{
    int64_t last = volume->first + (int64_t)volume->count - 1;
    int64_t from = number < volume->first ? number : volume->first;
    int64_t to = number > last ? number : last;
    return volume->count == 0 || to - from < VOLUME_BUCKETS;
}

/* The bucket of that time, after the others made room for it. */
static VolumeBucket *
bucket_for(Volume *volume, int64_t time)
{
    while (!has_room(volume, time / volume->width))
        coarsen(volume);
    int64_t number = time / volume->width;
    if (volume->count == 0)
        volume->first = number;
    if (number < volume->first) {
        size_t more = (size_t)(volume->first - number);
        memmove(volume->buckets + more, volume->buckets, volume->count * sizeof(VolumeBucket));
        memset(volume->buckets, 0, more * sizeof(VolumeBucket));
        volume->first = number;
        volume->count += more;
    }
    size_t i = (size_t)(number - volume->first);
    if (i >= volume->count)
        volume->count = i + 1;
    return &volume->buckets[i];
}

void
volume_add(Volume *volume, const WalFile *row)
{
    if (row->kind != WAL_SEGMENT)
        return;
    if (row->mtime.tv_sec < EARLIEST || row->mtime.tv_sec > volume->latest) {
        volume->untimed++;
        return;
    }
    VolumeBucket *bucket = bucket_for(volume, row->mtime.tv_sec);
    bucket->segments++;
    bucket->stored += row->size;
    keep_newer(bucket, row->name, row->mtime);
}

void
volume_measure_lag(Volume *volume, const Store *store)
{
    for (size_t i = 0; i < volume->count; i++) {
        VolumeBucket *bucket = &volume->buckets[i];
        struct stat st;
        bucket->lag = -1;
        if (store && bucket->newest[0] && store_stat(store, bucket->newest, &st) == 0)
            bucket->lag = timespec_seconds(st.st_ctim) - timespec_seconds(bucket->time);
    }
}
