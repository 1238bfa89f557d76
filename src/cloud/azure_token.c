/* SPDX-License-Identifier: PostgreSQL
 * Who gives a token is asked in the order of Azure's own libraries. A place that is not set up here
 * is passed over; the first that gave a token is asked from then on. One that is set up and refuses
 * is a failure: what follows it would be somebody else. */
#include "cloud/azure_token.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "cloud/json.h"
#include "cloud/sign_v4.h"
#include "cloud/token.h"

#define RESOURCE "https://storage.azure.com/"
#define AUTHORITY "https://login.microsoftonline.com"
#define MACHINE "http://169.254.169.254"

enum { CLI_MS = 30 * 1000, FILE_MAX = 64 << 10 };

enum { NOT_HERE = TOKEN_NOBODY };
typedef int Giver(AzureTokens *tokens, int64_t deadline, char **ret_value, int64_t *ret_seconds);

struct AzureTokens {
    Http *http;
    Token token;
    Giver *giver; /* the one that is asked; NULL: not known yet */
};

static const char *
env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* The address without a slash at its end; the variables that name one may leave out the scheme. */
static void
append_host(const char *host, Str *url)
{
    str_append(url, strstr(host, "://") ? "" : "https://");
    str_append_part(url, host, strlen(host) - str_ends(host, "/"));
}

/* Which of the machine's identities. */
static void
append_client(Str *url)
{
    const char *client = env("AZURE_CLIENT_ID");
    if (!client)
        return;
    str_append(url, "&client_id=");
    uri_encode(client, false, url);
}

/* An application that shows its secret, or what Kubernetes says of it. */
static int
give_application(AzureTokens *tokens, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    const char *tenant = env("AZURE_TENANT_ID"), *client = env("AZURE_CLIENT_ID");
    const char *secret = env("AZURE_CLIENT_SECRET"), *file = env("AZURE_FEDERATED_TOKEN_FILE");
    const char *authority = env("AZURE_AUTHORITY_HOST");
    if (!tenant || !client || (!secret && !file))
        return NOT_HERE;
    AUTO(str) Str body = {0}, assertion = {0};
    str_append(&body, "grant_type=client_credentials&scope=" RESOURCE ".default&client_id=");
    uri_encode(client, false, &body);
    if (secret) {
        str_append(&body, "&client_secret=");
        uri_encode(secret, false, &body);
    } else { /* renewed by Kubernetes, so read each time */
        TRY(file_read_text(file, FILE_MAX, &assertion));
        assertion.data[strcspn(assertion.data, " \r\n")] = '\0';
        str_append(&body, "&client_assertion_type="
                          "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
                          "&client_assertion=");
        uri_encode(assertion.data, false, &body);
    }
    AUTO(str) Str url = {0};
    append_host(authority ? authority : AUTHORITY, &url);
    str_append(&url, "/");
    uri_encode(tenant, false, &url);
    str_append(&url, "/oauth2/v2.0/token");
    TokenRequest request = {.who = "Entra ID", .url = url.data, .form = body.data};
    return token_request(tokens->http, &request, deadline, ret_value, ret_seconds);
}

/* App Service and its like have an endpoint of their own. */
static int
give_service(AzureTokens *tokens, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    const char *endpoint = env("IDENTITY_ENDPOINT"), *secret = env("IDENTITY_HEADER");
    if (!endpoint || !secret)
        return NOT_HERE;
    AUTO(str) Str url = {0};
    AUTO(free) char *header = mem_printf("X-IDENTITY-HEADER: %s", secret);
    str_appendf(&url, "%s?api-version=2019-08-01&resource=" RESOURCE, endpoint);
    append_client(&url);
    TokenRequest request = {
        .who = "the managed identity", .url = url.data, .header = header, .local = true};
    return token_request(tokens->http, &request, deadline, ret_value, ret_seconds);
}

