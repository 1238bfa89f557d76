/* SPDX-License-Identifier: PostgreSQL
 * The cipher "gpg": OpenPGP messages, written and read by the program gpg through GPGME, which is
 * loaded when it is needed. GPGME waits for gpg without a deadline; so we watch its descriptors
 * ourselves, and give up a gpg that does nothing. Nothing of a file is anywhere but in memory and
 * in pipes. The passphrase goes from the site's command into gpg's pipe. */
#include "base/library.h"
#include "base/proc.h"
#include "flow/recode/coder.h"
#include "flow/recode/keyring.h"

#include <errno.h>
#include <gpgme.h>

#define GPGME_FUNCTIONS(X)                                                                         \
    X(gpgme_cancel)                                                                                \
    X(gpgme_check_version_internal)                                                                \
    X(gpgme_data_new_from_cbs)                                                                     \
    X(gpgme_data_release)                                                                          \
    X(gpgme_data_set_flag)                                                                         \
    X(gpgme_io_writen)                                                                             \
    X(gpgme_key_unref)                                                                             \
    X(gpgme_new)                                                                                   \
    X(gpgme_op_decrypt_start)                                                                      \
    X(gpgme_op_encrypt_ext_start)                                                                  \
    X(gpgme_op_keylist_start)                                                                      \
    X(gpgme_release)                                                                               \
    X(gpgme_set_ctx_flag)                                                                          \
    X(gpgme_set_io_cbs)                                                                            \
    X(gpgme_set_offline)                                                                           \
    X(gpgme_set_passphrase_cb)                                                                     \
    X(gpgme_set_pinentry_mode)                                                                     \
    X(gpgme_set_status_cb)                                                                         \
    X(gpgme_strerror_r)

static struct {
    GPGME_FUNCTIONS(LIBRARY_FIELD)
} lib;

static int
start(void)
{
    size_t offset = offsetof(struct _gpgme_signature, validity);
    return lib.gpgme_check_version_internal("1.17.0", offset)
               ? 0
               : hint(fail(ERR_UNSUPPORTED, "GPGME is older than 1.17"), "install a newer one");
}

static Library library = {LIBRARY("libgpgme.so.11", "libgpgme11", GPGME_FUNCTIONS, lib), start};

enum { WATCHES_MAX = 16 };

/* A descriptor of gpg's that GPGME wants to hear of */
typedef struct Watch {
    int fd; /* -1: free */
    bool writes;
    bool is_input; /* gpg takes what it is to encrypt or decrypt from it */
    gpgme_io_cb_t function;
    void *data;
} Watch;

/* What was found when gpg was asked for the keys of a name */
typedef struct KeyState {
    bool found, expired, revoked, usable;
} KeyState;

typedef struct GpgCoder {
    Coder coder;
    Keyring *keyring;
    bool encrypts;
    gpgme_ctx_t context;
    gpgme_data_t input, output;
    Watch watches[WATCHES_MAX];
    const Watch *called; /* whose function is at work */
    const char *data;    /* to be taken by gpg */
    size_t left;
    bool ended; /* there will be no more */
    bool done;  /* gpg has finished, with `answer` */
    bool told;  /* it has said itself how that went */
    gpgme_error_t answer;
    KeyState keys;
    int failed; /* of the sink, or of the passphrase: <0 and its error */
    Error error;
} GpgCoder;

static void
note_failure(GpgCoder *gpg)
{
    gpg->failed = -1;
    gpg->error = *error_last();
}

static gpgme_error_t
add_watch(void *context, int fd, int reads, gpgme_io_cb_t function, void *data, void **ret_tag)
{
    GpgCoder *gpg = context;
    for (size_t i = 0; i < WATCHES_MAX; i++)
        if (gpg->watches[i].fd < 0) {
            gpg->watches[i] = (Watch){fd, !reads, false, function, data};
            *ret_tag = &gpg->watches[i];
            return 0;
        }
    return gpgme_error(GPG_ERR_TOO_MANY);
}

static void
remove_watch(void *tag)
{
    *(Watch *)tag = (Watch){.fd = -1};
}

