/* SPDX-License-Identifier: PostgreSQL
 * The receiver's conversation with the walsender: takes messages, hands WAL to the writer, and says
 * how far we are. It never waits for the disk, so that keepalives are answered while that stalls;
 * and it never says "flushed" but by the writer's word. Synchronous or not, news of a flush are
 * told at once: the writer decides how often there are any. */
#include "flow/intake/stream.h"

#include "base/clock.h"
#include "base/proc.h"
#include "flow/intake/pace.h"
#include "flow/intake/writer.h"
#include "wal/name.h"

enum {
    STATUS_MS = 10000,  /* a report, and a sync before it, at least so often */
    HELLO_MS = 3000,    /* the first report, unless the server speaks before */
    STALL_MS = 1000,    /* a report while the disk keeps us from hearing what the server asks */
    SILENCE_MS = 60000, /* without a word from the server, even when asked, it is lost */
    STOP_LATENCY_MS = 200,
    FAREWELL_MS = 500, /* for the server to see that we go */
    MESSAGES_AT_ONCE = 64,
};

typedef struct Stream {
    const StreamSpec *spec;
    PgConnection *connection;
    WalWriter *writer;
    SyncWatch *watch;
    bool synchronous; /* as the writer knows it */
    Lsn expected;     /* next byte */
    PgMessage held;   /* did not fit into the writer's queue */
    bool is_held;
    bool wants_reply; /* the server asked for a report */
    bool asked;       /* we asked for one */
    bool is_heard;    /* has sent anything */
    Pace pace;        /* heeded always, followed while synchronous */
    int taken;        /* messages, since the last wait */
    int64_t heard_ms, reported_ms;
    Lsn server_end; /* as it was told last; 0: not yet */
    Lsn reported;   /* flushed */
    Lsn told;       /* written */
} Stream;

typedef enum Intake { INTAKE_EMPTY = 0, INTAKE_MORE = 1, INTAKE_FULL = 2, INTAKE_ENDED = 3 } Intake;

/* False when the writer has no room for it. */
static bool
hand_over(Stream *stream)
{
    const PgMessage *message = &stream->held;
    stream->is_held = !writer_push(stream->writer, message->memory, message->data, message->size);
    return !stream->is_held;
}

static int
take_message(Stream *stream, PgMessage *message)
{
    stream->server_end = message->server_end;
    if (message->kind == PG_MESSAGE_KEEPALIVE) {
        stream->wants_reply |= message->wants_reply;
        pg_message_free(message->memory);
        return 0;
    }
    if (message->start != stream->expected || message->size > UINT64_MAX - message->start) {
        char got[LSN_ROOM], expected[LSN_ROOM];
        lsn_format(message->start, got);
        lsn_format(stream->expected, expected);
        pg_message_free(message->memory);
        return fail(ERR_DATA, "the server sent WAL from %s, and %s was expected", got, expected);
    }
    stream->expected += message->size;
    stream->held = *message;
    stream->is_held = true;
    return 0;
}

/* What is at hand, but not more than that a report can wait. An Intake, or <0. */
static int
take_messages(Stream *stream)
{
    stream->taken = 0;
    while (stream->taken < MESSAGES_AT_ONCE) {
        if (stream->is_held && !hand_over(stream))
            return INTAKE_FULL;
        PgMessage message;
        int result = pg_stream_next(stream->connection, &message);
        if (result == PG_STREAM_EMPTY)
            return INTAKE_EMPTY;
        if (result == PG_STREAM_ENDED)
            return INTAKE_ENDED;
        if (result < 0)
            return result;
        stream->taken++;
        stream->heard_ms = clock_ms();
        stream->asked = false;
        stream->wants_reply |= !stream->is_heard;
        stream->is_heard = true;
        TRY(take_message(stream, &message));
    }
    return INTAKE_MORE;
}

/* As the server may know it. Nothing before it is certain that its WAL goes on where ours ends: it
 * would take that for its own WAL, and a commit might count it. (It has to hear a position that
 * was written: when it shuts down, it waits for that.) A server that has nothing there yet cannot
 * prove anything, and a commit that ends there may be waiting. */
