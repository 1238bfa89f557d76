/* SPDX-License-Identifier: PostgreSQL
 * Amazon's keys as they are written down; what services give out is in the end-to-end tests. */
#include "../unit.h"

#include "base/clock.h"
#include "cloud/credentials_parts.h"

static Http *http;
static char *home;

static const char *const variables[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_SECURITY_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_CONFIG_FILE",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI"};

static void
write_file(const char *name, const char *text)
{
    AUTO(free) char *path = mem_printf("%s/.aws/%s", home, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int
set_up(void **state)
{
    (void)state;
    const HttpLimits limits = {1000, 1000, 1000, 0};
    for (size_t i = 0; i < COUNT_OF(variables); i++)
        unsetenv(variables[i]);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    home = scratch_make();
    setenv("HOME", home, 1);
    AUTO(free) char *directory = mem_printf("%s/.aws", home);
    assert_int_equal(mkdir(directory, 0700), 0);
    http = http_new(NULL, &limits);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    http_free(http);
    scratch_remove(home);
    return 0;
}

static int
get(const char *profile, AwsKeys *ret_keys)
{
    AUTO(credentials) Credentials *credentials = NULL;
    TRY(credentials_open(profile, http, &credentials));
    return credentials_get(credentials, clock_ms() + 10000, ret_keys);
}

/* The access key, or the failure's words. */
static char *
key_of(const char *profile)
{
    AwsKeys keys = {0};
    char *text = get(profile, &keys) < 0
                     ? mem_dup(error_last()->text)
                     : mem_printf("%s %s %s", keys.access_key, keys.secret_key,
                                  keys.session_token ? keys.session_token : "-");
    aws_keys_done(&keys);
    return text;
}

#define assert_keys(profile, expected)                                                             \
    do {                                                                                           \
        AUTO(free) char *text_ = key_of(profile);                                                  \
        assert_string_equal(text_, expected);                                                      \
    } while (0)

static void
test_none(void **state)
{
    (void)state;
    assert_keys(NULL, "there are no credentials for S3");
    assert_keys("x", "the shared files of AWS have no profile 'x'");
    setenv("AWS_PROFILE", "y", 1);
    assert_keys(NULL, "the shared files of AWS have no profile 'y'");
}

static void
test_environment(void **state)
{
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "EA", 1);
    assert_keys(NULL, "the environment has only one of access key and secret key");
    setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
    assert_keys(NULL, "EA ES -");
    setenv("AWS_SESSION_TOKEN", "ET", 1);
    assert_keys(NULL, "EA ES ET");
}

static const char credentials_file[] = "# ours\n[default]\naws_access_key_id = DA\n"
                                       "aws_secret_access_key=DS\n\n[ other ]\n[other]\n"
                                       "aws_access_key_id = OA\naws_secret_access_key = O=S\n"
                                       "aws_session_token = OT\n";
static const char config_file[] =
    "[default]\nregion = eu-west-1\naws_access_key_id = not this\ns3 =\n"
    "    addressing_style = path\n[profile  other]\nregion = eu-west-2\n"
    "[profile half]\naws_access_key_id = HA\n[third]\naws_access_key_id = X\n"
    "[profile role]\nrole_arn = arn:x\n[profile sso]\nsso_session = x\n"
    "[profile lost]\nrole_arn = arn:x\nsource_profile = nobody\n"
    "[profile device]\nrole_arn = arn:x\nsource_profile = default\nmfa_serial = 1\n"
    "[profile program]\ncredential_process = echo '{\"Version\": 1, \"AccessKeyId\": \"PA\", "
    "\"SecretAccessKey\": \"PS\", \"SessionToken\": \"PT\"}'\n"
    "[profile broken]\ncredential_process = exit 3\n"
    "[profile silent]\ncredential_process = echo '{}'\n";

static void
test_files(void **state)
{
    (void)state;
    write_file("credentials", credentials_file);
    write_file("config", config_file);
    assert_keys(NULL, "DA DS -");
    assert_keys("other", "OA O=S OT");
    assert_keys("half", "the profile 'half' has only one of access key and secret key");
    assert_keys("third", "the shared files of AWS have no profile 'third'");
    assert_keys("role", "the profile 'role' has a role, but no source_profile");
    assert_keys("lost", "there are no keys with which the role of the profile 'lost' could be "
                        "asked for");
    assert_keys("device", "the role of the profile 'device' wants a code from somebody's device");
    assert_keys("sso", "the profile 'sso' gets its keys by sso_session, which is not supported");
    assert_keys("program", "PA PS PT");
    assert_keys("broken", "credential_process of the profile 'broken' failed with status 3");
    assert_keys("silent", "credential_process of the profile 'silent' printed no keys");

    AUTO(credentials) Credentials *credentials = NULL;
    assert_done(credentials_open("other", http, &credentials));
    assert_string_equal(credentials_setting(credentials, "region"), "eu-west-2");
    assert_null(credentials_setting(credentials, "endpoint_url"));

    /* a profile that was asked for counts for more than the environment, AWS_PROFILE for less */
    setenv("AWS_PROFILE", "other", 1);
    assert_keys(NULL, "OA O=S OT");
    setenv("AWS_ACCESS_KEY_ID", "EA", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
    assert_keys(NULL, "EA ES -");
    assert_keys("other", "OA O=S OT");
}

static void
test_damaged_file(void **state)
{
    (void)state;
    write_file("credentials", "[default]\naws_secret_access_key VERYSECRET\n");
    AUTO(free) char *text = key_of(NULL);
    assert_non_null(strstr(text, "is no file of profiles"));
    assert_null(strstr(text, "VERYSECRET"));
}

/* Keys that a file gave and the store calls expired are read again; those of the environment can
 * only be the same. */
static void
test_renewal(void **state)
{
    (void)state;
    AUTO(credentials) Credentials *credentials = NULL;
    AUTO(aws_keys) AwsKeys old = {0};
    AUTO(aws_keys) AwsKeys keys = {0};
    write_file("credentials", "[default]\naws_access_key_id = A1\naws_secret_access_key = S\n");
    assert_done(credentials_open(NULL, http, &credentials));
    assert_done(credentials_get(credentials, clock_ms() + 10000, &old));
    write_file("credentials", "[default]\naws_access_key_id = A2\naws_secret_access_key = S\n");
    assert_true(credentials_renew(credentials, &old));
    assert_done(credentials_get(credentials, clock_ms() + 10000, &keys));
    assert_string_equal(keys.access_key, "A2");

    setenv("AWS_ACCESS_KEY_ID", "EA", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
    AUTO(credentials) Credentials *fixed = NULL;
    AUTO(aws_keys) AwsKeys same = {0};
    assert_done(credentials_open(NULL, http, &fixed));
    assert_done(credentials_get(fixed, clock_ms() + 10000, &same));
    assert_false(credentials_renew(fixed, &same));
}

/* The token of a container must not go to a far place in the clear. */
static void
test_container_places(void **state)
{
    (void)state;
    static const char *const far[] = {"http://example.com/", "http://127.0.0.1.example.com/",
                                      "http://localhost.example.com/", "ftp://127.0.0.1/"};
    for (size_t i = 0; i < COUNT_OF(far); i++) {
        AwsGrant grant;
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", far[i], 1);
        assert_fails(grant_from_container(http, clock_ms() + 1000, &grant), ERR_CONFIG,
                     "neither https nor near");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_environment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_renewal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_container_places, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
