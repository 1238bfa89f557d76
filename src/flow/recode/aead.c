/* SPDX-License-Identifier: PostgreSQL
 * The cipher "aead": libsodium's secretstream (XChaCha20 and Poly1305), by chunks. A file is
 *
 *    magic[8]  version  log2(chunk size)  0  0  key id[8]  secretstream's header[24]
 *    chunk ... chunk  last chunk            each 17 bytes longer than what is in it
 *
 * The first chunk also authenticates the header and the name of the WAL file, and each chunk the
 * ones before it, so that nothing can be changed, exchanged, put in another place or cut off. The
 * key id is made from the key and says nothing of it. libsodium is loaded when it is needed. */
#include "base/library.h"
#include "flow/recode/coder.h"
#include "flow/recode/keyring.h"
#include "wal/wal.h"

#include <sodium.h>

#define STREAM(name) crypto_secretstream_xchacha20poly1305_##name

enum {
    KEY_SIZE = crypto_secretstream_xchacha20poly1305_KEYBYTES,
    ADDED = crypto_secretstream_xchacha20poly1305_ABYTES,
    STREAM_HEADER = crypto_secretstream_xchacha20poly1305_HEADERBYTES,
    ID_SIZE = 8,
    VERSION = 1,
    CHUNK_LOG2 = 16, /* larger ones are not faster */
    CHUNK_LOG2_MAX = 20,
    AT_VERSION = 8,
    AT_CHUNK = 9,
    AT_ID = 12,
    AT_STREAM = AT_ID + ID_SIZE,
    HEADER = AT_STREAM + STREAM_HEADER,
};

static const uint8_t magic[AT_VERSION] = {'W', 'a', 'l', 'd', 'A', 'E', 'A', 'D'};

#define SODIUM_FUNCTIONS(X)                                                                        \
    X(sodium_init)                                                                                 \
    X(sodium_base642bin)                                                                           \
    X(sodium_hex2bin)                                                                              \
    X(crypto_generichash)                                                                          \
    X(crypto_secretstream_xchacha20poly1305_init_pull)                                             \
    X(crypto_secretstream_xchacha20poly1305_init_push)                                             \
    X(crypto_secretstream_xchacha20poly1305_pull)                                                  \
    X(crypto_secretstream_xchacha20poly1305_push)

static struct {
    SODIUM_FUNCTIONS(LIBRARY_FIELD)
} sodium;

static int
start(void)
{
    return sodium.sodium_init() < 0 ? fail(ERR_UNSUPPORTED, "libsodium cannot be used here") : 0;
}

static Library library = {LIBRARY("libsodium.so.23", "libsodium23", SODIUM_FUNCTIONS, sodium),
                          start};

/* The table that keyring_keys keeps: keys with their ids, the newest last. */
typedef struct Key {
    uint8_t id[ID_SIZE];
    uint8_t key[KEY_SIZE];
} Key;

enum { KEYS_MAX = SECRET_ROOM / sizeof(Key) };

static int
add_key(Secret *table, const uint8_t *bytes)
{
    static const char meaning[] = "walden aead key id";
    if (table->length / sizeof(Key) == KEYS_MAX)
        return fail(ERR_CONFIG, "there are more than %d keys", (int)KEYS_MAX);
    Key *key = (Key *)(table->data + table->length);
    uint8_t hash[crypto_generichash_BYTES];
    sodium.crypto_generichash(hash, sizeof(hash), (const uint8_t *)meaning, sizeof(meaning) - 1,
                              bytes, KEY_SIZE);
    memcpy(key->id, hash, ID_SIZE);
    memcpy(key->key, bytes, KEY_SIZE);
    table->length += sizeof(Key);
    return 0;
}