static Lsn
flushed_of(const Stream *stream, const WriterProgress *progress)
{
    bool idle = stream->server_end == stream->spec->from.lsn;
    return progress->proven || idle ? progress->flushed : 0;
}

/* From the writer's thread, while the disk keeps us. */
static void
report_stall(void *context, const WriterProgress *progress)
{
    const Stream *stream = context;
    /* A failure shows when we are back. */
    (void)pg_stream_report(stream->connection, progress->written, flushed_of(stream, progress),
                           false);
}

static void
go(Stream *stream)
{
    int64_t start = clock_ms();
    writer_go(stream->writer);
    if (clock_ms() - start >= WRITER_STALL_MS)
        stream->heard_ms = clock_ms(); /* it was us who did not listen */
}

static int
report(Stream *stream, const WriterProgress *progress, bool ask)
{
    TRY(pg_stream_report(stream->connection, progress->written, flushed_of(stream, progress), ask));
    stream->reported = flushed_of(stream, progress);
    stream->reported_ms = clock_ms();
    stream->wants_reply = false;
    stream->asked |= ask;
    return 0;
}

static int
report_if_due(Stream *stream, const WriterProgress *progress, bool stalled)
{
    int64_t now = clock_ms(), interval = stalled ? STALL_MS : STATUS_MS;
    bool due = stream->wants_reply || now - stream->reported_ms >= interval;
    bool unsure = due && !progress->proven && !stream->server_end;
    bool ask = !stream->asked && (unsure || now - stream->heard_ms >= SILENCE_MS / 2);
    /* A server that asks may be waiting, before it shuts down, for all to be flushed. */
    if (due && progress->flushed < stream->expected)
        writer_sync(stream->writer);
    if (due || ask || flushed_of(stream, progress) != stream->reported)
        return report(stream, progress, ask);
    return 0;
}

static void
tell_progress(Stream *stream, const WriterProgress *progress)
{
    const StreamSpec *spec = stream->spec;
    if (!spec->progress || progress->written == stream->told)
        return;
    stream->told = progress->written;
    spec->progress(spec->progress_context, spec->from.timeline, progress->written,
                   spec->segment_size);
}

static void
heed_watch(Stream *stream)
{
    bool synchronous = sync_watch_get(stream->watch);
    if (synchronous == stream->synchronous)
        return;
    stream->synchronous = synchronous;
    writer_set_synchronous(stream->writer, synchronous);
}

static int
wait_for_news(Stream *stream, Intake intake)
{
    bool hurry = stream->synchronous && intake == INTAKE_EMPTY;
    int64_t start = clock_us();
    TRY(pg_stream_wait(stream->connection, intake != INTAKE_FULL, writer_fd(stream->writer),
                       intake == INTAKE_MORE ? 0 : STOP_LATENCY_MS,
                       hurry ? pace_awake_us(&stream->pace) : 0));
    pace_heed(&stream->pace, clock_us() - start, stream->taken);
    if (hurry)
        pace_gather(&stream->pace);
    return 0;
}

/* Until the server ends the stream: 0. */
static int
pump(Stream *stream)
{
    for (;;) {
        TRY(stop_check());
        writer_fd_clear(stream->writer);
        heed_watch(stream);
        int intake = take_messages(stream);
        if (intake < 0)
            return intake;
        if (stream->synchronous)
            go(stream);
        WriterProgress progress = writer_progress(stream->writer);
        if (progress.failed)
            return fail(ERR_IO, "the WAL cannot be written"); /* the writer knows better */
        tell_progress(stream, &progress);
        if (intake == INTAKE_ENDED)
            return 0; /* and no report, which could not be sent: the server has more to say */
        TRY(report_if_due(stream, &progress, intake == INTAKE_FULL));
        if (intake == INTAKE_FULL)
            stream->heard_ms = clock_ms(); /* it is us who do not listen */
        if (clock_ms() - stream->heard_ms >= SILENCE_MS)
            return fail(ERR_TIMEOUT, "the server was silent for %d s", SILENCE_MS / 1000);
        TRY(wait_for_news(stream, intake));
    }
}