static int
give_machine(AzureTokens *tokens, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    const char *host = env("AZURE_POD_IDENTITY_AUTHORITY_HOST");
    AUTO(str) Str url = {0};
    append_host(host ? host : MACHINE, &url);
    str_append(&url, "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" RESOURCE);
    append_client(&url);
    TokenRequest request = {.who = "the managed identity",
                            .url = url.data,
                            .header = "Metadata: true",
                            .local = true,
                            .probe = !tokens->giver};
    return token_request(tokens->http, &request, deadline, ret_value, ret_seconds);
}

static void
collect(void *context, bool is_stderr, const char *line)
{
    if (!is_stderr && ((Str *)context)->length < FILE_MAX)
        str_appendf(context, "%s\n", line);
}

static int
give_cli(AzureTokens *tokens, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    static const char *const argv[] = {"az",   "account",    "get-access-token", "--output",
                                       "json", "--resource", RESOURCE,           NULL};
    (void)tokens;
    AUTO(str) Str text = {0};
    AUTO(json) json_t *root = NULL;
    int64_t left = deadline - clock_ms();
    ProcSpec spec = {.argv = argv,
                     .stdin_fd = -1,
                     .stdout_fd = -1,
                     .on_line = collect,
                     .context = &text,
                     .timeout_ms = left < 1        ? 1
                                   : left < CLI_MS ? left
                                                   : CLI_MS};
    int status = 0;
    if (proc_run(&spec, &status) < 0)
        return error_last()->class == ERR_HOOK ? NOT_HERE : -1;
    if (status != 0)
        return hint(fail(ERR_CONFIG, "az gives no token: %s", spec.stderr_tail), "az login");
    TRY(json_read(text.data, text.length, "az", &root));
    const char *value = json_text(root, "accessToken");
    if (!*value)
        return fail(ERR_DATA, "az answered without a token");
    /* Its older versions only say the local time of the end: then it is asked again soon. */
    int64_t ends = json_number(root, "expires_on", -1), now = time(NULL);
    *ret_value = mem_dup(value);
    *ret_seconds = ends > now ? ends - now : 300;
    return 0;
}

static Giver *const chain[] = {give_application, give_service, give_machine, give_cli};

static int
fetch(void *context, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    AzureTokens *tokens = context;
    Giver *const *givers = tokens->giver ? &tokens->giver : chain;
    for (size_t i = 0; i < (tokens->giver ? 1 : COUNT_OF(chain)); i++) {
        int result = givers[i](tokens, deadline, ret_value, ret_seconds);
        if (result == 0)
            tokens->giver = givers[i];
        if (result != NOT_HERE)
            return result;
    }
    return hint(fail(ERR_CONFIG, "no credentials for Azure were found"),
                "set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_SAS_TOKEN or "
                "AZURE_STORAGE_KEY, or give this machine an identity");
}

/* Of managed identities there are two kinds; where one is is seen by its variables. */
static int
give_managed(AzureTokens *tokens, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    int result = give_service(tokens, deadline, ret_value, ret_seconds);
    return result == NOT_HERE ? give_machine(tokens, deadline, ret_value, ret_seconds) : result;
}

int
azure_tokens_open(const char *credential, Http *http, AzureTokens **ret_tokens)
{
    Giver *giver = NULL;
    if (credential && strcmp(credential, "managed-identity") == 0)
        giver = give_managed;
    else if (credential && strcmp(credential, "azure-cli") == 0)
        giver = give_cli;
    else if (credential && strcmp(credential, "default") != 0)
        return hint(fail(ERR_CONFIG, "there are no Azure credentials '%s'", credential),
                    "there are azure-cli, managed-identity and default");
    AzureTokens *tokens = mem_alloc(sizeof(*tokens));
    tokens->http = http;
    tokens->giver = giver;
    token_init(&tokens->token, fetch, tokens);
    *ret_tokens = tokens;
    return 0;
}

void
azure_tokens_free(AzureTokens *tokens)
{
    token_done(&tokens->token);
    free(tokens);
}

int
azure_tokens_get(AzureTokens *tokens, int64_t deadline, char **ret_token)
{
    return token_get(&tokens->token, deadline, ret_token);
}

void
azure_tokens_refused(AzureTokens *tokens, const char *token)
{
    token_refused(&tokens->token, token);
}
