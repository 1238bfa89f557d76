/* SPDX-License-Identifier: PostgreSQL
 * What was encrypted comes back; what was changed in any way does not. */
#include "../files.h"
#include "stream.h"

#include "base/file.h"
#include "flow/recode/cipher.h"

#define NAME "000000010000000000000001"
#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=" /* 20 .. 3f */

enum { HEADER = 44, CHUNK = 64 << 10, ADDED = 17 };

typedef struct Fixture {
    char *directory, *key_file;
    Keyring *keyring;
} Fixture;

static Keyring *
keyring_of(const char *key_file)
{
    return keyring_new(&(KeyringSettings){.key_file = key_file, .timeout_ms = 60000});
}

static int
setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(*fixture));
    fixture->directory = scratch_make();
    fixture->key_file = mem_printf("%s/keys", fixture->directory);
    write_text(fixture->key_file, "# the first\n" KEY_1 "\n");
    chmod(fixture->key_file, 0600);
    fixture->keyring = keyring_of(fixture->key_file);
    *state = fixture;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;
    keyring_free(fixture->keyring);
    free(fixture->key_file);
    scratch_remove(fixture->directory);
    free(fixture);
    return 0;
}

static int
run(Keyring *keyring, bool encrypt, const char *name, const Str *input, size_t piece, Str *output)
{
    AUTO(coder) Coder *coder = NULL;
    const CipherClass *aead = cipher_find("aead");
    TRY((encrypt ? encryptor_new : decryptor_new)(aead, keyring, name, &coder));
    return stream_run(coder, input, piece, -1, output);
}

static void
test_round_trip(void **state)
{
    const Fixture *fixture = *state;
    static const size_t sizes[] = {0,         1,         CHUNK - 1,     CHUNK,
                                   CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7, 1 << 20};
    static const size_t pieces[] = {1000, CHUNK, 256 << 10};
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (size_t p = 0; p < COUNT_OF(pieces); p++) {
            AUTO(str) Str plain = {0}, packed = {0}, back = {0};
            content_random(&plain, sizes[s]);
            assert_done(run(fixture->keyring, true, NAME, &plain, pieces[p], &packed));
            size_t chunks = sizes[s] == 0 ? 1 : (sizes[s] + CHUNK - 1) / CHUNK;
            assert_int_equal(packed.length, HEADER + sizes[s] + chunks * ADDED);
            assert_ptr_equal(cipher_recognise(packed.data, packed.length), cipher_find("aead"));
            for (size_t q = 0; q < COUNT_OF(pieces); q++) {
                assert_done(run(fixture->keyring, false, NAME, &packed, pieces[q], &back));
                assert_same(&back, &plain, "aead", pieces[q]);
            }
        }
}

/* Each byte of a small file, and every place of a larger one that means something */
static void
test_changed_bytes(void **state)
{
    const Fixture *fixture = *state;
    AUTO(str) Str plain = {0}, packed = {0}, back = {0};
    content_text(&plain, 200);
    assert_done(run(fixture->keyring, true, NAME, &plain, 1000, &packed));
    for (size_t i = 0; i < packed.length; i++) {
        packed.data[i] ^= 0x10;
        if (run(fixture->keyring, false, NAME, &packed, 1000, &back) == 0)
            fail_msg("byte %zu was changed and nobody saw it", i);
        packed.data[i] ^= 0x10;
    }
    assert_done(run(fixture->keyring, false, NAME, &packed, 1000, &back));
}

static void
copy_part(Str *to, const Str *from, size_t begin, size_t end)
{
    str_append_part(to, from->data + begin, end - begin);
}