/* We were told to stop: the server shall know what we have, and that we go. Nothing depends on it.
 */
static void
say_farewell(Stream *stream, const WriterProgress *progress)
{
    int64_t deadline = clock_ms() + FAREWELL_MS;
    if (pg_stream_report(stream->connection, progress->written, flushed_of(stream, progress),
                         false) < 0 ||
        pg_stream_close(stream->connection) < 0)
        return;
    while (clock_ms() < deadline) {
        PgMessage message;
        int result = pg_stream_next(stream->connection, &message);
        if (result == 0)
            pg_message_free(message.memory);
        else if (result != PG_STREAM_EMPTY ||
                 pg_stream_wait(stream->connection, true, -1, FAREWELL_MS / 10, 0) < 0)
            return;
    }
}

/* Ends the writer after the pump, whose failure is told unless the disk has failed. */
static int
settle(Stream *stream, int result, StreamResult *ret_result)
{
    Error error = *error_last();
    WriterProgress progress;
    assert(result != 0 || !stream->is_held);
    if (stream->is_held)
        pg_message_free(stream->held.memory);
    int stopped = writer_stop(stream->writer, &progress);
    ret_result->wrote = progress.written > stream->spec->from.lsn;
    ret_result->disk_failed = stopped < 0;
    if (stopped < 0)
        return stopped;
    if (result < 0 && error.class == ERR_STOPPED)
        say_farewell(stream, &progress);
    if (result < 0)
        error_restore(&error);
    return result;
}

static int
check_end(const PgTimelineEnd *end, const StreamSpec *spec, Lsn received)
{
    if (end->next > spec->from.timeline && end->start <= received)
        return PG_STREAM_SWITCHED;
    char start[LSN_ROOM], got[LSN_ROOM];
    lsn_format(end->start, start);
    lsn_format(received, got);
    return fail(ERR_DATA,
                "after timeline %u, received up to %s, the server goes on with timeline %u at %s",
                spec->from.timeline, got, end->next, start);
}

int
stream_timeline(const StreamSpec *spec, StreamResult *ret_result)
{
    *ret_result = (StreamResult){0};
    int result = pg_stream_start(spec->connection, spec->slot, spec->from.timeline, spec->from.lsn,
                                 &ret_result->end);
    if (result < 0)
        return result;
    ret_result->begun = true;
    if (result == PG_STREAM_SWITCHED)
        return check_end(&ret_result->end, spec, spec->from.lsn);

    /* A report as soon as the server sends something, or after a moment, so that it knows us; then
     * every STATUS_MS. Not at once: a server that has to find out yet that it does not have this
     * WAL any more would move the slot to where we say, and there it would stay. */
    Stream stream = {.spec = spec,
                     .connection = spec->connection,
                     .watch = spec->watch,
                     .synchronous = sync_watch_get(spec->watch),
                     .expected = spec->from.lsn,
                     .heard_ms = clock_ms(),
                     .reported_ms = clock_ms() - STATUS_MS + HELLO_MS,
                     .reported = spec->seam ? 0 : spec->from.lsn};
    WriterSpec writer = {.directory = spec->directory,
                         .segment_size = spec->segment_size,
                         .timeline = spec->from.timeline,
                         .start = spec->from.lsn,
                         .begins = spec->begins,
                         .seam = spec->seam,
                         .synchronous = stream.synchronous,
                         .release = pg_message_free,
                         .stalled = report_stall,
                         .context = &stream};
    result = writer_start(&writer, &stream.writer);
    ret_result->disk_failed = result < 0;
    if (result == 0) {
        pace_begin(&stream.pace);
        result = settle(&stream, pump(&stream), ret_result);
        pace_end(&stream.pace);
    }
    if (result < 0)
        return result;
    result = pg_stream_finish(spec->connection, &ret_result->end);
    return result == PG_STREAM_SWITCHED ? check_end(&ret_result->end, spec, stream.expected)
                                        : result;
}
