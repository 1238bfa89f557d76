/* SPDX-License-Identifier: PostgreSQL
 * Where an S3 bucket is, by URL, settings and environment; the headers that follow from them. */
#include "../unit.h"

#include "cloud/s3.h"

static Http *http;
static char *home;

static int
set_up(void **state)
{
    (void)state;
    static const char *const variables[] = {
        "AWS_ENDPOINT_URL",           "AWS_ENDPOINT_URL_S3", "AWS_REGION",
        "AWS_DEFAULT_REGION",         "AWS_PROFILE",         "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE"};
    const HttpLimits limits = {1000, 1000, 1000, 0};
    for (size_t i = 0; i < COUNT_OF(variables); i++)
        unsetenv(variables[i]);
    home = scratch_make();
    setenv("HOME", home, 1);
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

typedef struct Place {
    const char *url;
    const char *endpoint, *region, *addressing;
    const char *origin, *path, *prefix, *in_region;
} Place;

static const Place places[] = {
    {"s3://wal", NULL, NULL, NULL, "https://wal.s3.us-east-1.amazonaws.com", "/", "", "us-east-1"},
    {"s3://wal/", NULL, "eu-west-1", "auto", "https://wal.s3.eu-west-1.amazonaws.com", "/", "",
     "eu-west-1"},
    {"s3://wal//a/b//", NULL, "cn-north-1", "path", "https://s3.cn-north-1.amazonaws.com.cn",
     "/wal/", "a/b", "cn-north-1"},
    {"s3://dotted.name/p", NULL, NULL, NULL, "https://s3.us-east-1.amazonaws.com", "/dotted.name/",
     "p", "us-east-1"},
    {"s3://Odd_Name", NULL, NULL, NULL, "https://s3.us-east-1.amazonaws.com", "/Odd_Name/", "",
     "us-east-1"},
    {"s3://wal/p", "http://127.0.0.1:7480", NULL, NULL, "http://127.0.0.1:7480", "/wal/", "p",
     "us-east-1"},
    {"s3://wal/p", "https://Minio.Example:443/base/", "r1", NULL, "https://minio.example",
     "/base/wal/", "p", "r1"},
    {"s3://wal/p", "http://s3.localhost:80", NULL, "virtual", "http://wal.s3.localhost", "/", "p",
     "us-east-1"},
    {"s3://wal/p", "https://storage.googleapis.com", NULL, NULL, "https://storage.googleapis.com",
     "/wal/", "p", "auto"},
    {"s3://wal", "https://storage.eu-west3.rep.googleapis.com:443/", "eu-west3", NULL,
     "https://storage.eu-west3.rep.googleapis.com", "/wal/", "", "eu-west3"},
};

static void
test_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        const Place *place = &places[i];
        const BucketSettings settings = {.endpoint_url = place->endpoint,
                                         .region = place->region,
                                         .addressing = place->addressing};
        Opened opened;
        assert_done(s3_open(place->url, &settings, http, &opened));
        const S3 *s3 = opened.store;
        assert_string_equal(s3->place->origin, place->origin);
        assert_string_equal(s3->place->host, strstr(place->origin, "://") + 3);
        assert_string_equal(s3->path, place->path);
        assert_string_equal(s3->place->region, place->in_region);
        assert_string_equal(opened.prefix, place->prefix);
        free(opened.name);
        free(opened.prefix);
        s3_close(opened.store);
    }
}

