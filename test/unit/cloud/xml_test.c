/* SPDX-License-Identifier: PostgreSQL */
#include "../unit.h"

#include "base/str.h"
#include "cloud/xml.h"

static int
note(void *context, const char *path, const char *text)
{
    str_appendf(context, "%s=%s;", path, text);
    return strcmp(text, "stop") == 0 ? 7 : 0;
}

static int
parse(const char *text, Str *out)
{
    str_clear(out);
    return xml_parse(text, strlen(text), note, out);
}

static void
test_elements(void **state)
{
    (void)state;
    AUTO(str) Str out = {0};
    assert_done(parse("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R xmlns=\"urn:x\"><A>1</A>"
                      "<B><A>a &amp; &lt;b&#10;&quot;</A></B><n:E xmlns:n=\"y\"/></R>",
                      &out));
    assert_string_equal(out.data, "R/A=1;R/B/A=a & <b\n\";R/B=;R/E=;R=;");
    assert_int_equal(parse("<R><A>stop</A><B>2</B></R>", &out), 7);
    assert_string_equal(out.data, "R/A=stop;");
}

static void
test_refused(void **state)
{
    (void)state;
    AUTO(str) Str out = {0};
    static const char *const wrong[] = {"",     "<R><A>1</A>",      "<R></R><R/>", "<R>&nope;</R>",
                                        "text", "<html><br></html>"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_fails(parse(wrong[i], &out), ERR_DATA, "no whole XML");
    assert_fails(parse("<!DOCTYPE R [<!ENTITY a \"b\">]><R>&a;</R>", &out), ERR_DATA,
                 "document type");
    assert_fails(parse("<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>", &out), ERR_DATA,
                 "too deeply");
    AUTO(str) Str big = {0};
    str_append(&big, "<R>");
    for (int i = 0; i < 7000; i++)
        str_append(&big, "0123456789");
    assert_fails(parse(big.data, &out), ERR_DATA, "overlong");
}

static void
test_escape(void **state)
{
    (void)state;
    AUTO(str) Str out = {0};
    xml_escape("a<b>&\"c\"'\n", &out);
    assert_string_equal(out.data, "a&lt;b&gt;&amp;&quot;c&quot;&apos;&#10;");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
