/* SPDX-License-Identifier: PostgreSQL */
#include "cloud/azure_auth.h"

#include "../unit.h"

static const char *const variables[] = {"AZURE_STORAGE_CONNECTION_STRING",
                                        "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_KEY"};

static int
forget(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(variables); i++)
        unsetenv(variables[i]);
    return 0;
}

static const char *
shown(const char *text)
{
    return text ? text : "(none)";
}

static void
connection_strings_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *name, *endpoint, *key, *sas;
    } cases[] = {
        {"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=a2V5PQ==;EndpointSuffix=core."
         "w.n",
         "acct", "https://acct.blob.core.w.n", "a2V5PQ==", "(none)"},
        {"AccountName=acct;AccountKey=a2V5", "acct", "https://acct.blob.core.windows.net", "a2V5",
         "(none)"},
        {"accountname=acct;ACCOUNTKEY=a2V5;BlobEndpoint=http://127.0.0.1:1/acct/;", "acct",
         "http://127.0.0.1:1/acct", "a2V5", "(none)"},
        {"BlobEndpoint=https://h/;SharedAccessSignature=sv=1&sig=a%3D", "url", "https://h",
         "(none)", "sv=1&sig=a%3D"},
        {"UseDevelopmentStorage=true", "devstoreaccount1",
         "http://127.0.0.1:10000/devstoreaccount1",
         "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
         "(none)"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AzureAccount *account = mem_alloc(sizeof(*account));
        account->name = mem_dup("url");
        account->endpoint = mem_dup("https://url");
        assert_done(azure_connection_parse(cases[i].text, account));
        assert_string_equal(account->name, cases[i].name);
        assert_string_equal(account->endpoint, cases[i].endpoint);
        assert_string_equal(shown(account->key), cases[i].key);
        assert_string_equal(shown(account->sas), cases[i].sas);
        azure_account_free(account);
    }
}

static void
connection_strings_that_are_none(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"secret", "neither AccountKey nor"},
        {"AccountName=secret", "neither AccountKey nor"},
        {"AccountKey=secret", "no AccountName"},
        {"UseDevelopmentStorage=false;secret", "neither AccountKey nor"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AzureAccount account = {0};
        assert_fails(azure_connection_parse(cases[i].text, &account), ERR_CONFIG, cases[i].part);
        assert_null(strstr(error_last()->text, "secret"));
    }
}

/* Barman's order: what is said explicitly, then the three variables, then whoever gives tokens. */
static void
the_first_that_is_set_counts(void **state)
{
    (void)state;
    static const char *const values[] = {
        "AccountName=other;AccountKey=Y29ubmVjdGlvbg==", "?sig=sas", "a2V5"};
    for (size_t set = 0; set < COUNT_OF(variables); set++)
        setenv(variables[set], values[set], 1);
    AzureAccount *account = NULL;
    assert_done(azure_account_open("acct", "https://h", "azure-cli", NULL, &account));
    assert_non_null(account->tokens);
    azure_account_free(account);

    static const struct {
        const char *name, *key, *sas;
        bool tokens;
    } expected[] = {{"other", "Y29ubmVjdGlvbg==", "(none)", false},
                    {"acct", "(none)", "sig=sas", false},
                    {"acct", "a2V5", "(none)", false},
                    {"acct", "(none)", "(none)", true}};
    for (size_t gone = 0; gone < COUNT_OF(expected); gone++) {
        if (gone > 0)
            unsetenv(variables[gone - 1]);
        assert_done(azure_account_open("acct", "https://h", NULL, NULL, &account));
        assert_string_equal(account->name, expected[gone].name);
        assert_string_equal(shown(account->key), expected[gone].key);
        assert_string_equal(shown(account->sas), expected[gone].sas);
        assert_int_equal(account->tokens != NULL, expected[gone].tokens);
        azure_account_free(account);
    }
    assert_fails(azure_account_open("acct", "https://h", "password", NULL, &account), ERR_CONFIG,
                 "password");
}

static const char *
value_of(const StrList *query, const char *name)
{
    for (size_t i = 0; i + 1 < query->count; i += 2)
        if (strcmp(query->items[i], name) == 0)
            return query->items[i + 1];
    return "(none)";
}

/* Its values are encoded again with the other parameters, so they come decoded. */
static void
a_signature_goes_into_the_query(void **state)
{
    (void)state;
    AzureAccount account = {.name = (char[]){"acct"},
                            .sas = (char[]){"sv=2021-12-02&sig=a%2Bb%3D&x"}};
    AUTO(strlist) StrList query = {0}, headers = {0};
    AUTO(free) char *token = NULL;
    assert_done(azure_authorize(&account, "GET", "/c", &query, &headers, 0, 0, &token));
    assert_string_equal(value_of(&query, "sv"), "2021-12-02");
    assert_string_equal(value_of(&query, "sig"), "a+b=");
    assert_string_equal(value_of(&query, "x"), "");
    assert_null(token);
    assert_int_equal(headers.count, 2); /* date and version */
    for (size_t i = 0; i < headers.count; i++)
        assert_true(str_starts(headers.items[i], "x-ms-"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connection_strings_are_taken_apart),
        cmocka_unit_test(connection_strings_that_are_none),
        cmocka_unit_test_setup(the_first_that_is_set_counts, forget),
        cmocka_unit_test(a_signature_goes_into_the_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
