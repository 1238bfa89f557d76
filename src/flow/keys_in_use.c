/* SPDX-License-Identifier: PostgreSQL
 * Each encrypted file says by its first bytes which key opens it. Nothing is decrypted, and no key
 * is needed but to say which is the newest. */
#include "flow/keys_in_use.h"

#include "base/proc.h"
#include "flow/place.h"

typedef struct Count {
    const Store *store;
    KeysInUse *keys;
} Count;

static KeyUse *
find_use(KeysInUse *keys, const char *cipher, const char *key)
{
    for (size_t i = 0; i < keys->count; i++)
        if (keys->uses[i].cipher == cipher && strcmp(keys->uses[i].key, key) == 0)
            return &keys->uses[i];
    keys->uses = mem_resize(keys->uses, keys->count + 1, sizeof(*keys->uses));
    KeyUse *use = &keys->uses[keys->count++];
    *use = (KeyUse){.cipher = cipher};
    snprintf(use->key, sizeof(use->key), "%s", key);
    return use;
}

static int
count_file(void *context, const char *name, const struct stat *st)
{
    const Count *count = context;
    char head[CIPHER_HEAD], key[KEY_TEXT_ROOM] = "";
    AUTO(close) int fd = -1;
    TRY(stop_check());
    int found = store_read_head(count->store, name, CIPHER_HEAD, &fd);
    if (found == STORE_MISSING) /* removed since it was listed */
        return 0;
    TRY(found);
    ssize_t got = pread(fd, head, sizeof(head), 0);
    if (got < 0)
        return fail_errno("read '%s'", name);
    const CipherClass *cipher = cipher_recognise(head, (size_t)got);
    if (cipher)
        cipher->key_text(head, (size_t)got, key);
    KeyUse *use = find_use(count->keys, cipher ? cipher->name : NULL, key);
    time_t time = st->st_mtim.tv_sec;
    bool oldest = use->files == 0 || time < use->oldest_file.time;
    bool newest = use->files == 0 || time >= use->newest_file.time;
    const char *copy = oldest || newest ? arena_dup(count->keys->arena, name) : NULL;
    if (oldest)
        use->oldest_file = (__typeof__(use->oldest_file)){copy, time};
    if (newest)
        use->newest_file = (__typeof__(use->newest_file)){copy, time};
    use->files++;
    use->bytes += st->st_size;
    return 0;
}

static int
by_cipher_and_key(const void *a, const void *b)
{
    const KeyUse *x = a, *y = b;
    if (!x->cipher || !y->cipher)
        return (x->cipher == NULL) - (y->cipher == NULL);
    int order = strcmp(x->cipher, y->cipher);
    return order ? order : strcmp(x->key, y->key);
}

/* A cipher that cannot tell, as gpg, which may choose one of several keys, marks none. */
static int
mark_newest(const ServerConfig *server, KeysInUse *keys)
{
    const CipherClass *cipher = NULL;
    CustomCodec custom;
    char key[KEY_TEXT_ROOM];
    TRY(cipher_configured(server, &cipher));
    if (!cipher || !cipher->newest_key)
        return 0;
    custom_codec_init(server, keys->arena, &custom);
    TRY(cipher->newest_key(custom.keyring, key));
    find_use(keys, cipher->name, key)->newest = true;
    return 0;
}

static int
count_all(const ServerConfig *server, KeysInUse *keys)
{
    AUTO(store) Store *store = NULL;
    size_t strangers = 0;
    TRY(archive_need(server, 0, &store));
    Count count = {store, keys};
    TRY(store_list(store, count_file, &count, &strangers));
    TRY(mark_newest(server, keys));
    if (keys->count)
        qsort(keys->uses, keys->count, sizeof(*keys->uses), by_cipher_and_key);
    return 0;
}

int
keys_in_use(const ServerConfig *server, KeysInUse *ret_keys)
{
    KeysInUse keys = {.arena = arena_new()};
    int result = count_all(server, &keys);
    if (result < 0)
        keys_in_use_done(&keys);
    else
        *ret_keys = keys;
    return result;
}

void
keys_in_use_done(KeysInUse *keys)
{
    free(keys->uses);
    arena_free(keys->arena);
    *keys = (KeysInUse){0};
}
