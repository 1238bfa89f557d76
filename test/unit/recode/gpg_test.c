/* SPDX-License-Identifier: PostgreSQL
 * With a keyring made for this test, and against gpg itself. */
#include "../files.h"
#include "stream.h"

#include "flow/recode/cipher.h"

#include <sys/wait.h>

#define NAME "000000010000000000000001"

static char *home;

static void shell(const char *format, ...) PRINTF_LIKE(1, 2);

static void
shell(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    AUTO(free) char *line = mem_vprintf(format, args);
    va_end(args);
    if (system(line) != 0)
        fail_msg("failed: %s", line);
}

/* The socket of the agent must have a short path: never below $TMPDIR. */
static int
make_keyring(void **state)
{
    (void)state;
    home = mkdtemp(mem_dup("/tmp/walden-gpg-XXXXXX"));
    setenv("GNUPGHOME", home, 1);
    static const char *const keys[] = {
        "--passphrase sesame --quick-generate-key sealed@test rsa2048 encr never",
        "--passphrase '' --quick-generate-key open@test future-default default never",
        "--passphrase '' --faked-system-time 20200101T000000 --quick-generate-key old@test "
        "future-default default 1d",
        "--passphrase '' --quick-generate-key signer@test ed25519 sign never",
    };
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        shell("gpg -q --batch --pinentry-mode loopback %s 2>>%s/log", keys[i], home);
    return 0;
}

static int
remove_keyring(void **state)
{
    (void)state;
    shell("gpgconf --kill all");
    scratch_remove(home);
    return 0;
}

static Keyring *
keyring_for(const char *key_id, const char *passphrase_command)
{
    return keyring_new(&(KeyringSettings){
        .key_id = key_id, .passphrase_command = passphrase_command, .timeout_ms = 60000});
}

static int
run(Keyring *keyring, bool encrypt, const Str *input, size_t piece, Str *output)
{
    AUTO(coder) Coder *coder = NULL;
    const CipherClass *gpg = cipher_find("gpg");
    TRY((encrypt ? encryptor_new : decryptor_new)(gpg, keyring, NAME, &coder));
    return stream_run(coder, input, piece, -1, output);
}

static void
forget_passphrases(void)
{
    shell("gpgconf --kill gpg-agent");
}

static void
test_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100000, 3 << 20};
    AUTO(keyring) Keyring *keyring = keyring_for("sealed@test", "echo sesame");
    forget_passphrases();
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        AUTO(str) Str plain = {0}, packed = {0}, back = {0};
        content_random(&plain, sizes[i]);
        assert_done(run(keyring, true, &plain, 256 << 10, &packed));
        assert_ptr_equal(cipher_recognise(packed.data, packed.length), cipher_find("gpg"));
        assert_done(run(keyring, false, &packed, 100000, &back));
        assert_same(&back, &plain, "gpg", 100000);
    }
}

static void
test_with_gpg_itself(void **state)
{
    (void)state;
    AUTO(str) Str plain = {0}, packed = {0}, back = {0}, read = {0};
    AUTO(free) char *path = mem_printf("%s/file", home);
    AUTO(free) char *other = mem_printf("%s/other", home);
    AUTO(keyring) Keyring *keyring = keyring_for("open@test", NULL);
    content_text(&plain, 1 << 20);
    assert_done(run(keyring, true, &plain, 4096, &packed));
    write_bytes(path, packed.data, packed.length);
    unlink(other);
    shell("gpg -q --batch --output %s --decrypt %s 2>/dev/null", other, path);
    assert_done(file_read_text(other, MIB(16), &read));
    assert_same(&read, &plain, "by gpg", 0);

    write_bytes(path, plain.data, plain.length);
    unlink(other);
    shell("gpg -q --batch --compress-level 0 --recipient open@test --encrypt --output %s %s", other,
          path);
    str_clear(&packed);
    assert_done(file_read_text(other, MIB(16), &packed));
    assert_done(run(keyring, false, &packed, 4096, &back));
    assert_same(&back, &plain, "from gpg", 4096);
}