static void
note_key(KeyState *keys, gpgme_key_t key)
{
    keys->found = true;
    keys->expired = keys->expired || key->expired;
    keys->revoked = keys->revoked || key->revoked;
    keys->usable = keys->usable || (key->can_encrypt && !key->expired && !key->revoked &&
                                    !key->disabled && !key->invalid);
    lib.gpgme_key_unref(key);
}

static void
take_event(void *context, gpgme_event_io_t type, void *data)
{
    GpgCoder *gpg = context;
    if (type == GPGME_EVENT_NEXT_KEY)
        note_key(&gpg->keys, data);
    if (type != GPGME_EVENT_DONE)
        return;
    const struct gpgme_io_event_done_data *event = data;
    gpg->done = true;
    gpg->answer = event->err ? event->err : event->op_err;
}

/* A gpg that is killed closes its pipes as one that is done, and GPGME takes the one for the other:
 * a message that was cut off would count as whole, and a whole one as damaged. */
static gpgme_error_t
take_status(void *context, const char *keyword, const char *arguments)
{
    static const char *const encrypted[] = {"END_ENCRYPTION", "FAILURE", NULL};
    static const char *const decrypted[] = {"DECRYPTION_OKAY", "DECRYPTION_FAILED", "NODATA",
                                            "BADMDC",          "FAILURE",           NULL};
    GpgCoder *gpg = context;
    (void)arguments;
    for (const char *const *end = gpg->encrypts ? encrypted : decrypted; *end; end++)
        gpg->told = gpg->told || strcmp(keyword, *end) == 0;
    return 0;
}

/* GPGME wants more for gpg. Once it has asked, its descriptor is known, and left alone while there
 * is nothing to give. */
static ssize_t
give_input(void *context, void *buffer, size_t size)
{
    GpgCoder *gpg = context;
    if (gpg->called)
        ((Watch *)gpg->called)->is_input = true;
    if (gpg->left == 0 && !gpg->ended) {
        errno = EAGAIN;
        return -1;
    }
    if (gpg->left == 0)
        return 0;
    size_t part = size < gpg->left ? size : gpg->left;
    memcpy(buffer, gpg->data, part);
    gpg->data += part;
    gpg->left -= part;
    return (ssize_t)part;
}

static ssize_t
take_output(void *context, const void *data, size_t size)
{
    GpgCoder *gpg = context;
    if (coder_emit(&gpg->coder, data, size) == 0)
        return (ssize_t)size;
    note_failure(gpg);
    errno = EIO;
    return -1;
}

static gpgme_error_t
give_passphrase(void *context, const char *uid, const char *info, int again, int fd)
{
    GpgCoder *gpg = context;
    const Secret *secret = NULL;
    (void)uid, (void)info;
    if (again || keyring_passphrase(gpg->keyring, &secret) < 0) {
        if (!again)
            note_failure(gpg);
        return gpgme_error(again ? GPG_ERR_BAD_PASSPHRASE : GPG_ERR_CANCELED);
    }
    const uint8_t *feed = memchr(secret->data, '\n', secret->length);
    size_t length = feed ? (size_t)(feed - secret->data) : secret->length;
    if (lib.gpgme_io_writen(fd, secret->data, length) < 0 || lib.gpgme_io_writen(fd, "\n", 1) < 0)
        return gpgme_error(GPG_ERR_EIO);
    return 0;
}

static struct gpgme_data_cbs input_functions = {.read = give_input};
static struct gpgme_data_cbs output_functions = {.write = take_output};

static int
fail_gpg(ErrorClass class, const char *what, gpgme_error_t error)
{
    char text[200] = "";
    lib.gpgme_strerror_r(error, text, sizeof(text));
    return fail(class, "%s: %s", what, text);
}

static void
stop_gpg(GpgCoder *gpg)
{
    if (gpg->context && !gpg->done)
        lib.gpgme_cancel(gpg->context);
    if (gpg->input)
        lib.gpgme_data_release(take(gpg->input));
    if (gpg->output)
        lib.gpgme_data_release(take(gpg->output));
    if (gpg->context)
        lib.gpgme_release(take(gpg->context));
}

