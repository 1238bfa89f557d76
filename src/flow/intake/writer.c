/* SPDX-License-Identifier: PostgreSQL
 * The receiver's files have one owner at a time: the writer's thread, or, when a commit waits for
 * little, the caller itself, so that nobody else has to wake up first. The owner takes whatever has
 * come meanwhile, writes it, and syncs once for all of that: while the disk is busy with one sync,
 * the next group gathers. "Flushed" is told only of what an fsync has covered. After the first
 * failure nothing is written any more: what the kernel lost in a failed fsync it would not tell a
 * second time. */
#include "flow/intake/writer.h"

#include "base/clock.h"
#include "base/mem.h"
#include "flow/intake/segment.h"
#include "wal/name.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    QUEUE_ITEMS = 1024,
    QUEUE_BYTES = 16 << 20,
    OWN_HANDS_BYTES = 256 << 10, /* more than that is left to the thread */
    CACHED_SEGMENTS = 4,
};

typedef enum Owner { OWNER_NONE, OWNER_THREAD, OWNER_CALLER } Owner;

typedef struct Item {
    void *memory;
    const char *data;
    size_t size;
    bool at_once; /* of one that is taken: it will be synced at once */
} Item;

struct WalWriter {
    WriterSpec spec;
    pthread_t thread;
    int event_fd;
    atomic_bool event_set; /* spares system calls */
    Error error;           /* set before progress.failed */

    /* The owner's */
    Segment segment;
    Seam *seam; /* NULL as soon as what comes is known to belong there */
    Lsn at, flushed;
    size_t group; /* items that are left of those that were there when the last sync ended */

    pthread_mutex_t mutex;     /* for all below */
    pthread_cond_t work, calm; /* for the thread; for the caller */
    Owner owner;
    int64_t owned_ms;        /* since when it is the caller */
    bool covers;             /* the thread speaks to the server in the caller's place */
    Item items[QUEUE_ITEMS]; /* a ring */
    size_t first, count, bytes;
    bool starved; /* a push was refused: tell when there is room */
    bool sync_wanted, stopping;
    WriterProgress progress;
};

static void
wake(WalWriter *writer)
{
    if (!atomic_exchange(&writer->event_set, true))
        (void)eventfd_write(writer->event_fd, 1);
}

static void
tell(WalWriter *writer)
{
    pthread_mutex_lock(&writer->mutex);
    bool news = (writer->flushed != writer->progress.flushed ||
                 writer->progress.proven == (writer->seam != NULL)) &&
                writer->owner == OWNER_THREAD;
    writer->progress.written = writer->at;
    writer->progress.flushed = writer->flushed;
    writer->progress.proven = !writer->seam;
    pthread_mutex_unlock(&writer->mutex);
    if (news)
        wake(writer);
}

/* Who catches up with many segments would fill the memory of this host with them, in the place of
 * what others need, and memory that is taken anew is slower than that which was just given back.
 * The archiver finds the newest few in the cache, and has to fetch the others only if it is far
 * behind.
 */
static void
forget_older(const WriterSpec *spec, Lsn end)
{
    char name[WAL_NAME_ROOM];
    uint64_t distance = (uint64_t)spec->segment_size * CACHED_SEGMENTS;
    if (end - spec->start <= distance)
        return;
    wal_segment_name(spec->timeline, end - distance - spec->segment_size, spec->segment_size, name);
    segment_forget(spec->directory, name);
}

/* Before anything of it is written. */
static int
hold_against_seam(WalWriter *writer, const char *data, size_t size)
{
    int result = writer->seam ? seam_feed(writer->seam, data, size) : 0;
    if (result != SEAM_HOLDS)
        return result;
    writer->seam = NULL;
    segment_prove(&writer->segment);
    return 0;
}