static void
test_keys_that_cannot_be_used(void **state)
{
    (void)state;
    static const struct {
        const char *key_id, *problem, *advice;
    } cases[] = {
        {NULL, "whom to encrypt to", "encryption_key_id"},
        {"nobody@test", "there is no OpenPGP key 'nobody@test'", "import"},
        {"old@test", "has expired", "extend"},
        {"signer@test", "cannot encrypt", "another key"},
        {"--sign", "there is no OpenPGP key '--sign'", "import"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(str) Str plain = {0}, packed = {0};
        AUTO(keyring) Keyring *keyring = keyring_for(cases[i].key_id, NULL);
        content_text(&plain, 100000);
        assert_fails(run(keyring, true, &plain, 4096, &packed), ERR_CONFIG, cases[i].problem);
        if (!strstr(error_last()->hint, cases[i].advice))
            fail_msg("%s: %s", cases[i].problem, error_last()->hint);
        assert_int_equal(packed.length, 0);
    }
}

static void
test_passphrases(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        ErrorClass class;
        const char *problem;
    } cases[] = {
        {"echo wrong", ERR_CONFIG, "assphrase"},
        {NULL, ERR_CONFIG, "passphrase"},
        {"echo sesame; exit 1", ERR_HOOK, "exit code 1"},
        {": sesame", ERR_HOOK, "printed nothing"},
        {"printf sesame", 0, NULL},
    };
    AUTO(str) Str plain = {0}, packed = {0};
    AUTO(keyring) Keyring *keyring = keyring_for("sealed@test", NULL);
    content_text(&plain, 100000);
    assert_done(run(keyring, true, &plain, 4096, &packed)); /* needs none */
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(str) Str back = {0};
        AUTO(keyring) Keyring *trying = keyring_for("sealed@test", cases[i].command);
        forget_passphrases();
        int result = run(trying, false, &packed, 4096, &back);
        if (!cases[i].problem) {
            assert_done(result);
            continue;
        }
        assert_fails(result, cases[i].class, cases[i].problem);
        assert_null(strstr(error_last()->text, "sesame"));
        assert_int_equal(back.length, 0);
    }
}