static void
test_tampering(void **state)
{
    const Fixture *fixture = *state;
    enum { C = CHUNK + ADDED };
    AUTO(str) Str plain = {0}, a = {0}, b = {0};
    content_random(&plain, 3 * CHUNK + 100);
    assert_done(run(fixture->keyring, true, NAME, &plain, CHUNK, &a));
    assert_done(run(fixture->keyring, true, NAME, &plain, CHUNK, &b));
    size_t end = a.length;
    const struct {
        const char *what;
        size_t cuts[4][2]; /* of a; the second list is of b */
        size_t other[2];
        const char *message;
    } cases[] = {
        {"cut in the header", {{0, 20}}, {0}, "too early"},
        {"only the header", {{0, HEADER}}, {0}, "too early"},
        {"cut behind a chunk", {{0, HEADER + 2 * C}}, {0}, "too early"},
        {"cut within a chunk", {{0, HEADER + 2 * C + 500}}, {0}, "cut off"},
        {"cut by one byte", {{0, end - 1}}, {0}, "cut off"},
        {"cut to less than a tag", {{0, HEADER + 2 * C + 5}}, {0}, "too early"},
        {"without its last chunk", {{0, HEADER + 3 * C}}, {0}, "too early"},
        {"chunks exchanged",
         {{0, HEADER}, {HEADER + C, HEADER + 2 * C}, {HEADER, HEADER + C}, {HEADER + 2 * C, end}},
         {0},
         "another name"},
        {"later chunks exchanged",
         {{0, HEADER + C},
          {HEADER + 2 * C, HEADER + 3 * C},
          {HEADER + C, HEADER + 2 * C},
          {HEADER + 3 * C, end}},
         {0},
         "in chunk 1"},
        {"a chunk left out", {{0, HEADER + C}, {HEADER + 2 * C, end}}, {0}, "in chunk 1"},
        {"a chunk twice", {{0, HEADER + C}, {HEADER, end}}, {0}, "in chunk 1"},
        {"the end of another file", {{0, HEADER + C}}, {HEADER + C, end}, "in chunk 1"},
        {"something behind it", {{0, end}}, {0, 1}, "in chunk 3"},
        {"another file behind it", {{0, end}}, {0, end}, "in chunk 3"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(str) Str input = {0}, back = {0};
        for (size_t k = 0; k < 4; k++)
            copy_part(&input, &a, cases[i].cuts[k][0], cases[i].cuts[k][1]);
        copy_part(&input, &b, cases[i].other[0], cases[i].other[1]);
        int result = run(fixture->keyring, false, NAME, &input, 100000, &back);
        if (result == 0 || error_last()->class != ERR_DATA ||
            !strstr(error_last()->text, cases[i].message))
            fail_msg("%s: %d %s", cases[i].what, result, result ? error_last()->text : "");
    }
}

/* A last chunk that is full shows its end by itself. */
static void
test_behind_the_end(void **state)
{
    const Fixture *fixture = *state;
    AUTO(str) Str plain = {0}, packed = {0}, back = {0};
    content_random(&plain, 2 * CHUNK);
    assert_done(run(fixture->keyring, true, NAME, &plain, 1000, &packed));
    str_append(&packed, "x");
    assert_fails(run(fixture->keyring, false, NAME, &packed, 1000, &back), ERR_DATA,
                 "behind its end");
}

static void
test_swapped_files(void **state)
{
    const Fixture *fixture = *state;
    AUTO(str) Str plain = {0}, packed = {0}, back = {0};
    content_text(&plain, 100);
    assert_done(run(fixture->keyring, true, NAME, &plain, 1000, &packed));
    assert_fails(run(fixture->keyring, false, "000000010000000000000002", &packed, 1000, &back),
                 ERR_DATA, "another name");
    assert_fails(run(fixture->keyring, false, NAME ".partial", &packed, 1000, &back), ERR_DATA,
                 "another name");
    assert_int_equal(back.length, 0);
}

static void
test_rotation(void **state)
{
    const Fixture *fixture = *state;
    AUTO(str) Str plain = {0}, first = {0}, second = {0}, back = {0};
    char key_1[KEY_TEXT_ROOM], key_2[KEY_TEXT_ROOM], text[KEY_TEXT_ROOM];
    const CipherClass *aead = cipher_find("aead");
    content_text(&plain, 100);
    assert_done(run(fixture->keyring, true, NAME, &plain, 1000, &first));
    assert_done(aead->newest_key(fixture->keyring, key_1));

    write_text(fixture->key_file, KEY_1 "\n\n  " KEY_2 " \r\n");
    AUTO(keyring) Keyring *both = keyring_of(fixture->key_file);
    assert_done(aead->newest_key(both, key_2));
    assert_string_not_equal(key_1, key_2);
    assert_done(run(both, true, NAME, &plain, 1000, &second));
    aead->key_text(first.data, first.length, text);
    assert_string_equal(text, key_1);
    aead->key_text(second.data, second.length, text);
    assert_string_equal(text, key_2);
    assert_done(run(both, false, NAME, &first, 1000, &back));
    assert_same(&back, &plain, "the first key", 1000);
    assert_done(run(both, false, NAME, &second, 1000, &back));
    assert_same(&back, &plain, "the second key", 1000);
    assert_fails(run(fixture->keyring, false, NAME, &second, 1000, &back), ERR_CONFIG, key_2);
}

static void
test_keys(void **state)
{
    const Fixture *fixture = *state;
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {KEY_1, NULL},
        {KEY_2, NULL},
        {"0123456789abcdef0123456789abcdef", NULL}, /* 32 bytes as they are */
        {"", "there is no key"},
        {"# nothing\n", "there is no key"},
        {KEY_1 "\nsecret\n", "line 2 is no key"},
        {KEY_1 "00\n", "line 1 is no key"},
        {"zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", "is no key"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[KEY_TEXT_ROOM];
        write_text(fixture->key_file, cases[i].text);
        AUTO(keyring) Keyring *keyring = keyring_of(fixture->key_file);
        int result = cipher_find("aead")->newest_key(keyring, text);
        if (!cases[i].problem && result < 0)
            fail_msg("case %zu: %s", i, error_last()->text);
        if (!cases[i].problem)
            continue;
        assert_int_equal(result, -1);
        if (!strstr(error_last()->text, cases[i].problem) || strstr(error_last()->text, "secret"))
            fail_msg("case %zu: %s", i, error_last()->text);
    }
}

static void
test_commands(void **state)
{
    (void)state;
    static const struct {
        const char *line, *problem;
        ErrorClass class;
    } cases[] = {
        {"echo " KEY_1, NULL, 0},
        {"echo sesame >&2; exit 3", "encryption_key_command: exit code 3", ERR_HOOK},
        {"true sesame", "printed nothing", ERR_HOOK},
        {"echo sesame", "line 1 is no key", ERR_CONFIG},
        {"sleep 60 & echo " KEY_1, NULL, 0},
        {": sesame; sleep 60", "was ended", ERR_TIMEOUT},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[KEY_TEXT_ROOM];
        bool slow = cases[i].class == ERR_TIMEOUT && cases[i].problem;
        AUTO(keyring)
        Keyring *keyring = keyring_new(
            &(KeyringSettings){.key_command = cases[i].line, .timeout_ms = slow ? 300 : 60000});
        int result = cipher_find("aead")->newest_key(keyring, text);
        if (!cases[i].problem) {
            assert_done(result);
            continue;
        }
        assert_fails(result, cases[i].class, cases[i].problem);
        assert_null(strstr(error_last()->text, "sesame"));
        assert_fails(cipher_find("aead")->newest_key(keyring, text), cases[i].class,
                     cases[i].problem); /* asked once only */
    }
    AUTO(keyring) Keyring *none = keyring_new(&(KeyringSettings){.timeout_ms = 1});
    char text[KEY_TEXT_ROOM];
    assert_fails(cipher_find("aead")->newest_key(none, text), ERR_CONFIG, "there is no key");
}

/* A file that is read through a pipe while it is decrypted */
static void
test_decryption(void **state)
{
    const Fixture *fixture = *state;
    static const size_t sizes[] = {0, 5, DECRYPTION_HEAD, DECRYPTION_HEAD + 1, 5 << 20};
    AUTO(free) char *path = mem_printf("%s/file", fixture->directory);
    for (size_t i = 0; i < 2 * COUNT_OF(sizes); i++) {
        size_t size = sizes[i / 2], got = 0;
        bool cut = i % 2;
        AUTO(str) Str plain = {0}, packed = {0};
        AUTO(free) char *back = mem_alloc(size + 1);
        char head[DECRYPTION_HEAD];
        content_random(&plain, size);
        assert_done(run(fixture->keyring, true, NAME, &plain, 256 << 10, &packed));
        write_bytes(path, packed.data, packed.length - cut);
        AUTO(close) int fd = -1;
        int pipe_fd = -1;
        Decryption *decryption = NULL;
        assert_done(file_open(path, &fd));
        assert_done(decryption_start(cipher_find("aead"), fixture->keyring, NAME, fd, &decryption,
                                     &pipe_fd));
        assert_done(decryption_peek(decryption, head, &got));
        if (!cut || size > DECRYPTION_HEAD + CHUNK) {
            assert_int_equal(got, size < DECRYPTION_HEAD ? size : DECRYPTION_HEAD);
            assert_memory_equal(head, plain.data ? plain.data : "", got);
        }
        assert_done(file_read(pipe_fd, back, size + 1, path, &got));
        if (cut) {
            assert_fails(decryption_end(decryption, 0), ERR_DATA, "");
            continue;
        }
        assert_int_equal(got, size);
        assert_memory_equal(back, plain.data ? plain.data : "", size);
        assert_done(decryption_end(decryption, 0));
    }
}

/* Who has read enough just ends it. */
static void
test_decryption_left(void **state)
{
    const Fixture *fixture = *state;
    AUTO(free) char *path = mem_printf("%s/file", fixture->directory);
    AUTO(str) Str plain = {0}, packed = {0};
    AUTO(close) int fd = -1;
    int pipe_fd = -1;
    Decryption *decryption = NULL;
    content_random(&plain, 5 << 20);
    assert_done(run(fixture->keyring, true, NAME, &plain, 256 << 10, &packed));
    write_bytes(path, packed.data, packed.length);
    assert_done(file_open(path, &fd));
    assert_done(
        decryption_start(cipher_find("aead"), fixture->keyring, NAME, fd, &decryption, &pipe_fd));
    assert_done(decryption_end(decryption, 0));
    lseek(fd, 0, SEEK_SET);
    assert_done(
        decryption_start(cipher_find("aead"), fixture->keyring, NAME, fd, &decryption, &pipe_fd));
    assert_fails(decryption_end(decryption, fail(ERR_IO, "the disk is full")), ERR_IO, "disk");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(round_trip),    TEST(changed_bytes),   TEST(tampering), TEST(behind_the_end),
        TEST(swapped_files), TEST(rotation),        TEST(keys),      TEST(commands),
        TEST(decryption),    TEST(decryption_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
