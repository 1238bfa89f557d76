/* SPDX-License-Identifier: PostgreSQL
 * Pieces follow on each other: a shipper that begins anew goes on behind what it finds in the
 * store, since WAL that a server has sent does not change. Pieces are removed when the archive has
 * the segment, whole or as the partial one at the end of its timeline. */
#include "flow/shipper.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "flow/custom.h"
#include "flow/growing.h"
#include "flow/place.h"
#include "wal/name.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

enum { PIECE_MAX = 4 << 20, ANSWER_MS = 30 * 1000 };

struct Shipper {
    const ServerConfig *server;
    pthread_t thread;

    /* The thread's */
    Arena *arena;
    CustomCodec custom;        /* for its keyring */
    const CipherClass *cipher; /* NULL: pieces are plain */
    Store *store;
    char name[WAL_NAME_ROOM]; /* of the segment in work */
    uint32_t shipped;         /* bytes of it */
    bool inherited;           /* they were there before us, and were not compared yet */
    StrList left;             /* other segments that have pieces */
    bool failing;             /* told already */

    pthread_mutex_t mutex; /* for all below */
    pthread_cond_t stop;
    bool stopping;
    Timeline timeline;
    Lsn written;
    uint32_t segment_size;
};

static void
add_left(Shipper *shipper, const char *name)
{
    for (size_t i = 0; i < shipper->left.count; i++)
        if (strcmp(shipper->left.items[i], name) == 0)
            return;
    strlist_add(&shipper->left, name);
}

static int
note_left(void *context, const Piece *piece)
{
    add_left(context, piece->name);
    return 0;
}

/* The segment, or what stands for it at the end of a timeline, is archived. */
static int
is_archived(const Store *store, const char *name)
{
    struct stat st;
    AUTO(free) char *partial = mem_printf("%s.partial", name);
    int found = store_stat(store, name, &st);
    return found == STORE_MISSING ? store_stat(store, partial, &st) : found;
}

static int
remove_left(Shipper *shipper)
{
    size_t kept = 0;
    int result = 0;
    for (size_t i = 0; i < shipper->left.count; i++) {
        char *name = shipper->left.items[i];
        int found = strcmp(name, shipper->name) == 0 || result < 0
                        ? STORE_MISSING
                        : is_archived(shipper->store, name);
        if (found == 0)
            found = piece_remove_all(shipper->store, name);
        if (found < 0)
            result = found;
        if (found == 0)
            free(name);
        else
            shipper->left.items[kept++] = name;
    }
    shipper->left.count = kept;
    return result;
}