static void
test_damage(void **state)
{
    (void)state;
    AUTO(str) Str plain = {0}, packed = {0};
    AUTO(keyring) Keyring *keyring = keyring_for("open@test", NULL);
    content_random(&plain, 300000);
    assert_done(run(keyring, true, &plain, 4096, &packed));
    const struct {
        const char *what;
        size_t length, changed;
    } cases[] = {
        {"cut", packed.length - 1, 0},
        {"cut in the middle", packed.length / 2, 0},
        {"cut in its first packet", 100, 0},
        {"changed", packed.length, packed.length / 2},
        {"changed at its end", packed.length, packed.length - 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(str) Str input = {0}, back = {0};
        str_append_part(&input, packed.data, cases[i].length);
        if (cases[i].changed)
            input.data[cases[i].changed] ^= 1;
        int result = run(keyring, false, &input, 100000, &back);
        if (result == 0 || error_last()->class != ERR_DATA)
            fail_msg("%s: %d %s", cases[i].what, result, error_last()->text);
    }
}

static void
test_no_secret_key(void **state)
{
    (void)state;
    AUTO(str) Str plain = {0}, packed = {0}, back = {0};
    AUTO(keyring) Keyring *keyring = keyring_for("open@test", NULL);
    content_text(&plain, 100000);
    assert_done(run(keyring, true, &plain, 4096, &packed));
    AUTO(free) char *elsewhere = mkdtemp(mem_dup("/tmp/walden-gpg-XXXXXX"));
    setenv("GNUPGHOME", elsewhere, 1);
    int result = run(keyring, false, &packed, 4096, &back);
    Error error = *error_last();
    shell("gpgconf --kill all");
    setenv("GNUPGHOME", home, 1);
    shell("rm -rf %s", elsewhere); /* beside gpg, which clears up its locks */
    error_restore(&error);
    assert_fails(result, ERR_CONFIG, "ecret key");
}

/* A gpg that hangs over its home directory, and a command that hangs */
static void
test_hanging(void **state)
{
    (void)state;
    AUTO(str) Str plain = {0}, packed = {0}, back = {0};
    AUTO(keyring) Keyring *good = keyring_for("sealed@test", NULL);
    AUTO(keyring)
    Keyring *keyring = keyring_new(&(KeyringSettings){
        .key_id = "sealed@test", .passphrase_command = "sleep 60", .timeout_ms = 500});
    content_text(&plain, 100);
    assert_done(run(good, true, &plain, 4096, &packed));
    forget_passphrases();
    assert_fails(run(keyring, false, &packed, 4096, &back), ERR_TIMEOUT, "ended after 500 ms");

    AUTO(free) char *elsewhere = mkdtemp(mem_dup("/tmp/walden-gpg-XXXXXX"));
    AUTO(free) char *options = mem_printf("%s/gpg.conf", elsewhere);
    assert_int_equal(mkfifo(options, 0600), 0);
    setenv("GNUPGHOME", elsewhere, 1);
    int result = run(keyring, true, &plain, 4096, &packed);
    setenv("GNUPGHOME", home, 1);
    close(open(options, O_RDWR | O_CLOEXEC)); /* lets gpg end */
    shell("rm -rf %s", elsewhere);            /* beside gpg, which clears up its locks */
    assert_int_equal(result, -1);
    assert_fails(result, ERR_TIMEOUT, "gpg has done nothing for 500 ms");
}

/* kill -9 of the gpg that works with our keyring, as the kernel does when memory runs out */
static void
kill_gpg(void)
{
    shell("for p in /proc/[0-9]*; do "
          "if [ \"$(cat $p/comm 2>/dev/null)\" = gpg ] && "
          "grep -qz '^GNUPGHOME=%s$' $p/environ 2>/dev/null; then kill -9 ${p#/proc/}; fi; done; "
          "sleep 0.1",
          home);
}

/* Whether or not all its input is in its pipe already: nothing that came out of it is whole, and
 * nothing that went into it is damaged. */
static void
test_killed(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 1000, 200000, 3 << 20};
    AUTO(keyring) Keyring *keyring = keyring_for("open@test", NULL);
    for (size_t i = 0; i < 2 * COUNT_OF(sizes); i++) {
        AUTO(str) Str plain = {0}, packed = {0}, output = {0};
        AUTO(coder) Coder *coder = NULL;
        bool encrypt = i % 2 == 0;
        content_random(&plain, sizes[i / 2]);
        assert_done(run(keyring, true, &plain, 256 << 10, &packed));
        const Str *input = encrypt ? &plain : &packed;
        assert_done(
            (encrypt ? encryptor_new : decryptor_new)(cipher_find("gpg"), keyring, NAME, &coder));
        assert_done(coder_begin(coder, -1, str_sink, &output));
        size_t half = input->length / 2;
        int result = coder_push(coder, input->data, half);
        kill_gpg();
        if (result == 0)
            result = coder_push(coder, input->data + half, input->length - half);
        if (result == 0)
            result = coder_finish(coder);
        if (result == 0 || error_last()->class != ERR_IO)
            fail_msg("%zu bytes, encrypt %d: %d %s", sizes[i / 2], encrypt, result,
                     result < 0 ? error_last()->text : "");
    }
}

/* How gpg's messages begin, and what does not */
static void
test_recognise(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        bool encrypted;
    } cases[] = {
        {"\x85\x01\x0c\x03........", true},          /* to an RSA key */
        {"\x84\x5e\x03\x12\x34.........", true},     /* to a Curve25519 key */
        {"\x8c\x0d\x04\x09\x03\x08........", true},  /* with a passphrase */
        {"\xc1\xc0\x4c\x03.........", true},         /* new format, two octets of length */
        {"\x85\x01\x0c\x02........", false},         /* no such version */
        {"\x87\x03\x03\x03\x03\x03........", false}, /* of unknown length */
        {"\x10\xd1\x07..........", false},           /* WAL */
        {"plain text here", false},
        {"\x85\x01", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (cipher_recognise(cases[i].head, strlen(cases[i].head)) !=
            (cases[i].encrypted ? cipher_find("gpg") : NULL))
            fail_msg("case %zu", i);
    char text[KEY_TEXT_ROOM];
    cipher_find("gpg")->key_text("\x85\x01\x0c\x03\x01\x23\x45\x67\x89\xab\xcd\xef...", 15, text);
    assert_string_equal(text, "0123456789ABCDEF");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_with_gpg_itself),
        cmocka_unit_test(test_keys_that_cannot_be_used),
        cmocka_unit_test(test_passphrases),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_no_secret_key),
        cmocka_unit_test(test_hanging),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_recognise),
    };
    return cmocka_run_group_tests(tests, make_keyring, remove_keyring);
}
