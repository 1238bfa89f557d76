/* SPDX-License-Identifier: PostgreSQL
 * Azure's credentials from the environment. Where a token is asked for is azure_token.c's business,
 * what is signed azure_sign.c's. Keys and signatures never come into a message. */
#include "cloud/azure_auth.h"

#include "cloud/azure_sign.h"
#include "cloud/sign_v4.h"

/* Of the version in which this was written; tags, scopes and If-None-Match of block lists are in
 * it. */
#define VERSION "2021-12-02"

/* The account that every emulator has, as published. */
#define EMULATOR_NAME "devstoreaccount1"
#define EMULATOR_KEY                                                                               \
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

static const char *
env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void
set(char **text, char *value)
{
    free(*text);
    *text = value;
}

/* What stands under the name in "NAME=VALUE;NAME=VALUE"; the value may hold '='. NULL or a copy. */
static char *
setting(const char *text, const char *name)
{
    for (const char *item = text; *item; item += *item == ';') {
        size_t length = strcspn(item, ";"), name_length = strcspn(item, "=;");
        if (name_length < length && name_length == strlen(name) &&
            strncasecmp(item, name, name_length) == 0)
            return mem_printf("%.*s", (int)(length - name_length - 1), item + name_length + 1);
        item += length;
    }
    return NULL;
}

int
azure_connection_parse(const char *text, AzureAccount *account)
{
    AUTO(free) char *name = setting(text, "AccountName"), *key = setting(text, "AccountKey");
    AUTO(free) char *sas = setting(text, "SharedAccessSignature");
    AUTO(free) char *endpoint = setting(text, "BlobEndpoint");
    AUTO(free) char *emulator = setting(text, "UseDevelopmentStorage");
    AUTO(free) char *protocol = setting(text, "DefaultEndpointsProtocol");
    AUTO(free) char *suffix = setting(text, "EndpointSuffix");
    if (emulator && strcasecmp(emulator, "true") == 0) {
        set(&name, mem_dup(EMULATOR_NAME));
        set(&key, mem_dup(EMULATOR_KEY));
        set(&endpoint, mem_dup("http://127.0.0.1:10000/" EMULATOR_NAME));
    }
    if (!key && !sas)
        return fail(ERR_CONFIG, "the connection string has neither AccountKey nor "
                                "SharedAccessSignature");
    if (!name && (key || !endpoint))
        return fail(ERR_CONFIG, "the connection string has no AccountName");
    if (!endpoint)
        endpoint = mem_printf("%s://%s.blob.%s", protocol ? protocol : "https", name,
                              suffix ? suffix : "core.windows.net");
    while (str_ends(endpoint, "/"))
        endpoint[strlen(endpoint) - 1] = '\0';
    set(&account->endpoint, take(endpoint));
    if (name)
        set(&account->name, take(name));
    set(&account->key, take(key));
    if (!account->key) /* a key can do more */
        set(&account->sas, mem_dup(sas + strspn(sas, "?")));
    return 0;
}

static int
find(AzureAccount *account, const char *credential, Http *http)
{
    const char *connection = env("AZURE_STORAGE_CONNECTION_STRING");
    const char *sas = env("AZURE_STORAGE_SAS_TOKEN"), *key = env("AZURE_STORAGE_KEY");
    if (credential)
        return azure_tokens_open(credential, http, &account->tokens);
    if (connection)
        return hint(azure_connection_parse(connection, account),
                    "look at AZURE_STORAGE_CONNECTION_STRING");
    if (sas)
        account->sas = mem_dup(sas + strspn(sas, "?"));
    else if (key)
        account->key = mem_dup(key);
    else
        return azure_tokens_open(NULL, http, &account->tokens);
    return 0;
}

int
azure_account_open(const char *name, const char *endpoint, const char *credential, Http *http,
                   AzureAccount **ret_account)
{
    AUTO(azure_account) AzureAccount *account = mem_alloc(sizeof(*account));
    account->name = mem_dup(name);
    account->endpoint = mem_dup(endpoint);
    TRY(find(account, credential, http));
    *ret_account = take(account);
    return 0;
}

void
azure_account_free(AzureAccount *account)
{
    if (account->tokens)
        azure_tokens_free(account->tokens);
    free(account->name);
    free(account->endpoint);
    free(account->key);
    free(account->sas);
    free(account);
}

/* As HTTP writes it, in English whatever the locale. */
static void
add_date(StrList *headers)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strlist_addf(headers, "x-ms-date: %s, %02d %s %d %02d:%02d:%02d GMT", days[tm.tm_wday],
                 tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                 tm.tm_sec);
}

/* The parameters of the signature, decoded, since they are encoded again with the others. */
static void
add_sas(const char *sas, StrList *query)
{
    while (*sas) {
        size_t length = strcspn(sas, "&"), name_length = strcspn(sas, "=&");
        AUTO(free) char *name = mem_printf("%.*s", (int)name_length, sas);
        AUTO(free)
        char *value = mem_printf("%.*s", name_length < length ? (int)(length - name_length - 1) : 0,
                                 sas + name_length + (name_length < length));
        uri_decode(name);
        uri_decode(value);
        if (*name) {
            strlist_own(query, take(name));
            strlist_own(query, take(value));
        }
        sas += length + (sas[length] == '&');
    }
}

int
azure_authorize(AzureAccount *account, const char *method, const char *path, StrList *query,
                StrList *headers, size_t body_size, int64_t deadline, char **ret_token)
{
    *ret_token = NULL;
    add_date(headers);
    strlist_add(headers, "x-ms-version: " VERSION);
    if (account->tokens) {
        TRY(azure_tokens_get(account->tokens, deadline, ret_token));
        strlist_addf(headers, "Authorization: Bearer %s", *ret_token);
    } else if (account->sas) {
        add_sas(account->sas, query);
    } else {
        AzureSigned request = {.account = account->name,
                               .method = method,
                               .path = path,
                               .query = query,
                               .headers = headers,
                               .body_size = body_size};
        AUTO(str) Str value = {0};
        TRY(azure_sign(&request, account->key, &value));
        strlist_addf(headers, "Authorization: %s", value.data);
    }
    return 0;
}
