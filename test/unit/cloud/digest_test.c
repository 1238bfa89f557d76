/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include "cloud/digest.h"

static void
test_digests(void **state)
{
    (void)state;
    char hex[SHA256_HEX_ROOM];
    assert_done(digest_hex_of(DIGEST_SHA256, "abc", 3, hex));
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_done(digest_hex_of(DIGEST_MD5, "abc", 3, hex));
    assert_string_equal(hex, "900150983cd24fb0d6963f7d28e17f72");
    assert_done(digest_hex_of(DIGEST_MD5, NULL, 0, hex));
    assert_string_equal(hex, "d41d8cd98f00b204e9800998ecf8427e");
}

static void
test_stream(void **state)
{
    (void)state;
    AUTO(digest) Digest *digest = NULL;
    unsigned char whole[MD5_SIZE], parts[MD5_SIZE];
    assert_done(digest_of(DIGEST_MD5, "abc", 3, whole));
    assert_done(digest_begin(DIGEST_MD5, &digest));
    assert_done(digest_add(digest, "a", 1));
    assert_done(digest_add(digest, "bc", 2));
    assert_done(digest_end(digest, parts));
    assert_memory_equal(whole, parts, sizeof(whole));
}

/* RFC 4231, case 2 */
static void
test_hmac(void **state)
{
    (void)state;
    unsigned char mac[SHA256_SIZE];
    char hex[SHA256_HEX_ROOM];
    assert_done(hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac));
    hex_format(mac, sizeof(mac), hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

/* RFC 4648, section 10 */
static void
test_base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"\xff\xfe\xfd", "//79"}};
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        AUTO(free) char *text = base64_format(pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(text, pairs[i][1]);
        AUTO(free) char *lines = mem_printf(" %s\n", pairs[i][1]);
        AUTO(free) unsigned char *data = NULL;
        size_t size = 99;
        assert_true(base64_parse(lines, &data, &size));
        assert_int_equal(size, strlen(pairs[i][0]));
        assert_memory_equal(data, pairs[i][0], size);
    }
    static const char *const wrong[] = {"Zg", "Zg=", "Z===", "Zm9v Zm9v", "Zm-v", "=Zm9"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        unsigned char *data = NULL;
        size_t size = 0;
        assert_false(base64_parse(wrong[i], &data, &size));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