static int
write_item(WalWriter *writer, const char *data, size_t size, bool at_once)
{
    const WriterSpec *spec = &writer->spec;
    Segment *segment = &writer->segment;
    while (size > 0) {
        if (segment->fd < 0)
            TRY(segment_open(spec->directory, spec->timeline, writer->at, spec->segment_size,
                             spec->begins, writer->seam != NULL, segment));
        size_t room = segment->size - segment->filled, part = size < room ? size : room;
        TRY(hold_against_seam(writer, data, part));
        if (part <= OWN_HANDS_BYTES && at_once)
            TRY(segment_prepare(segment, part));
        TRY(segment_write(segment, data, part));
        writer->at += part;
        data += part;
        size -= part;
        if (segment->filled == segment->size) {
            TRY(segment_finish(segment));
            forget_older(spec, writer->at);
            writer->flushed = writer->at;
        }
        tell(writer);
    }
    return 0;
}

/* What the owner is to do next */
typedef enum Work { WORK_NONE, WORK_WRITE, WORK_SYNC } Work;

/* Under the mutex, by the owner to be. A stream that never pauses must not keep a sync waiting. */
static Work
next_work(WalWriter *writer, Item *ret_item)
{
    bool wanted = writer->spec.synchronous || writer->sync_wanted || writer->stopping;
    bool dirty = writer->flushed < writer->at && !writer->segment.named_at;
    bool sync = dirty && wanted && (writer->group == 0 || writer->count == 0);
    if (writer->count == 0)
        writer->sync_wanted = false; /* what was asked for is covered by this sync */
    if (writer->progress.failed)
        return WORK_NONE;
    if (sync || writer->count == 0)
        return sync ? WORK_SYNC : WORK_NONE;
    writer->group = writer->group ? writer->group - 1 : writer->count - 1;
    *ret_item = writer->items[writer->first];
    ret_item->at_once = writer->spec.synchronous; /* which may change once the mutex is free */
    writer->first = (writer->first + 1) % QUEUE_ITEMS;
    writer->count--;
    writer->bytes -= ret_item->size;
    if (writer->starved && writer->bytes <= QUEUE_BYTES / 2) {
        writer->starved = false;
        wake(writer);
    }
    return WORK_WRITE;
}

static int
do_work(WalWriter *writer, Work work, const Item *item)
{
    if (work == WORK_WRITE) {
        int result = write_item(writer, item->data, item->size, item->at_once);
        writer->spec.release(item->memory);
        return result;
    }
    TRY(segment_sync(&writer->segment));
    writer->flushed = writer->at;
    tell(writer);
    return 0;
}

/* Until there is nothing to do for the owner. With the mutex, which is free while it works. */
static void
work_off(WalWriter *writer, Owner owner)
{
    Item item;
    writer->owner = owner;
    for (Work work; (work = next_work(writer, &item)) != WORK_NONE;) {
        pthread_mutex_unlock(&writer->mutex);
        int result = do_work(writer, work, &item);
        pthread_mutex_lock(&writer->mutex);
        if (result < 0) {
            writer->error = *error_last();
            writer->progress.failed = true;
            wake(writer);
        }
    }
    writer->owner = OWNER_NONE;
}

/* A caller that is kept by the disk for long cannot keep the server from thinking that we are gone.
 */
static void
cover_caller(WalWriter *writer)
{
    if (writer->owner != OWNER_CALLER || clock_ms() - writer->owned_ms < WRITER_STALL_MS)
        return;
    WriterProgress progress = writer->progress;
    writer->covers = true;
    pthread_mutex_unlock(&writer->mutex);
    writer->spec.stalled(writer->spec.context, &progress);
    pthread_mutex_lock(&writer->mutex);
    writer->covers = false;
    pthread_cond_signal(&writer->calm);
}

