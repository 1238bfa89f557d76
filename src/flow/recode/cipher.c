/* SPDX-License-Identifier: PostgreSQL
 * The registry of ciphers, the keyring, and decrypting what is read by a descriptor. A decrypted
 * file is never anywhere but in memory: who wants to read it gets the end of a pipe. */
#include "base/file.h"
#include "base/proc.h"
#include "flow/recode/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { BLOCK = 256 << 10 };

/* In the order of recognition */
static const CipherClass *const classes[] = {&cipher_aead, &cipher_gpg};

const CipherClass *
cipher_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(classes); i++)
        if (strcmp(classes[i]->name, name) == 0)
            return classes[i];
    return NULL;
}

const CipherClass *
cipher_recognise(const void *head, size_t size)
{
    for (size_t i = 0; i < COUNT_OF(classes); i++)
        if (classes[i]->recognise(head, size))
            return classes[i];
    return NULL;
}

/* Something that is fetched once, whatever comes of it. */
typedef struct Fetched {
    bool done;
    int result;
    Error error;
    Secret secret;
} Fetched;

struct Keyring {
    KeyringSettings settings;
    pthread_mutex_t mutex;
    Fetched passphrase, keys;
    pthread_mutex_t preparing;
    bool prepared;
    atomic_uint failures; /* tries that failed, and why the last did */
    Error failure;
};

Keyring *
keyring_new(const KeyringSettings *settings)
{
    Keyring *keyring = mem_alloc(sizeof(*keyring));
    keyring->settings = *settings;
    pthread_mutex_init(&keyring->mutex, NULL);
    pthread_mutex_init(&keyring->preparing, NULL);
    return keyring;
}

void
keyring_free(Keyring *keyring)
{
    if (!keyring)
        return;
    secret_done(&keyring->passphrase.secret);
    secret_done(&keyring->keys.secret);
    pthread_mutex_destroy(&keyring->mutex);
    pthread_mutex_destroy(&keyring->preparing);
    free(keyring);
}

const KeyringSettings *
keyring_settings(const Keyring *keyring)
{
    return &keyring->settings;
}

static int
fetch_passphrase(const Keyring *keyring, Secret *ret_secret)
{
    const KeyringSettings *settings = &keyring->settings;
    if (!settings->passphrase_command)
        return hint(fail(ERR_CONFIG, "the secret key is locked by a passphrase"),
                    "set encryption_passphrase_command");
    return secret_ask(settings->passphrase_command, "encryption_passphrase_command",
                      settings->path_prefix, settings->timeout_ms, ret_secret);
}

static int
fetch_keys(const Keyring *keyring, Secret *ret_secret)
{
    const KeyringSettings *settings = &keyring->settings;
    if (settings->key_file)
        return secret_read(settings->key_file, "encryption_key_file", ret_secret);
    if (settings->key_command)
        return secret_ask(settings->key_command, "encryption_key_command", settings->path_prefix,
                          settings->timeout_ms, ret_secret);
    return hint(fail(ERR_CONFIG, "there is no key for aead"),
                "set encryption_key_file or encryption_key_command");
}

/* Under the mutex */
static int
settle(Fetched *fetched, int result)
{
    fetched->done = true;
    fetched->result = result;
    if (result < 0)
        fetched->error = *error_last();
    return result;
}

static int
answer(const Fetched *fetched, const Secret **ret_secret)
{
    if (fetched->result < 0)
        error_restore(&fetched->error);
    else
        *ret_secret = &fetched->secret;
    return fetched->result;
}

int
keyring_prepare(Keyring *keyring, int (*prepare)(Keyring *keyring))
{
    unsigned failures = keyring->failures;
    int result = 0;
    pthread_mutex_lock(&keyring->preparing);
    if (!keyring->prepared && keyring->failures != failures) {
        error_restore(&keyring->failure);
        result = -1;
    } else if (!keyring->prepared) {
        result = prepare(keyring);
        keyring->prepared = result == 0;
        if (result < 0) {
            keyring->failure = *error_last();
            keyring->failures++;
        }
    }
    pthread_mutex_unlock(&keyring->preparing);
    return result;
}

int
keyring_passphrase(Keyring *keyring, const Secret **ret_secret)
{
    pthread_mutex_lock(&keyring->mutex);
    Fetched *fetched = &keyring->passphrase;
    if (!fetched->done)
        settle(fetched, fetch_passphrase(keyring, &fetched->secret));
    pthread_mutex_unlock(&keyring->mutex);
    return answer(fetched, ret_secret);
}

