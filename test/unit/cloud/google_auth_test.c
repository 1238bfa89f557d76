/* SPDX-License-Identifier: PostgreSQL */
#include "cloud/google_auth.h"

#include "../unit.h"
#include "cloud/digest.h"
#include "cloud/json.h"
#include "cloud/rsa.h"
#include "rfc7515.h"

static void
the_published_signature_is_made(void **state)
{
    (void)state;
    AUTO(free) unsigned char *signature = NULL;
    size_t size = 0;
    assert_done(
        rsa_sha256_sign(rfc7515_key, rfc7515_text, strlen(rfc7515_text), &signature, &size));
    AUTO(free) char *text = base64_format(signature, size);
    assert_string_equal(text, rfc7515_signature);
}

static void
what_is_no_key_is_refused(void **state)
{
    static const char *const keys[] = {
        "", "secret", "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"};
    (void)state;
    AUTO(free) unsigned char *signature = NULL;
    size_t size = 0;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        assert_fails(rsa_sha256_sign(keys[i], "x", 1, &signature, &size), ERR_CONFIG,
                     "private key");
        assert_null(strstr(error_last()->text, "secret"));
    }
    assert_null(signature);
}

/* One part of a token, in the form of URLs. */
static json_t *
decode(const char *part, size_t length)
{
    Str text = {0};
    str_append_part(&text, part, length);
    for (char *c = text.data; *c; c++)
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    while (text.length % 4)
        str_append(&text, "=");
    unsigned char *data = NULL;
    size_t size = 0;
    json_t *root = NULL;
    assert_true(base64_parse(text.data, &data, &size));
    assert_done(json_read((const char *)data, size, "the token", &root));
    free(data);
    str_done(&text);
    return root;
}

static void
a_service_account_says_who_it_is(void **state)
{
    (void)state;
    AUTO(str) Str jwt = {0};
    assert_done(
        google_jwt("me@project", "key-1", rfc7515_key, "https://host/token", 1700000000, &jwt));
    const char *claims_text = strchr(jwt.data, '.') + 1;
    AUTO(json) json_t *header = decode(jwt.data, strcspn(jwt.data, "."));
    AUTO(json) json_t *claims = decode(claims_text, strcspn(claims_text, "."));
    assert_string_equal(json_text(header, "alg"), "RS256");
    assert_string_equal(json_text(header, "kid"), "key-1");
    assert_string_equal(json_text(claims, "iss"), "me@project");
    assert_string_equal(json_text(claims, "aud"), "https://host/token");
    assert_non_null(strstr(json_text(claims, "scope"), "devstorage.read_write"));
    assert_int_equal(json_number(claims, "iat", 0), 1700000000);
    assert_int_equal(json_number(claims, "exp", 0), 1700003600);
    assert_null(strpbrk(jwt.data, "+/="));
}

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void
files_are_looked_through(void **state)
{
    static const struct {
        const char *text, *part; /* NULL: good */
    } cases[] = {
        {"{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":\"k\"}", NULL},
        {"{\"type\":\"authorized_user\",\"client_id\":\"i\",\"client_secret\":\"s\","
         "\"refresh_token\":\"t\"}",
         NULL},
        {"{\"type\":\"service_account\",\"client_email\":\"e\"}", "private_key"},
        {"{\"type\":\"external_account\"}", "external_account"},
        {"[]", "no object in JSON"},
        {"{\"type\":", "no object in JSON"},
    };
    (void)state;
    char *directory = scratch_make();
    AUTO(free) char *path = mem_printf("%s/application_default_credentials.json", directory);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (int named = 0; named < 2; named++) {
            GoogleAuth *auth = NULL;
            write_file(path, cases[i].text);
            unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
            setenv("CLOUDSDK_CONFIG", directory, 1);
            if (named)
                setenv("GOOGLE_APPLICATION_CREDENTIALS", path, 1);
            int result = google_auth_open(NULL, &auth);
            assert_int_equal(result < 0, cases[i].part != NULL);
            if (cases[i].part)
                assert_non_null(strstr(error_last()->text, cases[i].part));
            else
                google_auth_free(auth);
        }
    setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/file", 1);
    GoogleAuth *auth = NULL;
    assert_true(google_auth_open(NULL, &auth) < 0);
    assert_non_null(strstr(error_last()->text, "/nonexistent/file"));
    scratch_remove(directory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_signature_is_made),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(a_service_account_says_who_it_is),
        cmocka_unit_test(files_are_looked_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
