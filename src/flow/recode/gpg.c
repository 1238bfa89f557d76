/* SPDX-License-Identifier: PostgreSQL
 * The cipher "gpg": OpenPGP messages, written and read by the program gpg. Nothing of a file is
 * anywhere but in memory and in pipes. The passphrase goes from the site's command into gpg's pipe.
 */
#include "flow/recode/coder.h"
#include "flow/recode/gpg_run.h"
#include "flow/recode/keyring.h"

/* What was found when gpg was asked for the keys of a name */
typedef struct KeyState {
    bool found, expired, revoked, usable;
} KeyState;

typedef struct GpgCoder {
    Coder coder;
    Keyring *keyring;
    bool encrypts;
    GpgRun run;
} GpgCoder;

static void
note_key(void *context, gpgme_key_t key)
{
    KeyState *keys = context;
    keys->found = true;
    keys->expired = keys->expired || key->expired;
    keys->revoked = keys->revoked || key->revoked;
    keys->usable = keys->usable || (key->can_encrypt && !key->expired && !key->revoked &&
                                    !key->disabled && !key->invalid);
    gpgme.gpgme_key_unref(key);
}

static gpgme_error_t
give_passphrase(void *context, const char *uid, const char *info, int again, int fd)
{
    GpgCoder *gpg = context;
    const Secret *secret = NULL;
    (void)uid, (void)info;
    if (again || keyring_passphrase(gpg->keyring, &secret) < 0) {
        if (!again)
            gpg_run_fail(&gpg->run);
        return gpgme_error(again ? GPG_ERR_BAD_PASSPHRASE : GPG_ERR_CANCELED);
    }
    const uint8_t *feed = memchr(secret->data, '\n', secret->length);
    size_t length = feed ? (size_t)(feed - secret->data) : secret->length;
    if (gpgme.gpgme_io_writen(fd, secret->data, length) < 0 ||
        gpgme.gpgme_io_writen(fd, "\n", 1) < 0)
        return gpgme_error(GPG_ERR_EIO);
    return 0;
}

static int
fail_gpg(ErrorClass class, const char *what, gpgme_error_t error)
{
    char text[200] = "";
    gpgme.gpgme_strerror_r(error, text, sizeof(text));
    return fail(class, "%s: %s", what, text);
}

static gpgme_error_t
start_gpg(GpgCoder *gpg)
{
    GpgRun *run = &gpg->run;
    gpgme_error_t error = gpg_run_open(run);
    if (error)
        return error;
    gpgme.gpgme_set_passphrase_cb(run->gpg, give_passphrase, gpg);
    if (!gpg->encrypts)
        return gpgme.gpgme_op_decrypt_start(run->gpg, run->input, run->output);
    /* As Barman's --recipient: gpg itself looks for the key, and asks its trust in it. */
    AUTO(free) char *recipient = mem_printf("--\n%s", keyring_settings(gpg->keyring)->key_id);
    return gpgme.gpgme_op_encrypt_ext_start(run->gpg, NULL, recipient, GPGME_ENCRYPT_NO_COMPRESS,
                                            run->input, run->output);
}

static int
list_keys(Keyring *keyring, KeyState *ret_keys)
{
    const KeyringSettings *settings = keyring_settings(keyring);
    GpgRun run = {.patience_ms = settings->timeout_ms, .on_key = note_key, .context = ret_keys};
    *ret_keys = (KeyState){0};
    run.done = gpg_run_open(&run) || gpgme.gpgme_op_keylist_start(run.gpg, settings->key_id, 0);
    int result = 0;
    while (result == 0 && !run.done)
        result = gpg_run_step(&run);
    gpg_run_close(&run);
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
    gpgme_err_code_t code = gpgme_err_code(gpg->run.answer);
    if (gpg->run.failed < 0) {
        error_restore(&gpg->run.error);
        return gpg->run.failed;
    }
    switch (code) {
    case GPG_ERR_NO_ERROR:
        return gpg->run.told ? 0 : fail_killed(what);
    case GPG_ERR_UNUSABLE_PUBKEY:
    case GPG_ERR_NO_PUBKEY:
    case GPG_ERR_AMBIGUOUS_NAME:
    case GPG_ERR_INV_VALUE:
        if (gpg->encrypts)
            return explain_key(gpg->keyring);
        return fail_gpg(damage, what, gpg->run.answer);
    case GPG_ERR_INV_ENGINE:
    case GPG_ERR_UNSUPPORTED_PROTOCOL:
        return hint(fail_gpg(ERR_UNSUPPORTED, what, gpg->run.answer), "install the package gnupg");
    case GPG_ERR_NO_SECKEY:
        return hint(fail_gpg(ERR_CONFIG, what, gpg->run.answer),
                    "the secret key must be in the keyring of this account");
    case GPG_ERR_BAD_PASSPHRASE:
    case GPG_ERR_CANCELED:
        return hint(fail_gpg(ERR_CONFIG, what, gpg->run.answer),
                    "see what encryption_passphrase_command prints");
    case GPG_ERR_NO_DATA:
    case GPG_ERR_BAD_DATA:
    case GPG_ERR_DECRYPT_FAILED:
    case GPG_ERR_CHECKSUM:
    case GPG_ERR_INV_PACKET:
    case GPG_ERR_EOF:
        return gpg->run.told ? fail_gpg(damage, what, gpg->run.answer) : fail_killed(what);
    default:
        return fail_gpg(ERR_IO, what, gpg->run.answer);
    }
}

static int
take_output(void *context, const void *data, size_t size)
{
    GpgCoder *gpg = context;
    return coder_emit(&gpg->coder, data, size);
}

static int
gpg_begin(Coder *coder, int64_t content_size)
{
    GpgCoder *gpg = (GpgCoder *)coder;
    (void)content_size;
    if (gpg->encrypts)
        TRY(keyring_prepare(gpg->keyring, settle_trust));
    gpg->run.answer = start_gpg(gpg);
    gpg->run.done = gpg->run.answer != 0;
    return gpg->run.done ? judge(gpg) : 0;
}

static int
gpg_push(Coder *coder, const void *data, size_t size)
{
    GpgCoder *gpg = (GpgCoder *)coder;
    gpg->run.data = data;
    gpg->run.left = size;
    while (gpg->run.left > 0 && !gpg->run.done)
        TRY(gpg_run_step(&gpg->run));
    if (gpg->run.left == 0)
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
    gpg->run.ended = true;
    while (!gpg->run.done)
        TRY(gpg_run_step(&gpg->run));
    return judge(gpg);
}

static void
gpg_free(Coder *coder)
{
    GpgCoder *gpg = (GpgCoder *)coder;
    gpg_run_close(&gpg->run);
    free(gpg);
}

static int
gpg_new(Keyring *keyring, bool encrypts, Coder **ret_coder)
{
    static const struct CoderMethods methods = {gpg_begin, gpg_push, gpg_finish, gpg_free};
    TRY(gpg_run_load());
    GpgCoder *gpg = mem_alloc(sizeof(*gpg));
    gpg->coder.methods = &methods;
    gpg->keyring = keyring;
    gpg->encrypts = encrypts;
    gpg->run = (GpgRun){
        .patience_ms = keyring_settings(keyring)->timeout_ms, .sink = take_output, .context = gpg};
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