static gpgme_error_t
open_context(GpgCoder *gpg)
{
    struct gpgme_io_cbs functions = {add_watch, gpg, remove_watch, take_event, gpg};
    for (size_t i = 0; i < WATCHES_MAX; i++)
        gpg->watches[i] = (Watch){.fd = -1};
    gpgme_error_t error = lib.gpgme_new(&gpg->context);
    if (!error)
        error = lib.gpgme_set_pinentry_mode(gpg->context, GPGME_PINENTRY_MODE_LOOPBACK);
    if (error)
        return error;
    lib.gpgme_set_offline(gpg->context, 1); /* keys are looked for here, not in the net */
    lib.gpgme_set_io_cbs(gpg->context, &functions);
    return 0;
}

static gpgme_error_t
start_gpg(GpgCoder *gpg)
{
    gpgme_error_t error = open_context(gpg);
    if (error)
        return error;
    lib.gpgme_set_passphrase_cb(gpg->context, give_passphrase, gpg);
    lib.gpgme_set_status_cb(gpg->context, take_status, gpg);
    error = lib.gpgme_set_ctx_flag(gpg->context, "full-status", "1");
    if (!error)
        error = lib.gpgme_data_new_from_cbs(&gpg->input, &input_functions, gpg);
    if (!error)
        error = lib.gpgme_data_new_from_cbs(&gpg->output, &output_functions, gpg);
    if (error)
        return error;
    lib.gpgme_data_set_flag(gpg->input, "io-buffer-size", "65536");
    lib.gpgme_data_set_flag(gpg->output, "io-buffer-size", "65536");
    if (!gpg->encrypts)
        return lib.gpgme_op_decrypt_start(gpg->context, gpg->input, gpg->output);
    /* As Barman's --recipient: gpg itself looks for the key, and asks its trust in it. */
    AUTO(free) char *recipient = mem_printf("--\n%s", keyring_settings(gpg->keyring)->key_id);
    return lib.gpgme_op_encrypt_ext_start(gpg->context, NULL, recipient, GPGME_ENCRYPT_NO_COMPRESS,
                                          gpg->input, gpg->output);
}

static size_t
choose_polls(GpgCoder *gpg, struct pollfd *polls, Watch **of)
{
    size_t count = 0;
    for (size_t i = 0; i < WATCHES_MAX; i++) {
        Watch *watch = &gpg->watches[i];
        if (watch->fd < 0 || (watch->is_input && gpg->left == 0 && !gpg->ended))
            continue;
        polls[count] = (struct pollfd){.fd = watch->fd, .events = watch->writes ? POLLOUT : POLLIN};
        of[count++] = watch;
    }
    return count;
}

/* Waits once for whatever gpg does next. */
static int
step(GpgCoder *gpg)
{
    struct pollfd polls[WATCHES_MAX];
    Watch *of[WATCHES_MAX];
    int64_t patience = keyring_settings(gpg->keyring)->timeout_ms;
    size_t count = choose_polls(gpg, polls, of);
    TRY(stop_check());
    int ready = stop_poll(polls, count, patience > 0 ? patience : INT32_MAX);
    if (ready < 0)
        return fail_errno("wait for gpg");
    TRY(stop_check());
    if (ready == 0)
        return hint(fail(ERR_TIMEOUT, "gpg has done nothing for %lld ms", (long long)patience),
                    "see what it waits for: a lock in its home directory, or gpg-agent");
    for (size_t i = 0; i < count && !gpg->done; i++) {
        /* The one before may have removed this one. */
        if (!polls[i].revents || of[i]->fd != polls[i].fd)
            continue;
        if (of[i]->is_input && gpg->left == 0 && !gpg->ended)
            continue;
        gpg->called = of[i];
        of[i]->function(of[i]->data, polls[i].fd);
        gpg->called = NULL;
    }
    return 0;
}

static int
list_keys(Keyring *keyring, KeyState *ret_keys)
{
    GpgCoder gpg = {.keyring = keyring};
    gpg.done = open_context(&gpg) ||
               lib.gpgme_op_keylist_start(gpg.context, keyring_settings(keyring)->key_id, 0);
    int result = 0;
    while (result == 0 && !gpg.done)
        result = step(&gpg);
    stop_gpg(&gpg);
    *ret_keys = gpg.keys;
    return result;
}

/* When keys have come or expired, gpg finds out anew whom it trusts, and another gpg that looks
 * meanwhile finds no trust in the right key. Listing keys makes it do so. */
static int
settle_trust(Keyring *keyring)
{
    KeyState keys;
    return list_keys(keyring, &keys);
}