static void
test_refused(void **state)
{
    (void)state;
    AUTO(free) char *short_key = mem_printf("%s/key", home);
    FILE *file = fopen(short_key, "w");
    fputs("0123456789abcdef", file);
    fclose(file);
    static const char google[] = "https://storage.googleapis.com";
    static const char *const tags[] = {"a=b", NULL};
    const struct {
        const char *url, *message;
        BucketSettings settings;
    } cases[] = {
        {"s3://", "names no bucket", {0}},
        {"s3:///p", "names no bucket", {0}},
        {"s3://b", "no http or https", {.endpoint_url = "ftp://x"}},
        {"s3://b", "not of the form", {.endpoint_url = "https://user:secret@x"}},
        {"s3://b", "not of the form", {.endpoint_url = "https://"}},
        {"s3://b", "not of the form", {.endpoint_url = "https://x/?a=b"}},
        {"s3://b", "no name of a region", {.region = "eu west"}},
        {"s3://b", "no style of addressing 'host'", {.addressing = "host"}},
        {"s3://b", "no encryption 'AES'", {.encryption = "AES"}},
        {"s3://b", "wants the encryption aws:kms", {.kms_key = "k"}},
        {"s3://b", "no profile 'nobody'", {.profile = "nobody"}},
        {"s3://b", "has no key of 32 bytes", {.customer_key_file = short_key}},
        {"s3://b", "no encryption by Google's", {.endpoint_url = google, .encryption = "AES256"}},
        {"s3://b", "no KMS key by Google's", {.endpoint_url = google, .kms_key = "k"}},
        {"s3://b", "no customer's key", {.endpoint_url = google, .customer_key_file = short_key}},
        {"s3://b", "no tags by Google's", {.endpoint_url = google, .tags = tags}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Opened opened;
        assert_fails(s3_open(cases[i].url, &cases[i].settings, http, &opened), ERR_CONFIG,
                     cases[i].message);
        assert_null(strstr(error_last()->text, "secret"));
    }
}

static bool
has_header(const StrList *headers, const char *wanted)
{
    for (size_t i = 0; i < headers->count; i++)
        if (strcmp(headers->items[i], wanted) == 0)
            return true;
    return false;
}

static void
test_headers(void **state)
{
    (void)state;
    AUTO(free) char *key_file = mem_printf("%s/key", home);
    FILE *file = fopen(key_file, "w");
    fputs("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n", file);
    fclose(file);
    static const char *const tags[] = {"team=db & wal", "plain", NULL};
    static const char *const other[] = {"history=yes", NULL};
    const BucketSettings settings = {.storage_class = "STANDARD_IA",
                                     .encryption = "aws:kms",
                                     .kms_key = "key-1",
                                     .customer_key_file = key_file,
                                     .tags = tags};
    Opened opened;
    assert_done(s3_open("s3://b", &settings, http, &opened));
    Content content = {.key = "k", .plain_sha256 = "abc"};
    S3Request request = s3_request(opened.store, "write", "PUT", "k");
    assert_done(s3_write_headers(&request, &content));
    static const char *const wanted[] = {
        "x-amz-storage-class: STANDARD_IA",
        "x-amz-server-side-encryption: aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id: key-1",
        "x-amz-tagging: team=db%20%26%20wal&plain=",
        "x-amz-meta-walden-sha256: abc",
        "x-amz-server-side-encryption-customer-algorithm: AES256",
        "x-amz-server-side-encryption-customer-key: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "x-amz-server-side-encryption-customer-key-MD5: Obq5L1ef7d4Esay7mIsK8Q=="};
    for (size_t i = 0; i + 1 < COUNT_OF(wanted); i++)
        if (!has_header(&request.headers, wanted[i]))
            fail_msg("no header '%s'", wanted[i]);
    s3_request_done(&request);

    content.tags = other;
    request = s3_request(opened.store, "write", "PUT", "k");
    assert_done(s3_write_headers(&request, &content));
    assert_true(has_header(&request.headers, "x-amz-tagging: history=yes"));
    s3_request_done(&request);
    free(opened.name);
    free(opened.prefix);
    s3_close(opened.store);
}

static void
test_move(void **state)
{
    (void)state;
    static const char *const endpoints[] = {NULL, "http://127.0.0.1:7480"};
    static const char *const hosts[] = {"b-1.s3.eu-west-9.amazonaws.com", "127.0.0.1:7480"};
    for (size_t i = 0; i < COUNT_OF(endpoints); i++) {
        const BucketSettings settings = {.endpoint_url = endpoints[i]};
        Opened opened;
        assert_done(s3_open("s3://b-1", &settings, http, &opened));
        S3 *s3 = opened.store;
        const S3Place *first = s3->place;
        assert_false(s3_move(s3, first, "us-east-1"));
        assert_false(s3_move(s3, first, "evil.example.com/"));
        assert_false(s3_move(s3, first, ""));
        assert_ptr_equal(s3->place, first);
        assert_true(s3_move(s3, first, "eu-west-9"));
        assert_string_equal(s3->place->host, hosts[i]);
        assert_string_equal(s3->place->region, "eu-west-9");
        assert_true(s3_move(s3, first, "eu-west-9")); /* who still had the old one */
        free(opened.name);
        free(opened.prefix);
        s3_close(opened.store);
    }
}

/* Google's interface has another condition than the others, and refuses Amazon's headers beside it.
 */
static void
test_google(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *headers[4];
    } cases[] = {
        {"https://storage.googleapis.com",
         {"x-goog-if-generation-match: 0", "x-goog-meta-walden-sha256: abc",
          "x-goog-storage-class: NEARLINE"}},
        {"http://127.0.0.1",
         {"If-None-Match: *", "x-amz-meta-walden-sha256: abc", "x-amz-storage-class: NEARLINE"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const BucketSettings settings = {.endpoint_url = cases[i].endpoint,
                                         .storage_class = "NEARLINE"};
        const Content content = {.key = "k", .plain_sha256 = "abc"};
        Opened opened;
        assert_done(s3_open("s3://b", &settings, http, &opened));
        S3Request request = s3_request(opened.store, "write", "PUT", "k");
        assert_done(s3_write_headers(&request, &content));
        s3_condition(&request);
        for (const char *const *header = cases[i].headers; *header; header++)
            assert_true(has_header(&request.headers, *header));
        assert_int_equal(request.headers.count, 4);
        s3_request_done(&request);
        free(opened.name);
        free(opened.prefix);
        s3_close(opened.store);
    }
}

static void
test_etag(void **state)
{
    (void)state;
    static const char md5[] = "900150983cd24fb0d6963f7d28e17f72";
    const struct {
        const char *etag, *encryption;
        bool is_md5;
    } cases[] = {
        {"\"900150983cd24fb0d6963f7d28e17f72\"", NULL, true},
        {"900150983cd24fb0d6963f7d28e17f72", "AES256", true},
        {"\"900150983cd24fb0d6963f7d28e17f72\"", "aws:kms", false},
        {"\"900150983cd24fb0d6963f7d28e17f72-3\"", NULL, false},
        {"\"900150983cd24fb0d6963f7d28e17f7\"", NULL, false},
        {"\"\"", NULL, false},
        {NULL, NULL, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        S3 s3 = {.dialect = &sign_amazon};
        HttpAnswer answer = {0};
        char got[MD5_HEX_ROOM];
        const char *pairs[] = {"etag", cases[i].etag, "x-amz-server-side-encryption",
                               cases[i].encryption};
        for (size_t j = 0; j < COUNT_OF(pairs); j += 2) {
            strlist_add(&answer.headers, pairs[j + 1] ? pairs[j] : "x");
            strlist_add(&answer.headers, pairs[j + 1] ? pairs[j + 1] : "x");
        }
        assert_int_equal(s3_etag_md5(&s3, &answer, got), cases[i].is_md5);
        if (cases[i].is_md5)
            assert_string_equal(got, md5);
        http_answer_done(&answer);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_headers), cmocka_unit_test(test_move),
        cmocka_unit_test(test_google),  cmocka_unit_test(test_etag),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