/* While it is received it is NAME.partial; afterwards, and until it is archived, NAME. */
static int
open_received(const Shipper *shipper, int *ret_fd)
{
    const char *directory = shipper->server->streaming_wals_directory;
    AUTO(free) char *whole = mem_printf("%s/%s", directory, shipper->name);
    AUTO(free) char *partial = mem_printf("%s.partial", whole);
    int fd = open(partial, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        fd = open(whole, O_RDONLY | O_CLOEXEC);
    *ret_fd = fd;
    return fd < 0 && errno != ENOENT ? fail_errno("open '%s'", partial) : 0;
}

static int
put(Shipper *shipper, Piece *piece, const void *data)
{
    if (!shipper->cipher)
        return piece_put(shipper->store, piece, data, piece->length);
    AUTO(coder) Coder *coder = NULL;
    AUTO(str) Str sealed = {0};
    AUTO(free) char *binding = growing_binding(piece);
    snprintf(piece->cipher, sizeof(piece->cipher), "%s", shipper->cipher->name);
    TRY(encryptor_new(shipper->cipher, shipper->custom.keyring, binding, &coder));
    TRY(coder_begin(coder, piece->length, str_sink, &sealed));
    TRY(coder_push(coder, data, piece->length));
    TRY(coder_finish(coder));
    return piece_put(shipper->store, piece, sealed.data, sealed.length);
}

/* Are the pieces that were there of the WAL that is received? If not, or if that is not to be found
 * out, they are looked at anew the next time: somebody may have removed them. */
static int
check_inherited(Shipper *shipper, int fd)
{
    int result = growing_compare(shipper->store, shipper->custom.keyring, shipper->name, fd);
    if (result == GROWING_OTHER)
        result =
            fail(ERR_DATA,
                 "the pieces of '%s' in the store are of other WAL; remove them if they are of "
                 "no use any more",
                 shipper->name);
    if (result < 0)
        shipper->name[0] = '\0';
    shipper->inherited = false;
    return result;
}

static int
ship_up_to(Shipper *shipper, uint32_t end)
{
    AUTO(close) int fd = -1;
    AUTO(free) char *buffer = mem_alloc(PIECE_MAX);
    TRY(open_received(shipper, &fd));
    if (fd < 0)
        return 0; /* archived meanwhile */
    if (shipper->inherited && shipper->shipped < end)
        TRY(check_inherited(shipper, fd));
    if (lseek(fd, shipper->shipped, SEEK_SET) < 0)
        return fail_errno("seek in '%s'", shipper->name);
    while (shipper->shipped < end) {
        Piece piece = {.offset = shipper->shipped, .length = end - shipper->shipped};
        size_t got = 0;
        memcpy(piece.name, shipper->name, sizeof(piece.name));
        if (piece.length > PIECE_MAX)
            piece.length = PIECE_MAX;
        TRY(file_read(fd, buffer, piece.length, shipper->name, &got));
        if (got < piece.length)
            return fail(ERR_IO, "'%s' is shorter than what was received", shipper->name);
        TRY(put(shipper, &piece, buffer));
        shipper->shipped += piece.length;
        add_left(shipper, shipper->name);
    }
    return 0;
}

static int
ship(Shipper *shipper, Timeline timeline, Lsn written, uint32_t segment_size)
{
    char name[WAL_NAME_ROOM];
    if (!shipper->store) {
        TRY(archive_need(shipper->server, ANSWER_MS, &shipper->store));
        TRY(piece_list(shipper->store, NULL, note_left, shipper));
    }
    wal_segment_name(timeline, written, segment_size, name);
    if (strcmp(name, shipper->name) != 0) {
        uint32_t shipped = 0;
        /* What is shipped of the next segment is of no use without all of this one, and that may
         * take a while to be archived. */
        if (strncmp(name, shipper->name, 8) == 0)
            TRY(ship_up_to(shipper, segment_size));
        TRY(piece_list(shipper->store, name, growing_reach, &shipped));
        memcpy(shipper->name, name, sizeof(name));
        shipper->shipped = shipped;
        shipper->inherited = shipped > 0;
    }
    TRY(ship_up_to(shipper, (uint32_t)(written % segment_size)));
    return remove_left(shipper);
}

/* Told when it begins and when it ends, not every time. */
static void
tell(Shipper *shipper, int result)
{
    const char *server = shipper->server->name;
    if (result < 0 && !shipper->failing && error_last()->class != ERR_STOPPED)
        log_warning("server '%s': the growing segment cannot be brought to '%s': %s", server,
                    shipper->server->wals_directory, error_last()->text);
    if (result == 0 && shipper->failing)
        log_info("server '%s': the growing segment is brought to '%s' again", server,
                 shipper->server->wals_directory);
    shipper->failing = result < 0;
}

static void *
thread_main(void *argument)
{
    Shipper *shipper = argument;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&shipper->mutex);
    while (!shipper->stopping) {
        next.tv_sec += shipper->server->streaming_partial_upload;
        while (!shipper->stopping &&
               pthread_cond_timedwait(&shipper->stop, &shipper->mutex, &next) == 0)
            continue;
        Timeline timeline = shipper->timeline;
        Lsn written = shipper->written;
        uint32_t segment_size = shipper->segment_size;
        if (shipper->stopping || timeline == 0)
            continue;
        pthread_mutex_unlock(&shipper->mutex);
        tell(shipper, ship(shipper, timeline, written, segment_size));
        clock_gettime(CLOCK_MONOTONIC, &next);
        pthread_mutex_lock(&shipper->mutex);
    }
    pthread_mutex_unlock(&shipper->mutex);
    return NULL;
}

static void
shipper_free(Shipper *shipper)
{
    store_free(shipper->store);
    arena_free(shipper->arena);
    strlist_done(&shipper->left);
    pthread_cond_destroy(&shipper->stop);
    pthread_mutex_destroy(&shipper->mutex);
    free(shipper);
}

int
shipper_start(const ServerConfig *server, Shipper **ret_shipper)
{
    if (server->streaming_partial_upload <= 0)
        return SHIPPER_OFF;
    bool theirs = strcmp(server->receiver, "pg_receivewal") == 0;
    if (theirs || !server_is_remote(server)) {
        log_warning("server '%s': streaming_partial_upload does nothing, since %s", server->name,
                    theirs ? "pg_receivewal does not say how far it is"
                           : "wals_directory is not in an object store");
        return SHIPPER_OFF;
    }
    const CipherClass *cipher = NULL;
    TRY(cipher_configured(server, &cipher));
    Shipper *shipper = mem_alloc(sizeof(*shipper));
    shipper->server = server;
    shipper->cipher = cipher;
    shipper->arena = arena_new();
    custom_codec_init(server, shipper->arena, &shipper->custom);
    pthread_mutex_init(&shipper->mutex, NULL);
    clock_condition_init(&shipper->stop);
    errno = pthread_create(&shipper->thread, NULL, thread_main, shipper);
    if (errno) {
        int result = fail_errno("start a thread");
        shipper_free(shipper);
        return result;
    }
    *ret_shipper = shipper;
    return 0;
}

void
shipper_note(Shipper *shipper, Timeline timeline, Lsn written, uint32_t segment_size)
{
    pthread_mutex_lock(&shipper->mutex);
    shipper->timeline = timeline;
    shipper->written = written;
    shipper->segment_size = segment_size;
    pthread_mutex_unlock(&shipper->mutex);
}

void
shipper_stop(Shipper *shipper)
{
    pthread_mutex_lock(&shipper->mutex);
    shipper->stopping = true;
    pthread_cond_signal(&shipper->stop);
    pthread_mutex_unlock(&shipper->mutex);
    pthread_join(shipper->thread, NULL);
    shipper_free(shipper);
}
