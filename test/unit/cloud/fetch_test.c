/* SPDX-License-Identifier: PostgreSQL
 * Downloads that break and go on. */
#include "../unit.h"

#include "base/str.h"
#include "cloud/fetch.h"

static void
on_first(Fetch *fetch, const HttpAnswer *answer)
{
    const char *md5 = http_header(answer, "x-md5");
    if (md5)
        snprintf(fetch->md5, sizeof(fetch->md5), "%s", md5);
}

static int
begin(Fetch *fetch, int status, const char *range, const char *etag, const char *md5)
{
    HttpAnswer answer = {.status = status};
    const char *pairs[] = {"content-length", "3",  "content-range", range,
                           "etag",           etag, "x-md5",         md5};
    for (size_t i = 0; i < COUNT_OF(pairs); i += 2) {
        if (!pairs[i + 1])
            continue;
        strlist_add(&answer.headers, pairs[i]);
        strlist_add(&answer.headers, pairs[i + 1]);
    }
    int result = fetch_begin(fetch, &answer);
    http_answer_done(&answer);
    return result;
}

static const char abc_md5[] = "900150983cd24fb0d6963f7d28e17f72";

static void
test_goes_on(void **state)
{
    (void)state;
    AUTO(str) Str got = {0};
    AUTO(strlist) StrList headers = {0};
    Fetch fetch = {.size = -1, .on_first = on_first, .sink = str_sink, .context = &got};
    assert_done(begin(&fetch, 200, NULL, "\"e\"", "wrong, but nothing came of it"));
    fetch_headers(&fetch, &headers);
    assert_int_equal(headers.count, 0);
    assert_done(begin(&fetch, 200, NULL, "\"e\"", abc_md5));
    assert_done(fetch_take(&fetch, "a", 1));
    fetch_headers(&fetch, &headers);
    assert_string_equal(headers.items[0], "Range: bytes=1-");
    assert_string_equal(headers.items[1], "If-Match: \"e\"");
    assert_fails(fetch_finish(&fetch), ERR_IO, "1 bytes came of 3");

    /* what does not go on just there, or is another object */
    assert_fails(begin(&fetch, 200, NULL, "\"e\"", NULL), ERR_DATA, "at byte 1");
    assert_fails(begin(&fetch, 206, "bytes 0-2/3", "\"e\"", NULL), ERR_DATA, "at byte 1");
    assert_fails(begin(&fetch, 206, "bytes 1-1/3", "\"e\"", NULL), ERR_IO,
                 "not with 'bytes 1-2/3'");
    assert_fails(begin(&fetch, 206, "bytes */3", "\"e\"", NULL), ERR_DATA, "at byte 1");
    assert_fails(begin(&fetch, 206, "bytes 1-3/4", "\"e\"", NULL), ERR_IO, "not with");
    assert_fails(begin(&fetch, 206, "bytes 1-2/3", "\"f\"", NULL), ERR_IO, "replaced");
    assert_fails(begin(&fetch, 206, "bytes 1-2/3", NULL, NULL), ERR_IO, "replaced");

    assert_done(begin(&fetch, 206, "bytes 1-2/3", "\"e\"", NULL));
    assert_done(fetch_take(&fetch, "bc", 2));
    assert_done(fetch_finish(&fetch));
    assert_string_equal(got.data, "abc");
    assert_int_equal(fetch.info.size, 3);
    fetch_done(&fetch);
}

static void
test_damage(void **state)
{
    (void)state;
    AUTO(str) Str got = {0};
    Fetch fetch = {.size = -1, .on_first = on_first, .sink = str_sink, .context = &got};
    assert_done(begin(&fetch, 200, NULL, "\"e\"", abc_md5));
    assert_done(fetch_take(&fetch, "abd", 3));
    assert_fails(fetch_finish(&fetch), ERR_DATA, abc_md5); /* of this object, not of the store */
    fetch_done(&fetch);
    Fetch odd = {.size = -1, .on_first = on_first, .sink = str_sink, .context = &got};
    assert_fails(begin(&odd, 206, "bytes 0-2/3", "\"e\"", NULL), ERR_DATA, "status 206");
    fetch_done(&odd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
