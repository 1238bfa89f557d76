/* SPDX-License-Identifier: PostgreSQL */
#include "flow/recode/gpg_run.h"

#include "base/proc.h"

#include <errno.h>

struct Gpgme gpgme;

static int
start(void)
{
    size_t offset = offsetof(struct _gpgme_signature, validity);
    return gpgme.gpgme_check_version_internal("1.17.0", offset)
               ? 0
               : hint(fail(ERR_UNSUPPORTED, "GPGME is older than 1.17"), "install a newer one");
}

static Library library = {LIBRARY("libgpgme.so.11", "libgpgme11", GPGME_FUNCTIONS, gpgme), start};

int
gpg_run_load(void)
{
    return library_need(&library);
}

void
gpg_run_fail(GpgRun *run)
{
    run->failed = -1;
    run->error = *error_last();
}

static gpgme_error_t
add_watch(void *context, int fd, int reads, gpgme_io_cb_t function, void *data, void **ret_tag)
{
    GpgRun *run = context;
    for (size_t i = 0; i < GPG_WATCHES_MAX; i++)
        if (run->watches[i].fd < 0) {
            run->watches[i] = (GpgWatch){fd, !reads, false, function, data};
            *ret_tag = &run->watches[i];
            return 0;
        }
    return gpgme_error(GPG_ERR_TOO_MANY);
}

static void
remove_watch(void *tag)
{
    *(GpgWatch *)tag = (GpgWatch){.fd = -1};
}

static void
take_event(void *context, gpgme_event_io_t type, void *data)
{
    GpgRun *run = context;
    if (type == GPGME_EVENT_NEXT_KEY)
        run->on_key(run->context, data);
    if (type != GPGME_EVENT_DONE)
        return;
    const struct gpgme_io_event_done_data *event = data;
    run->done = true;
    run->answer = event->err ? event->err : event->op_err;
}

/* A gpg that is killed closes its pipes as one that is done, and GPGME takes the one for the other:
 * a message that was cut off would count as whole, and a whole one as damaged. */
static gpgme_error_t
take_status(void *context, const char *keyword, const char *arguments)
{
    static const char *const ends[] = {"END_ENCRYPTION", "DECRYPTION_OKAY", "DECRYPTION_FAILED",
                                       "NODATA",         "BADMDC",          "FAILURE"};
    GpgRun *run = context;
    (void)arguments;
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        run->told = run->told || strcmp(keyword, ends[i]) == 0;
    return 0;
}

/* GPGME wants more for gpg. Once it has asked, its descriptor is known, and left alone while there
 * is nothing to give. */
static ssize_t
give_input(void *context, void *buffer, size_t size)
{
    GpgRun *run = context;
    if (run->called)
        ((GpgWatch *)run->called)->is_input = true;
    if (run->left == 0 && !run->ended) {
        errno = EAGAIN;
        return -1;
    }
    if (run->left == 0)
        return 0;
    size_t part = size < run->left ? size : run->left;
    memcpy(buffer, run->data, part);
    run->data += part;
    run->left -= part;
    return (ssize_t)part;
}

static ssize_t
take_output(void *context, const void *data, size_t size)
{
    GpgRun *run = context;
    if (size == 0 || run->sink(run->context, data, size) == 0)
        return (ssize_t)size;
    gpg_run_fail(run);
    errno = EIO;
    return -1;
}

static struct gpgme_data_cbs input_functions = {.read = give_input};
static struct gpgme_data_cbs output_functions = {.write = take_output};

void
gpg_run_close(GpgRun *run)
{
    if (run->gpg && !run->done)
        gpgme.gpgme_cancel(run->gpg);
    if (run->input)
        gpgme.gpgme_data_release(take(run->input));
    if (run->output)
        gpgme.gpgme_data_release(take(run->output));
    if (run->gpg)
        gpgme.gpgme_release(take(run->gpg));
}

static gpgme_error_t
open_context(GpgRun *run)
{
    struct gpgme_io_cbs functions = {add_watch, run, remove_watch, take_event, run};
    for (size_t i = 0; i < GPG_WATCHES_MAX; i++)
        run->watches[i] = (GpgWatch){.fd = -1};
    gpgme_error_t error = gpgme.gpgme_new(&run->gpg);
    if (!error)
        error = gpgme.gpgme_set_pinentry_mode(run->gpg, GPGME_PINENTRY_MODE_LOOPBACK);
    if (!error)
        error = gpgme.gpgme_set_ctx_flag(run->gpg, "full-status", "1");
    if (error)
        return error;
    gpgme.gpgme_set_offline(run->gpg, 1); /* keys are looked for here, not in the net */
    gpgme.gpgme_set_status_cb(run->gpg, take_status, run);
    gpgme.gpgme_set_io_cbs(run->gpg, &functions);
    return 0;
}

gpgme_error_t
gpg_run_open(GpgRun *run)
{
    gpg_run_close(run);
    run->left = 0;
    run->ended = run->done = run->told = false;
    run->failed = 0;
    gpgme_error_t error = open_context(run);
    if (error || !run->sink)
        return error;
    error = gpgme.gpgme_data_new_from_cbs(&run->input, &input_functions, run);
    if (!error)
        error = gpgme.gpgme_data_new_from_cbs(&run->output, &output_functions, run);
    if (error)
        return error;
    gpgme.gpgme_data_set_flag(run->input, "io-buffer-size", "65536");
    gpgme.gpgme_data_set_flag(run->output, "io-buffer-size", "65536");
    return 0;
}

static size_t
choose_polls(GpgRun *run, struct pollfd *polls, GpgWatch **of)
{
    size_t count = 0;
    for (size_t i = 0; i < GPG_WATCHES_MAX; i++) {
        GpgWatch *watch = &run->watches[i];
        if (watch->fd < 0 || (watch->is_input && run->left == 0 && !run->ended))
            continue;
        polls[count] = (struct pollfd){.fd = watch->fd, .events = watch->writes ? POLLOUT : POLLIN};
        of[count++] = watch;
    }
    return count;
}

/* Waits once for whatever gpg does next. */
int
gpg_run_step(GpgRun *run)
{
    struct pollfd polls[GPG_WATCHES_MAX];
    GpgWatch *of[GPG_WATCHES_MAX];
    int64_t patience = run->patience_ms;
    size_t count = choose_polls(run, polls, of);
    TRY(stop_check());
    int ready = stop_poll(polls, count, patience > 0 ? patience : INT32_MAX);
    if (ready < 0)
        return fail_errno("wait for gpg");
    TRY(stop_check());
    if (ready == 0)
        return hint(fail(ERR_TIMEOUT, "gpg has done nothing for %lld ms", (long long)patience),
                    "see what it waits for: a lock in its home directory, or gpg-agent");
    for (size_t i = 0; i < count && !run->done; i++) {
        /* The one before may have removed this one. */
        if (!polls[i].revents || of[i]->fd != polls[i].fd)
            continue;
        if (of[i]->is_input && run->left == 0 && !run->ended)
            continue;
        run->called = of[i];
        of[i]->function(of[i]->data, polls[i].fd);
        run->called = NULL;
    }
    return 0;
}
