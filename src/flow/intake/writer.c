/* SPDX-License-Identifier: PostgreSQL
 * The thread that owns the files of the receiver. It takes whatever has come meanwhile, writes it,
 * and syncs once for all of that: while the disk is busy with one sync, the next group gathers.
 * "Flushed" is told only of what an fsync has covered. After the first failure nothing is written
 * any more: what the kernel lost in a failed fsync it would not tell a second time. */
#include "flow/intake/writer.h"

#include "base/mem.h"
#include "flow/intake/segment.h"
#include "wal/name.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { QUEUE_ITEMS = 1024, QUEUE_BYTES = 16 << 20, CACHED_SEGMENTS = 4 };

typedef struct Item {
    void *memory;
    const char *data;
    size_t size;
} Item;

struct WalWriter {
    WriterSpec spec;
    pthread_t thread;
    int event_fd;
    Segment segment; /* the thread's */
    Error error;     /* set before progress.failed */

    pthread_mutex_t mutex; /* for all below */
    pthread_cond_t work;
    Item items[QUEUE_ITEMS]; /* a ring */
    size_t first, count, bytes;
    bool starved; /* a push was refused: tell when there is room */
    bool sync_wanted, stopping;
    WriterProgress progress;
};

static void
wake(WalWriter *writer)
{
    (void)eventfd_write(writer->event_fd, 1);
}

static void
tell(WalWriter *writer, Lsn written, Lsn flushed)
{
    pthread_mutex_lock(&writer->mutex);
    bool news = flushed != writer->progress.flushed;
    writer->progress.written = written;
    writer->progress.flushed = flushed;
    pthread_mutex_unlock(&writer->mutex);
    if (news)
        wake(writer);
}

/* Who catches up with many segments would fill the memory of this host with them, in the place of
 * what others need, and memory that is taken anew is slower than that which was just given back. The
 * archiver finds the newest few in the cache, and has to fetch the others only if it is far behind.
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

static int
write_item(WalWriter *writer, const char *data, size_t size, Lsn *at, Lsn *flushed)
{
    const WriterSpec *spec = &writer->spec;
    Segment *segment = &writer->segment;
    while (size > 0) {
        if (segment->fd < 0)
            TRY(segment_open(spec->directory, spec->timeline, *at, spec->segment_size, spec->begins,
                             segment));
        size_t room = segment->size - segment->filled, part = size < room ? size : room;
        TRY(segment_write(segment, data, part));
        *at += part;
        data += part;
        size -= part;
        if (segment->filled == segment->size) {
            TRY(segment_finish(segment));
            forget_older(spec, *at);
            *flushed = *at;
        }
        tell(writer, *at, *flushed);
    }
    return 0;
}

/* What the thread is to do next */
typedef enum Work { WORK_WRITE, WORK_SYNC, WORK_END } Work;

/* Waits for it. dirty: something written is not synced and can be. group: items that are left of
 * those that were there when the last sync ended; a stream that never pauses must not keep a sync
 * waiting. */
static Work
take_work(WalWriter *writer, bool dirty, size_t *group, Item *ret_item)
{
    Work work = WORK_END;
    pthread_mutex_lock(&writer->mutex);
    for (;;) {
        bool wanted = writer->spec.synchronous || writer->sync_wanted || writer->stopping;
        if (dirty && wanted && (*group == 0 || writer->count == 0))
            work = WORK_SYNC;
        else if (writer->count > 0)
            work = WORK_WRITE;
        if (writer->count == 0)
            writer->sync_wanted = false; /* what was asked for is covered by this sync */
        if (work != WORK_END || writer->stopping)
            break;
        pthread_cond_wait(&writer->work, &writer->mutex);
    }
    if (work == WORK_WRITE) {
        *group = *group ? *group - 1 : writer->count - 1;
        *ret_item = writer->items[writer->first];
        writer->first = (writer->first + 1) % QUEUE_ITEMS;
        writer->count--;
        writer->bytes -= ret_item->size;
        if (writer->starved && writer->bytes <= QUEUE_BYTES / 2) {
            writer->starved = false;
            wake(writer);
        }
    }
    pthread_mutex_unlock(&writer->mutex);
    return work;
}

static int
do_work(WalWriter *writer)
{
    Lsn at = writer->spec.start, flushed = at;
    size_t group = 0;
    Item item;
    for (;;) {
        int result = 0;
        bool dirty = flushed < at && !writer->segment.named_at;
        switch (take_work(writer, dirty, &group, &item)) {
        case WORK_WRITE:
            result = write_item(writer, item.data, item.size, &at, &flushed);
            writer->spec.release(item.memory);
            TRY(result);
            break;
        case WORK_SYNC:
            TRY(segment_sync(&writer->segment));
            flushed = at;
            tell(writer, at, flushed);
            break;
        case WORK_END:
            return 0;
        }
    }
}

static void *
thread_main(void *argument)
{
    WalWriter *writer = argument;
    if (do_work(writer) < 0) {
        pthread_mutex_lock(&writer->mutex);
        writer->error = *error_last();
        writer->progress.failed = true;
        pthread_mutex_unlock(&writer->mutex);
        wake(writer);
    }
    return NULL;
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
    writer->progress = (WriterProgress){.written = spec->start, .flushed = spec->start};
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->work, NULL);
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
        writer->items[last] = (Item){memory, data, size};
        writer->count++;
        writer->bytes += size;
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