/* One line: hex or base64 of the key, with blanks around it; or a comment, or nothing. */
static int
add_line(Secret *table, const char *line, size_t length, int number)
{
    uint8_t bytes[KEY_SIZE];
    size_t got = 0;
    const char *end = NULL;
    while (length > 0 && strchr(" \t\r", *line))
        line++, length--;
    while (length > 0 && strchr(" \t\r", line[length - 1]))
        length--;
    if (length == 0 || *line == '#')
        return 0;
    bool hex = length == (size_t)2 * KEY_SIZE &&
               sodium.sodium_hex2bin(bytes, KEY_SIZE, line, length, NULL, &got, &end) == 0 &&
               got == KEY_SIZE && end == line + length;
    bool good = hex || (sodium.sodium_base642bin(bytes, KEY_SIZE, line, length, NULL, &got, &end,
                                                 sodium_base64_VARIANT_ORIGINAL) == 0 &&
                        got == KEY_SIZE && end == line + length);
    int result = good ? add_key(table, bytes)
                      : hint(fail(ERR_CONFIG, "line %d is no key", number),
                             "a key is 32 bytes in hex or base64: openssl rand -hex 32");
    explicit_bzero(bytes, sizeof(bytes));
    return result;
}

static int
parse_keys(const Secret *from, Secret *table)
{
    const char *text = (const char *)from->data;
    if (from->length == KEY_SIZE)
        return add_key(table, from->data);
    for (size_t at = 0, line = 1; at < from->length; line++) {
        const char *feed = memchr(text + at, '\n', from->length - at);
        size_t length = feed ? (size_t)(feed - text) - at : from->length - at;
        TRY(add_line(table, text + at, length, (int)line));
        at += length + 1;
    }
    return table->length ? 0 : fail(ERR_CONFIG, "there is no key");
}

/* By its id; the newest without one. */
static int
find_key(Keyring *keyring, const uint8_t *id, const Key **ret_key)
{
    const Secret *table = NULL;
    TRY(library_need(&library));
    TRY(keyring_keys(keyring, parse_keys, &table));
    const Key *keys = (const Key *)table->data;
    for (size_t i = table->length / sizeof(Key); i > 0; i--)
        if (!id || memcmp(keys[i - 1].id, id, ID_SIZE) == 0) {
            *ret_key = &keys[i - 1];
            return 0;
        }
    return 1;
}

static void
id_format(const uint8_t *id, char *ret_text)
{
    for (size_t i = 0; i < ID_SIZE; i++)
        snprintf(ret_text + 2 * i, 3, "%02x", id[i]);
}

typedef struct AeadCoder {
    Coder coder;
    Keyring *keyring;
    char name[WAL_NAME_ROOM];
    uint8_t header[HEADER];
    crypto_secretstream_xchacha20poly1305_state state;
    bool begun; /* the first chunk is done */
    bool ended; /* the last chunk was seen */
    uint64_t chunks;
    size_t chunk;  /* bytes of a chunk as it comes in: plain for us to encrypt, or not */
    size_t filled; /* bytes of it in `in`; of a file to decrypt, first those in header */
    uint8_t *in, *out;
} AeadCoder;

/* What the first chunk authenticates besides itself. Room for HEADER + WAL_NAME_ROOM bytes. */
static size_t
first_words(const AeadCoder *aead, uint8_t *ret_words)
{
    size_t length = strlen(aead->name);
    memcpy(ret_words, aead->header, HEADER);
    memcpy(ret_words + HEADER, aead->name, length);
    return HEADER + length;
}

static int
emit_chunk(AeadCoder *aead, const uint8_t *plain, size_t size, bool last)
{
    uint8_t words[HEADER + WAL_NAME_ROOM];
    size_t count = aead->begun ? 0 : first_words(aead, words);
    aead->begun = true;
    sodium.STREAM(push)(&aead->state, aead->out, NULL, plain, size, count ? words : NULL, count,
                        last ? STREAM(TAG_FINAL) : STREAM(TAG_MESSAGE));
    return coder_emit(&aead->coder, aead->out, size + ADDED);
}

