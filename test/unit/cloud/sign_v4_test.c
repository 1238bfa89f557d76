/* SPDX-License-Identifier: PostgreSQL
 * Signature Version 4 against what Amazon published: the examples of the S3 documentation, and
 * cases of the aws-sig-v4-test-suite. For Google's dialect nobody has published a request with its
 * headers: the one here was made in Python, by the documented steps, as googlepeer.py makes them.
 */
#include "../unit.h"

#include "cloud/sign_v4.h"

static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char welcome[] = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";

static const SignV4 s3_example = {.dialect = &sign_amazon,
                                  .access_key = "AKIAIOSFODNN7EXAMPLE",
                                  .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                  .region = "us-east-1",
                                  .service = "s3",
                                  .now = 1369353600};
static const SignV4 suite = {.dialect = &sign_amazon,
                             .access_key = "AKIDEXAMPLE",
                             .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                             .region = "us-east-1",
                             .service = "service",
                             .now = 1440938160};

static const SignV4 google_example = {.dialect = &sign_google,
                                      .access_key = "GOOG1EXAMPLE",
                                      .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                      .region = "auto",
                                      .service = "storage",
                                      .now = 1369353600};

typedef struct Vector {
    const char *name;
    const SignV4 *with;
    const char *method, *host, *path;
    const char *query[9];
    const char *payload;
    const char *headers[5];
    const char *names, *signature;
} Vector;

static const Vector vectors[] = {
    {"S3: GET object with a range",
     &s3_example,
     "GET",
     "examplebucket.s3.amazonaws.com",
     "/test.txt",
     {NULL},
     empty,
     {"Range: bytes=0-9", "x-amz-content-sha256: ", NULL},
     "host;range;x-amz-content-sha256;x-amz-date",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"S3: PUT object",
     &s3_example,
     "PUT",
     "examplebucket.s3.amazonaws.com",
     "/test%24file.text",
     {NULL},
     welcome,
     {"Date: Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class: REDUCED_REDUNDANCY",
      "x-amz-content-sha256: ", NULL},
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"S3: GET bucket lifecycle",
     &s3_example,
     "GET",
     "examplebucket.s3.amazonaws.com",
     "/",
     {"lifecycle", "", NULL},
     empty,
     {"x-amz-content-sha256: ", NULL},
     "host;x-amz-content-sha256;x-amz-date",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"S3: list objects, parameters out of order",
     &s3_example,
     "GET",
     "examplebucket.s3.amazonaws.com",
     "/",
     {"prefix", "J", "max-keys", "2", NULL},
     empty,
     {"x-amz-content-sha256: ", NULL},
     "host;x-amz-content-sha256;x-amz-date",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    {"suite: get-vanilla",
     &suite,
     "GET",
     "example.amazonaws.com",
     "/",
     {NULL},
     empty,
     {NULL},
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"suite: get-vanilla-query-order-key-case",
     &suite,
     "GET",
     "example.amazonaws.com",
     "/",
     {"Param2", "value2", "Param1", "value1", NULL},
     empty,
     {NULL},
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"suite: get-utf8",
     &suite,
     "GET",
     "example.amazonaws.com",
     "/%E1%88%B4",
     {NULL},
     empty,
     {NULL},
     "host;x-amz-date",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"suite: get-header-value-trim",
     &suite,
     "GET",
     "example.amazonaws.com",
     "/",
     {NULL},
     empty,
     {"My-Header1: value1", "My-Header2:  \"a   b   c\"", NULL},
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"suite: post-vanilla",
     &suite,
     "POST",
     "example.amazonaws.com",
     "/",
     {NULL},
     empty,
     {NULL},
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"Google: PUT object",
     &google_example,
     "PUT",
     "storage.googleapis.com",
     "/examplebucket/test%24file.text",
     {NULL},
     welcome,
     {"x-goog-if-generation-match: 0", "x-goog-meta-walden-sha256: ab",
      "x-goog-content-sha256: ", NULL},
     "host;x-goog-content-sha256;x-goog-date;x-goog-if-generation-match;x-goog-meta-walden-sha256",
     "77631b7a4e81040b325d5752bfb91fab72434ffaed13ae41c09b10172b342d22"},
};

static void
test_published_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        const Vector *vector = &vectors[i];
        AUTO(strlist) StrList pairs = {0};
        AUTO(strlist) StrList headers = {0};
        AUTO(str) Str query = {0};
        for (const char *const *text = vector->query; *text; text++)
            strlist_add(&pairs, *text);
        for (const char *const *text = vector->headers; *text; text++)
            strlist_addf(&headers, "%s%s", *text, str_ends(*text, ": ") ? vector->payload : "");
        sign_v4_query(&pairs, &query);
        assert_done(sign_v4(vector->with, vector->method, vector->host, vector->path,
                            str_text(&query), vector->payload, &headers));
        const char *authorization = headers.items[headers.count - 1];
        AUTO(free) char *names = mem_printf("SignedHeaders=%s,", vector->names);
        AUTO(free) char *signature = mem_printf(",Signature=%s", vector->signature);
        if (!strstr(authorization, names) || !str_ends(authorization, signature))
            fail_msg("%s: %s", vector->name, authorization);
    }
}

/* A name sorts before one that goes on with '-' or a digit, although ':' and '=' do not. */
static void
test_order(void **state)
{
    (void)state;
    AUTO(strlist) StrList headers = {0};
    AUTO(strlist) StrList pairs = {0};
    AUTO(str) Str text = {0};
    AUTO(str) Str names = {0};
    AUTO(str) Str query = {0};
    static const char *const given[] = {"X-Key-MD5: m", "X-Key: k", "X-Key2: 2", "Host: h"};
    for (size_t i = 0; i < COUNT_OF(given); i++)
        strlist_add(&headers, given[i]);
    sign_v4_canonical("GET", "/", "", &headers, empty, &text, &names);
    assert_string_equal(names.data, "host;x-key;x-key-md5;x-key2");
    static const char *const asked[] = {"a-b", "1", "a", "2", "a", "1", "a%", "x y"};
    for (size_t i = 0; i < COUNT_OF(asked); i++)
        strlist_add(&pairs, asked[i]);
    sign_v4_query(&pairs, &query);
    assert_string_equal(query.data, "a=1&a=2&a%25=x%20y&a-b=1");
}

static void
test_encoding(void **state)
{
    (void)state;
    AUTO(str) Str path = {0};
    AUTO(str) Str value = {0};
    uri_encode("main/wals/a b+c&\xc3\xa9~*'(%2F)", true, &path);
    assert_string_equal(path.data, "main/wals/a%20b%2Bc%26%C3%A9~%2A%27%28%252F%29");
    uri_encode("a/b=c", false, &value);
    assert_string_equal(value.data, "a%2Fb%3Dc");
    char decoded[] = "a%2Fb%2fc+%zz%2";
    uri_decode(decoded);
    assert_string_equal(decoded, "a/b/c+%zz%2");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
