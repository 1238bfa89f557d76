/* SPDX-License-Identifier: PostgreSQL */
#include "cloud/azure_sign.h"

#include "../unit.h"

static const char key[] = "d2Fsc2VjcmV0d2Fsc2VjcmV0d2Fsc2VjcmV0d2Fsc2VjcmV0";

static void
fill(StrList *list, const char *const *items)
{
    for (; *items; items++)
        strlist_add(list, *items);
}

/* The example of Microsoft's "Authorize with Shared Key". */
static void
the_text_is_as_published(void **state)
{
    (void)state;
    AUTO(strlist) StrList query = {0}, headers = {0};
    AUTO(str) Str text = {0};
    fill(&query,
         (const char *[]){"restype", "container", "comp", "metadata", "timeout", "20", NULL});
    fill(&headers, (const char *[]){"x-ms-version: 2015-02-21",
                                    "x-ms-date: Fri, 26 Jun 2015 23:39:12 GMT", NULL});
    AzureSigned request = {.account = "myaccount",
                           .method = "GET",
                           .path = "/mycontainer",
                           .query = &query,
                           .headers = &headers};
    azure_text_to_sign(&request, &text);
    assert_string_equal(text.data, "GET\n\n\n\n\n\n\n\n\n\n\n\n"
                                   "x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
                                   "x-ms-version:2015-02-21\n"
                                   "/myaccount/mycontainer\n"
                                   "comp:metadata\n"
                                   "restype:container\n"
                                   "timeout:20");
}

/* What a signer of some lines of Python makes of the same requests; Azurite accepts both. */
static void
signatures_are_as_another_signer_makes_them(void **state)
{
    static const struct {
        const char *method, *path, *query[9], *headers[8];
        size_t body_size;
        const char *signature;
    } cases[] = {
        {.method = "GET",
         .path = "/wal",
         .query = {"restype", "container", "comp", "list", "prefix", "main/wals/", "maxresults",
                   "1000"},
         .signature = "YUI51o3EsxwHETbLlOfslJPfumcIzeljrCvOlIBBUcQ="},
        {.method = "PUT",
         .path = "/walaccount/wal/main/a%20b%2B",
         .headers = {"Content-Type: application/octet-stream",
                     "Content-MD5: XrY7u+Ae7tCTyyK7j1rNww==", "If-None-Match: *",
                     "x-ms-meta-waldensha256: b9", "x-ms-blob-type: BlockBlob"},
         .body_size = 11,
         .signature = "xJ0I7w+PRDtbEP+iq0jX+b4bR6YBEdf+aDzvJKLvKC0="},
        {.method = "GET",
         .path = "/wal/a",
         .headers = {"Range: bytes=5-", "If-Match: \"0x1\""},
         .signature = "6YsH5yxIE74e0I1bxQBeiDiPPqzuZIvuInPmC2ahJDk="},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(strlist) StrList query = {0}, headers = {0};
        AUTO(str) Str value = {0};
        AUTO(free) char *expected = mem_printf("SharedKey walaccount:%s", cases[i].signature);
        fill(&query, cases[i].query);
        fill(&headers, cases[i].headers);
        fill(&headers, (const char *[]){"x-ms-date: Sun, 11 Oct 2026 21:49:13 GMT",
                                        "x-ms-version: 2021-12-02", NULL});
        AzureSigned request = {.account = "walaccount",
                               .method = cases[i].method,
                               .path = cases[i].path,
                               .query = &query,
                               .headers = &headers,
                               .body_size = cases[i].body_size};
        assert_done(azure_sign(&request, key, &value));
        assert_string_equal(value.data, expected);
    }
}

/* x-ms-a sorts before x-ms-a-b, though '-' comes before ':'. */
static void
headers_are_sorted_by_name(void **state)
{
    (void)state;
    AUTO(strlist) StrList query = {0}, headers = {0};
    AUTO(str) Str text = {0};
    fill(&headers, (const char *[]){"X-Ms-A-B: 2", "x-ms-a:   1", "x-other: 3", NULL});
    AzureSigned request = {
        .account = "a", .method = "HEAD", .path = "/", .query = &query, .headers = &headers};
    azure_text_to_sign(&request, &text);
    assert_string_equal(text.data, "HEAD\n\n\n\n\n\n\n\n\n\n\n\nx-ms-a:1\nx-ms-a-b:2\n/a/");
}

static void
a_key_is_base64(void **state)
{
    (void)state;
    StrList none = {0};
    AUTO(str) Str value = {0};
    AzureSigned request = {
        .account = "a", .method = "GET", .path = "/", .query = &none, .headers = &none};
    assert_fails(azure_sign(&request, "not base64!", &value), ERR_CONFIG, "base64");
    assert_null(strstr(error_last()->text, "not base64!"));
    assert_fails(azure_sign(&request, "", &value), ERR_CONFIG, "base64");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_is_as_published),
        cmocka_unit_test(signatures_are_as_another_signer_makes_them),
        cmocka_unit_test(headers_are_sorted_by_name),
        cmocka_unit_test(a_key_is_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