static int
encrypt_begin(Coder *coder, int64_t content_size)
{
    AeadCoder *aead = (AeadCoder *)coder;
    const Key *key = NULL;
    (void)content_size;
    TRY(find_key(aead->keyring, NULL, &key));
    memset(aead->header, 0, HEADER);
    memcpy(aead->header, magic, sizeof(magic));
    aead->header[AT_VERSION] = VERSION;
    aead->header[AT_CHUNK] = CHUNK_LOG2;
    memcpy(aead->header + AT_ID, key->id, ID_SIZE);
    sodium.STREAM(init_push)(&aead->state, aead->header + AT_STREAM, key->key);
    aead->chunk = 1 << CHUNK_LOG2;
    aead->filled = 0;
    aead->begun = false;
    return coder_emit(coder, aead->header, HEADER);
}

/* A full chunk is held back until more comes: it might be the last. */
static int
encrypt_push(Coder *coder, const void *data, size_t size)
{
    AeadCoder *aead = (AeadCoder *)coder;
    const uint8_t *bytes = data;
    while (size > 0) {
        if (aead->filled == aead->chunk) {
            TRY(emit_chunk(aead, aead->in, aead->chunk, false));
            aead->filled = 0;
        }
        size_t part = aead->chunk - aead->filled < size ? aead->chunk - aead->filled : size;
        if (part == aead->chunk && size > part) { /* no need for a copy */
            TRY(emit_chunk(aead, bytes, part, false));
        } else {
            memcpy(aead->in + aead->filled, bytes, part);
            aead->filled += part;
        }
        bytes += part;
        size -= part;
    }
    return 0;
}

static int
encrypt_finish(Coder *coder)
{
    AeadCoder *aead = (AeadCoder *)coder;
    return emit_chunk(aead, aead->in, aead->filled, true);
}

static int
decrypt_begin(Coder *coder, int64_t content_size)
{
    AeadCoder *aead = (AeadCoder *)coder;
    (void)content_size;
    aead->chunk = aead->filled = 0;
    aead->chunks = 0;
    aead->begun = aead->ended = false;
    return 0;
}

static int
take_header(AeadCoder *aead)
{
    const uint8_t *header = aead->header;
    const Key *key = NULL;
    char id[2 * ID_SIZE + 1];
    if (memcmp(header, magic, sizeof(magic)) != 0)
        return fail(ERR_DATA, "it is no file of aead");
    if (header[AT_VERSION] != VERSION || header[AT_CHUNK] > CHUNK_LOG2_MAX)
        return fail(ERR_UNSUPPORTED,
                    "it is of version %d of aead, which this program does not know",
                    header[AT_VERSION]);
    int found = find_key(aead->keyring, header + AT_ID, &key);
    if (found > 0) {
        id_format(header + AT_ID, id);
        return hint(fail(ERR_CONFIG, "it was encrypted with the key %s, which is not at hand", id),
                    "add that key to the others, before the newest; it may also be damaged");
    }
    TRY(found);
    if (sodium.STREAM(init_pull)(&aead->state, header + AT_STREAM, key->key) != 0)
        return fail(ERR_DATA, "its header is damaged");
    aead->chunk = ((size_t)1 << header[AT_CHUNK]) + ADDED;
    aead->in = mem_resize(aead->in, aead->chunk, 1);
    aead->out = mem_resize(aead->out, aead->chunk, 1);
    aead->filled = 0;
    return 0;
}

static int
take_chunk(AeadCoder *aead, const uint8_t *bytes, size_t size)
{
    uint8_t words[HEADER + WAL_NAME_ROOM], tag = 0;
    size_t count = aead->begun ? 0 : first_words(aead, words);
    unsigned long long plain = 0;
    if (size < ADDED)
        return fail(ERR_DATA, "it ends too early");
    if (sodium.STREAM(pull)(&aead->state, aead->out, &plain, &tag, bytes, size,
                            count ? words : NULL, count) != 0)
        return fail(ERR_DATA,
                    aead->begun ? "it was changed or damaged, in chunk %llu, or cut off there"
                                : "it was changed or damaged, in chunk %llu, or was "
                                  "archived under another name",
                    (unsigned long long)aead->chunks);
    aead->begun = true;
    aead->chunks++;
    aead->ended = tag == STREAM(TAG_FINAL);
    return coder_emit(&aead->coder, aead->out, (size_t)plain);
}