/* Why a key cannot be used, in words that help. */
static int
explain_key(Keyring *keyring)
{
    const char *key_id = keyring_settings(keyring)->key_id;
    KeyState keys;
    TRY(list_keys(keyring, &keys));
    if (!keys.found)
        return hint(fail(ERR_CONFIG, "there is no OpenPGP key '%s'", key_id),
                    "import the public key into the keyring of this account, or correct "
                    "encryption_key_id");
    if (keys.usable)
        return hint(
            fail(ERR_CONFIG, "gpg does not use the key '%s', which is not trusted", key_id),
            "if it is the right one: gpg --edit-key %s trust; while gpg finds out anew whom "
            "it trusts it may say so, too, and the next try will do",
            key_id);
    if (keys.expired)
        return hint(fail(ERR_CONFIG, "the OpenPGP key '%s' has expired", key_id),
                    "extend it (gpg --quick-set-expire), or set encryption_key_id to another");
    return hint(fail(ERR_CONFIG, "the OpenPGP key '%s' %s", key_id,
                     keys.revoked ? "was revoked" : "cannot encrypt"),
                "set encryption_key_id to another key");
}

static int
fail_killed(const char *what)
{
    return hint(fail(ERR_IO, "%s: it ended without saying how that went", what),
                "was it killed, when memory ran out for example? The kernel's log tells");
}

/* What gpg has answered, in our terms. What is encrypted cannot be damaged: it is not looked into.
 */
static int
judge(const GpgCoder *gpg)
{
    ErrorClass damage = gpg->encrypts ? ERR_IO : ERR_DATA;
    const char *what = gpg->encrypts ? "encrypt with gpg" : "decrypt with gpg";
    gpgme_err_code_t code = gpgme_err_code(gpg->answer);
    if (gpg->failed < 0) {
        error_restore(&gpg->error);
        return gpg->failed;
    }
    switch (code) {
    case GPG_ERR_NO_ERROR:
        return gpg->told ? 0 : fail_killed(what);
    case GPG_ERR_UNUSABLE_PUBKEY:
    case GPG_ERR_NO_PUBKEY:
    case GPG_ERR_AMBIGUOUS_NAME:
    case GPG_ERR_INV_VALUE:
        if (gpg->encrypts)
            return explain_key(gpg->keyring);
        return fail_gpg(damage, what, gpg->answer);
    case GPG_ERR_INV_ENGINE:
    case GPG_ERR_UNSUPPORTED_PROTOCOL:
        return hint(fail_gpg(ERR_UNSUPPORTED, what, gpg->answer), "install the package gnupg");
    case GPG_ERR_NO_SECKEY:
        return hint(fail_gpg(ERR_CONFIG, what, gpg->answer),
                    "the secret key must be in the keyring of this account");
    case GPG_ERR_BAD_PASSPHRASE:
    case GPG_ERR_CANCELED:
        return hint(fail_gpg(ERR_CONFIG, what, gpg->answer),
                    "see what encryption_passphrase_command prints");
    case GPG_ERR_NO_DATA:
    case GPG_ERR_BAD_DATA:
    case GPG_ERR_DECRYPT_FAILED:
    case GPG_ERR_CHECKSUM:
    case GPG_ERR_INV_PACKET:
    case GPG_ERR_EOF:
        return gpg->told ? fail_gpg(damage, what, gpg->answer) : fail_killed(what);
    default:
        return fail_gpg(ERR_IO, what, gpg->answer);
    }
}

static int
gpg_begin(Coder *coder, int64_t content_size)
{
    GpgCoder *gpg = (GpgCoder *)coder;
    (void)content_size;
    stop_gpg(gpg);
    gpg->left = 0;
    gpg->ended = gpg->done = gpg->told = false;
    gpg->failed = 0;
    if (gpg->encrypts)
        TRY(keyring_prepare(gpg->keyring, settle_trust));
    gpg->answer = start_gpg(gpg);
    gpg->done = gpg->answer != 0;
    return gpg->done ? judge(gpg) : 0;
}