int
keyring_keys(Keyring *keyring, int (*parse)(const Secret *from, Secret *table),
             const Secret **ret_table)
{
    pthread_mutex_lock(&keyring->mutex);
    Fetched *fetched = &keyring->keys;
    if (!fetched->done) {
        Secret text = {0};
        int result = fetch_keys(keyring, &text);
        if (result == 0)
            result = secret_new(&fetched->secret);
        if (result == 0)
            result = wrap(parse(&text, &fetched->secret), "%s",
                          keyring->settings.key_file ? keyring->settings.key_file
                                                     : "encryption_key_command");
        secret_done(&text);
        settle(fetched, result);
    }
    pthread_mutex_unlock(&keyring->mutex);
    return answer(fetched, ret_table);
}

int
encryptor_new(const CipherClass *class, Keyring *keyring, const char *name, Coder **ret_coder)
{
    return class->encryptor_new(keyring, name, ret_coder);
}

int
decryptor_new(const CipherClass *class, Keyring *keyring, const char *name, Coder **ret_coder)
{
    return class->decryptor_new(keyring, name, ret_coder);
}

struct Decryption {
    int fd; /* the reader's end of the pipe */
    pthread_t thread;
    /* the thread's */
    const CipherClass *class;
    Keyring *keyring;
    const char *name;
    int source_fd, pipe_end;
    char head[DECRYPTION_HEAD]; /* held back until it is full: a pipe takes it whole then */
    size_t held;
    bool passing;
    int result;
    Error error;
};

static int
pass_head(Decryption *decryption)
{
    decryption->passing = true;
    return file_write(decryption->pipe_end, decryption->head, decryption->held, "pipe");
}

static int
take_plain(void *context, const void *data, size_t size)
{
    Decryption *decryption = context;
    size_t part = 0;
    if (!decryption->passing) {
        part =
            DECRYPTION_HEAD - decryption->held < size ? DECRYPTION_HEAD - decryption->held : size;
        memcpy(decryption->head + decryption->held, data, part);
        decryption->held += part;
        if (decryption->held == DECRYPTION_HEAD)
            TRY(pass_head(decryption));
    }
    return part < size
               ? file_write(decryption->pipe_end, (const char *)data + part, size - part, "pipe")
               : 0;
}

static int
decrypt(Decryption *decryption)
{
    AUTO(coder) Coder *coder = NULL;
    AUTO(free) char *buffer = mem_alloc(BLOCK);
    size_t got = 0;
    TRY(decryptor_new(decryption->class, decryption->keyring, decryption->name, &coder));
    TRY(coder_begin(coder, -1, take_plain, decryption));
    do {
        TRY(stop_check());
        TRY(file_read(decryption->source_fd, buffer, BLOCK, decryption->name, &got));
        TRY(coder_push(coder, buffer, got));
    } while (got == BLOCK);
    TRY(coder_finish(coder));
    return decryption->passing ? 0 : pass_head(decryption);
}

static void *
run_decryption(void *argument)
{
    Decryption *decryption = argument;
    decryption->result = decrypt(decryption);
    if (decryption->result < 0)
        decryption->error = *error_last();
    explicit_bzero(decryption->head, sizeof(decryption->head));
    close(decryption->pipe_end);
    return NULL;
}

int
decryption_start(const CipherClass *class, Keyring *keyring, const char *name, int fd,
                 Decryption **ret_decryption, int *ret_fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail_errno("make a pipe");
    (void)fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    Decryption *decryption = mem_alloc(sizeof(*decryption));
    decryption->fd = ends[0];
    decryption->pipe_end = ends[1];
    decryption->source_fd = fd;
    decryption->class = class;
    decryption->keyring = keyring;
    decryption->name = name;
    /* As in reader.c: EPIPE instead of SIGPIPE when reading ends early */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = pthread_create(&decryption->thread, NULL, run_decryption, decryption);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errno) {
        fail_errno("start a thread");
        close(ends[0]);
        close(ends[1]);
        free(decryption);
        return -1;
    }
    *ret_decryption = decryption;
    *ret_fd = decryption->fd;
    return 0;
}

int
decryption_peek(const Decryption *decryption, void *buffer, size_t *ret_got)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail_errno("make a pipe");
    /* Waits for the first write, which is all that is asked for, or the end. */
    ssize_t size;
    do
        size = tee(decryption->fd, ends[1], DECRYPTION_HEAD, 0);
    while (size < 0 && errno == EINTR);
    int result = size < 0 ? fail_errno("look into a pipe") : 0;
    close(ends[1]);
    if (result == 0)
        result = file_read(ends[0], buffer, (size_t)size, "pipe", ret_got);
    close(ends[0]);
    return result;
}

int
decryption_end(Decryption *decryption, int result)
{
    Error error = *error_last();
    close(decryption->fd); /* ends the thread, should it still write */
    pthread_join(decryption->thread, NULL);
    /* A thread that could not write any more has no fault: who reads had enough. */
    if (decryption->result < 0 && decryption->error.os_error != EPIPE) {
        result = decryption->result;
        error = decryption->error;
    }
    if (result < 0)
        error_restore(&error);
    free(decryption);
    return result;
}