static int
decrypt_push(Coder *coder, const void *data, size_t size)
{
    AeadCoder *aead = (AeadCoder *)coder;
    const uint8_t *bytes = data;
    while (size > 0) {
        if (aead->ended)
            return fail(ERR_DATA, "there is something behind its end");
        size_t room = (aead->chunk ? aead->chunk : HEADER) - aead->filled;
        size_t part = room < size ? room : size;
        bool whole = aead->chunk && part == aead->chunk;
        if (whole) {
            TRY(take_chunk(aead, bytes, part));
        } else {
            memcpy((aead->chunk ? aead->in : aead->header) + aead->filled, bytes, part);
            aead->filled += part;
        }
        if (!whole && part == room) {
            TRY(aead->chunk ? take_chunk(aead, aead->in, aead->chunk) : take_header(aead));
            aead->filled = 0;
        }
        bytes += part;
        size -= part;
    }
    return 0;
}

static int
decrypt_finish(Coder *coder)
{
    AeadCoder *aead = (AeadCoder *)coder;
    if (aead->ended)
        return 0;
    if (aead->chunk && aead->filled > 0)
        TRY(take_chunk(aead, aead->in, aead->filled));
    return aead->ended ? 0 : fail(ERR_DATA, "it ends too early");
}

static void
aead_free(Coder *coder)
{
    AeadCoder *aead = (AeadCoder *)coder;
    free(aead->in);
    free(aead->out);
    explicit_bzero(&aead->state, sizeof(aead->state));
    free(aead);
}

static AeadCoder *
aead_new(Keyring *keyring, const char *name, const struct CoderMethods *methods)
{
    AeadCoder *aead = mem_alloc(sizeof(*aead));
    aead->coder.methods = methods;
    aead->keyring = keyring;
    snprintf(aead->name, sizeof(aead->name), "%s", name);
    return aead;
}

static int
aead_encryptor_new(Keyring *keyring, const char *name, Coder **ret_coder)
{
    static const struct CoderMethods methods = {encrypt_begin, encrypt_push, encrypt_finish,
                                                aead_free};
    TRY(library_need(&library));
    AeadCoder *aead = aead_new(keyring, name, &methods);
    aead->in = mem_alloc(1 << CHUNK_LOG2);
    aead->out = mem_alloc((1 << CHUNK_LOG2) + ADDED);
    *ret_coder = &aead->coder;
    return 0;
}

static int
aead_decryptor_new(Keyring *keyring, const char *name, Coder **ret_coder)
{
    static const struct CoderMethods methods = {decrypt_begin, decrypt_push, decrypt_finish,
                                                aead_free};
    TRY(library_need(&library));
    *ret_coder = &aead_new(keyring, name, &methods)->coder;
    return 0;
}

static bool
aead_recognise(const void *head, size_t size)
{
    return size >= sizeof(magic) && memcmp(head, magic, sizeof(magic)) == 0;
}

static void
aead_key_text(const void *head, size_t size, char *ret_text)
{
    snprintf(ret_text, KEY_TEXT_ROOM, "damaged");
    if (size >= HEADER)
        id_format((const uint8_t *)head + AT_ID, ret_text);
}

static bool
aead_can_decrypt(const Keyring *keyring)
{
    const KeyringSettings *settings = keyring_settings(keyring);
    return settings->key_file || settings->key_command;
}

static int
aead_newest_key(Keyring *keyring, char *ret_text)
{
    const Key *key = NULL;
    TRY(find_key(keyring, NULL, &key));
    id_format(key->id, ret_text);
    return 0;
}

const CipherClass cipher_aead = {
    .name = "aead",
    .recognise = aead_recognise,
    .key_text = aead_key_text,
    .encryptor_new = aead_encryptor_new,
    .decryptor_new = aead_decryptor_new,
    .can_decrypt = aead_can_decrypt,
    .newest_key = aead_newest_key,
};