static int
gpg_push(Coder *coder, const void *data, size_t size)
{
    GpgCoder *gpg = (GpgCoder *)coder;
    gpg->data = data;
    gpg->left = size;
    while (gpg->left > 0 && !gpg->done)
        TRY(step(gpg));
    if (gpg->left == 0)
        return 0;
    TRY(judge(gpg));
    if (gpg->encrypts)
        return fail(ERR_IO, "gpg ended before it had taken everything");
    return fail(ERR_DATA, "there is something behind the end of the OpenPGP message");
}

static int
gpg_finish(Coder *coder)
{
    GpgCoder *gpg = (GpgCoder *)coder;
    gpg->ended = true;
    while (!gpg->done)
        TRY(step(gpg));
    return judge(gpg);
}

static void
gpg_free(Coder *coder)
{
    GpgCoder *gpg = (GpgCoder *)coder;
    stop_gpg(gpg);
    free(gpg);
}

static int
gpg_new(Keyring *keyring, bool encrypts, Coder **ret_coder)
{
    static const struct CoderMethods methods = {gpg_begin, gpg_push, gpg_finish, gpg_free};
    TRY(library_need(&library));
    GpgCoder *gpg = mem_alloc(sizeof(*gpg));
    gpg->coder.methods = &methods;
    gpg->keyring = keyring;
    gpg->encrypts = encrypts;
    *ret_coder = &gpg->coder;
    return 0;
}

static int
gpg_encryptor_new(Keyring *keyring, const char *name, Coder **ret_coder)
{
    (void)name; /* OpenPGP has no place for it */
    if (!keyring_settings(keyring)->key_id)
        return hint(fail(ERR_CONFIG, "it is not said whom to encrypt to"), "set encryption_key_id");
    return gpg_new(keyring, true, ret_coder);
}

static int
gpg_decryptor_new(Keyring *keyring, const char *name, Coder **ret_coder)
{
    (void)name;
    return gpg_new(keyring, false, ret_coder);
}

/* Where the body of the first packet begins; 0 if this is no packet. */
static size_t
packet_body(const uint8_t *bytes, size_t size, int *ret_tag)
{
    if (size < 8 || !(bytes[0] & 0x80))
        return 0;
    if (bytes[0] & 0x40) { /* new format */
        *ret_tag = bytes[0] & 0x3f;
        return bytes[1] < 192 ? 2 : bytes[1] < 224 ? 3 : bytes[1] == 255 ? 6 : 0;
    }
    *ret_tag = (bytes[0] >> 2) & 0x0f;
    return (bytes[0] & 3) == 3 ? 0 : 1 + ((size_t)1 << (bytes[0] & 3));
}

enum { FOR_KEY = 1, FOR_PASSPHRASE = 3 };

/* A message begins with a packet that holds the session key (RFC 4880, 4.2, 5.1 and 5.3): for a
 * public key (version 3 or 6) or a passphrase (version 4 to 6). */
static bool
gpg_recognise(const void *head, size_t size)
{
    const uint8_t *bytes = head;
    int tag = 0;
    size_t body = packet_body(bytes, size, &tag);
    int version = bytes[body];
    return body > 0 && ((tag == FOR_KEY && (version == 3 || version == 6)) ||
                        (tag == FOR_PASSPHRASE && version >= 4 && version <= 6));
}

static void
gpg_key_text(const void *head, size_t size, char *ret_text)
{
    const uint8_t *bytes = head;
    int tag = 0;
    size_t body = packet_body(bytes, size, &tag);
    if (body > 0 && tag == FOR_KEY && bytes[body] == 3 && size >= body + 9)
        for (size_t i = 0; i < 8; i++)
            snprintf(ret_text + 2 * i, 3, "%02X", bytes[body + 1 + i]);
    else
        snprintf(ret_text, KEY_TEXT_ROOM, tag == FOR_PASSPHRASE ? "passphrase" : "unknown");
}

static bool
gpg_can_decrypt(const Keyring *keyring)
{
    const KeyringSettings *settings = keyring_settings(keyring);
    return settings->passphrase_command || settings->key_id;
}

const CipherClass cipher_gpg = {
    .name = "gpg",
    .secret_apart = true,
    .recognise = gpg_recognise,
    .key_text = gpg_key_text,
    .encryptor_new = gpg_encryptor_new,
    .decryptor_new = gpg_decryptor_new,
    .can_decrypt = gpg_can_decrypt,
};
