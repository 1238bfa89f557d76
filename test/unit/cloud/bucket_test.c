/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include "cloud/provider.h"

static void
test_urls(void **state)
{
    (void)state;
    static const char *const urls[] = {"s3://bucket/prefix",
                                       "gs://bucket/prefix",
                                       "https://console.cloud.google.com/storage/browser/bucket",
                                       "azure://account/container",
                                       "https://account.blob.core.windows.net/container/prefix",
                                       "http://127.0.0.1:10000/account/container"};
    static const char *const others[] = {"",        "s3:", "s3:/bucket", "S3", "/var/lib/barman",
                                         "relative"};
    for (size_t i = 0; i < COUNT_OF(urls); i++)
        assert_true(bucket_is_url(urls[i]));
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_false(bucket_is_url(others[i]));
}

static void
test_open(void **state)
{
    (void)state;
    AUTO(bucket) Bucket *bucket = NULL;
    AUTO(free) char *prefix = NULL;
    const BucketSettings usual = {0};
    assert_done(bucket_open("s3://bucket/a/b/", &usual, &bucket, &prefix));
    assert_string_equal(bucket_name(bucket), "s3://bucket");
    assert_string_equal(prefix, "a/b");
    const struct {
        const char *url, *message;
        BucketSettings settings;
    } cases[] = {
        {"/var/lib/barman", "is not the URL", {0}},
        {"s3://bucket",
         "not a URL of the provider azure-blob-storage",
         {.provider = "azure-blob-storage"}},
        {"s3://bucket", "too small", {.part_size = 1 << 20}},
        {"gs://bucket", "too small", {.part_size = 1 << 10}},
        {"gs://", "names no bucket", {0}},
        {"azure://account", "no account or no container", {0}},
        {"azure://account/container", "no Azure credentials 'none'", {.credential = "none"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Bucket *none = NULL;
        char *nothing = NULL;
        assert_fails(bucket_open(cases[i].url, &cases[i].settings, &none, &nothing), ERR_CONFIG,
                     cases[i].message);
        assert_null(none);
    }
}

/* Also by what the environment says; never with a secret of it. */
static void
test_place(void **state)
{
    (void)state;
    static const struct {
        const char *url, *endpoint, *variable, *value, *place;
    } cases[] = {
        {"s3://bucket-1/p", NULL, "AWS_REGION", "eu-west-1",
         "https://bucket-1.s3.eu-west-1.amazonaws.com/"},
        {"s3://bucket/p", NULL, "AWS_ENDPOINT_URL", "http://127.0.0.1:1/base",
         "http://127.0.0.1:1/base/bucket/"},
        {"s3://bucket/p", "http://127.0.0.1:2", "AWS_ENDPOINT_URL", "http://127.0.0.1:1",
         "http://127.0.0.1:2/bucket/"},
        {"azure://account/container/p", NULL, "AZURE_STORAGE_KEY", "c2VjcmV0",
         "https://account.blob.core.windows.net/container"},
        {"azure://account/container", NULL, "AZURE_STORAGE_CONNECTION_STRING",
         "BlobEndpoint=http://127.0.0.1:3/other;AccountName=other;AccountKey=c2VjcmV0",
         "http://127.0.0.1:3/other/container"},
        {"gs://bucket/p", NULL, "STORAGE_EMULATOR_HOST", "127.0.0.1:4",
         "http://127.0.0.1:4/bucket"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const BucketSettings settings = {.endpoint_url = cases[i].endpoint};
        AUTO(free) char *place = NULL;
        setenv(cases[i].variable, cases[i].value, 1);
        assert_done(bucket_place(cases[i].url, &settings, &place));
        unsetenv(cases[i].variable);
        assert_string_equal(place, cases[i].place);
    }
    char *none = NULL;
    const BucketSettings usual = {0};
    assert_fails(bucket_place("gs://", &usual, &none), ERR_CONFIG, "names no bucket");
    assert_string_equal(bucket_provider("gs://bucket"), "google-cloud-storage");
    assert_string_equal(bucket_provider("/var/lib/barman"), "");
}

static void
test_times(void **state)
{
    (void)state;
    assert_int_equal(cloud_time_parse("2026-11-21T13:11:33.000Z"), 1795266693);
    assert_int_equal(cloud_time_parse("Sat, 21 Nov 2026 13:11:33 GMT"), 1795266693);
    assert_int_equal(cloud_time_parse("yesterday"), 0);
}

static void
test_sha256(void **state)
{
    (void)state;
    ObjectInfo info = {0};
    cloud_sha256_copy(NULL, &info);
    cloud_sha256_copy("abc", &info);
    cloud_sha256_copy("ZZZZ7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015", &info);
    assert_string_equal(info.sha256, "");
    cloud_sha256_copy("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", &info);
    assert_string_equal(info.sha256,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),  cmocka_unit_test(test_open),   cmocka_unit_test(test_place),
        cmocka_unit_test(test_times), cmocka_unit_test(test_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