static void
wait_for_work(WalWriter *writer)
{
    struct timespec until;
    if (!writer->spec.synchronous) {
        pthread_cond_wait(&writer->work, &writer->mutex);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WRITER_STALL_MS / 1000;
    pthread_cond_timedwait(&writer->work, &writer->mutex, &until);
    cover_caller(writer);
}

static void *
thread_main(void *argument)
{
    WalWriter *writer = argument;
    pthread_mutex_lock(&writer->mutex);
    for (;;) {
        if (writer->owner == OWNER_NONE)
            work_off(writer, OWNER_THREAD);
        if (writer->stopping || writer->progress.failed)
            break;
        wait_for_work(writer);
    }
    pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

void
writer_go(WalWriter *writer)
{
    pthread_mutex_lock(&writer->mutex);
    if (writer->owner == OWNER_NONE && writer->spec.synchronous &&
        writer->bytes <= OWN_HANDS_BYTES) {
        writer->owned_ms = clock_ms();
        work_off(writer, OWNER_CALLER);
        while (writer->covers)
            pthread_cond_wait(&writer->calm, &writer->mutex);
    }
    if (writer->count > 0)
        pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->mutex);
}

static void
writer_free(WalWriter *writer)
{
    for (; writer->count > 0; writer->count--) {
        writer->spec.release(writer->items[writer->first].memory);
        writer->first = (writer->first + 1) % QUEUE_ITEMS;
    }
    segment_close(&writer->segment);
    if (writer->event_fd >= 0)
        close(writer->event_fd);
    pthread_cond_destroy(&writer->work);
    pthread_cond_destroy(&writer->calm);
    pthread_mutex_destroy(&writer->mutex);
    free(writer);
}

int
writer_start(const WriterSpec *spec, WalWriter **ret_writer)
{
    assert(spec->start % spec->segment_size == 0);
    WalWriter *writer = mem_alloc(sizeof(*writer));
    writer->spec = *spec;
    writer->segment.fd = -1;
    writer->at = writer->flushed = spec->start;
    writer->seam = spec->seam;
    writer->progress =
        (WriterProgress){.written = spec->start, .flushed = spec->start, .proven = !spec->seam};
    pthread_mutex_init(&writer->mutex, NULL);
    clock_condition_init(&writer->work);
    pthread_cond_init(&writer->calm, NULL);
    writer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int result = writer->event_fd < 0 ? fail_errno("make an event") : 0;
    if (result == 0) {
        errno = pthread_create(&writer->thread, NULL, thread_main, writer);
        result = errno ? fail_errno("start a thread") : 0;
    }
    if (result < 0) {
        writer_free(writer);
        return result;
    }
    *ret_writer = writer;
    return 0;
}

bool
writer_push(WalWriter *writer, void *memory, const char *data, size_t size)
{
    pthread_mutex_lock(&writer->mutex);
    bool fits = writer->count < QUEUE_ITEMS && (writer->count == 0 || writer->bytes < QUEUE_BYTES);
    if (fits) {
        size_t last = (writer->first + writer->count) % QUEUE_ITEMS;
        writer->items[last] = (Item){.memory = memory, .data = data, .size = size};
        writer->count++;
        writer->bytes += size;
        if (!writer->spec.synchronous)
            pthread_cond_signal(&writer->work);
    }
    writer->starved = !fits;
    pthread_mutex_unlock(&writer->mutex);
    return fits;
}

void
writer_set_synchronous(WalWriter *writer, bool synchronous)
{
    pthread_mutex_lock(&writer->mutex);
    writer->spec.synchronous = synchronous;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->mutex);
}

void
writer_sync(WalWriter *writer)
{
    pthread_mutex_lock(&writer->mutex);
    writer->sync_wanted = true;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->mutex);
}

WriterProgress
writer_progress(WalWriter *writer)
{
    pthread_mutex_lock(&writer->mutex);
    WriterProgress progress = writer->progress;
    pthread_mutex_unlock(&writer->mutex);
    return progress;
}

int
writer_fd(const WalWriter *writer)
{
    return writer->event_fd;
}

void
writer_fd_clear(WalWriter *writer)
{
    eventfd_t count;
    if (atomic_exchange(&writer->event_set, false))
        (void)eventfd_read(writer->event_fd, &count);
}

int
writer_stop(WalWriter *writer, WriterProgress *ret_progress)
{
    pthread_mutex_lock(&writer->mutex);
    writer->stopping = true;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL);
    if (ret_progress)
        *ret_progress = writer->progress;
    bool failed = writer->progress.failed;
    if (failed)
        error_restore(&writer->error);
    writer_free(writer);
    return failed ? -1 : 0;
}
