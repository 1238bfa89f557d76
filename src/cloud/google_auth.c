/* SPDX-License-Identifier: PostgreSQL
 * Tokens for Google's stores. A service account signs a statement with its key and gets a token for
 * it; a person's refresh token is shown; a machine asks its metadata server. Keys and tokens are in
 * no message. */
#include "cloud/google_auth.h"

#include "base/file.h"
#include "cloud/digest.h"
#include "cloud/json.h"
#include "cloud/rsa.h"
#include "cloud/sign_v4.h"
#include "cloud/token.h"

#define SCOPE "https://www.googleapis.com/auth/devstorage.read_write"
#define TOKEN_URL "https://oauth2.googleapis.com/token"
#define MACHINE "metadata.google.internal"

enum { FILE_MAX = 64 << 10, JWT_SECONDS = 3600 };

struct GoogleAuth {
    Http *http;
    Token token;
    char *file;   /* credentials were read from; NULL: from none */
    json_t *root; /* what is in it */
    bool known;   /* the metadata server answered once */
};

static const char *
env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* base64 as URLs have it: two other characters, and no padding. */
static void
append_base64url(const void *data, size_t size, Str *text)
{
    AUTO(free) char *plain = base64_format(data, size);
    for (char *c = plain; *c && *c != '='; c++)
        str_append_part(text, *c == '+' ? "-" : *c == '/' ? "_" : c, 1);
}

static void
append_json(json_t *root, Str *text)
{
    AUTO(free) char *plain = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(root);
    if (plain)
        append_base64url(plain, strlen(plain), text);
}

int
google_jwt(const char *email, const char *key_id, const char *key, const char *audience, time_t now,
           Str *jwt)
{
    AUTO(str) Str text = {0};
    AUTO(free) unsigned char *signature = NULL;
    size_t size = 0;
    append_json(json_pack("{ss ss ss*}", "alg", "RS256", "typ", "JWT", "kid",
                          key_id && *key_id ? key_id : NULL),
                &text);
    str_append(&text, ".");
    append_json(json_pack("{ss ss ss sI sI}", "iss", email, "scope", SCOPE, "aud", audience, "iat",
                          (json_int_t)now, "exp", (json_int_t)now + JWT_SECONDS),
                &text);
    TRY(rsa_sha256_sign(key, text.data, text.length, &signature, &size));
    str_append(jwt, text.data);
    str_append(jwt, ".");
    append_base64url(signature, size, jwt);
    return 0;
}

static int
fetch_for_service(GoogleAuth *auth, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    const char *url = json_text(auth->root, "token_uri");
    AUTO(str) Str form = {0};
    if (!*url)
        url = TOKEN_URL;
    str_append(&form,
               "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
    TRY(wrap(google_jwt(json_text(auth->root, "client_email"),
                        json_text(auth->root, "private_key_id"),
                        json_text(auth->root, "private_key"), url, time(NULL), &form),
             "'%s'", auth->file));
    TokenRequest request = {.who = "Google", .url = url, .form = form.data};
    return token_request(auth->http, &request, deadline, ret_value, ret_seconds);
}

static int
fetch_for_person(GoogleAuth *auth, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    static const char *const names[] = {"client_id", "client_secret", "refresh_token"};
    const char *url = json_text(auth->root, "token_uri");
    AUTO(str) Str form = {0};
    str_append(&form, "grant_type=refresh_token");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        str_appendf(&form, "&%s=", names[i]);
        uri_encode(json_text(auth->root, names[i]), false, &form);
    }
    TokenRequest request = {.who = "Google", .url = *url ? url : TOKEN_URL, .form = form.data};
    return token_request(auth->http, &request, deadline, ret_value, ret_seconds);
}

static char *
machine_url(const char *path)
{
    const char *host = env("GCE_METADATA_HOST");
    return mem_printf("http://%s/computeMetadata/v1/%s", host ? host : MACHINE, path);
}

static int
fetch_for_machine(GoogleAuth *auth, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    AUTO(free) char *url = machine_url("instance/service-accounts/default/token");
    TokenRequest request = {.who = "the metadata server",
                            .url = url,
                            .header = "Metadata-Flavor: Google",
                            .local = true,
                            .probe = !auth->known && !env("GCE_METADATA_HOST")};
    int result = token_request(auth->http, &request, deadline, ret_value, ret_seconds);
    if (result != TOKEN_NOBODY) {
        auth->known = auth->known || result == 0;
        return result;
    }
    return hint(fail(ERR_CONFIG, "no credentials for Google's storage were found"),
                "let GOOGLE_APPLICATION_CREDENTIALS name the file of a service account's key");
}

static int
fetch(void *context, int64_t deadline, char **ret_value, int64_t *ret_seconds)
{
    GoogleAuth *auth = context;
    if (!auth->root)
        return fetch_for_machine(auth, deadline, ret_value, ret_seconds);
    if (strcmp(json_text(auth->root, "type"), "service_account") == 0)
        return fetch_for_service(auth, deadline, ret_value, ret_seconds);
    return fetch_for_person(auth, deadline, ret_value, ret_seconds);
}

/* The file, in which gcloud keeps what its user allowed; NULL when there is none. */
static char *
usual_file(void)
{
    static const char name[] = "application_default_credentials.json";
    const char *directory = env("CLOUDSDK_CONFIG"), *home = env("HOME");
    AUTO(free) char *path = NULL;
    if (directory)
        path = mem_printf("%s/%s", directory, name);
    else if (home)
        path = mem_printf("%s/.config/gcloud/%s", home, name);
    return path && access(path, F_OK) == 0 ? take(path) : NULL;
}

/* All that the kind of credentials needs is there. */
static int
check_file(const json_t *root)
{
    static const struct {
        const char *type, *names[4];
    } kinds[] = {{"service_account", {"client_email", "private_key"}},
                 {"authorized_user", {"client_id", "client_secret", "refresh_token"}}};
    const char *type = json_text(root, "type");
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (strcmp(type, kinds[i].type) != 0)
            continue;
        for (const char *const *name = kinds[i].names; *name; name++)
            if (!*json_text(root, *name))
                return fail(ERR_CONFIG, "\"%s\" is missing", *name);
        return 0;
    }
    return hint(fail(ERR_UNSUPPORTED, "credentials of the type '%s' are not known", type),
                "those of a service account and of gcloud's own users are");
}

static int
read_file(GoogleAuth *auth)
{
    AUTO(str) Str text = {0};
    TRY(file_read_text(auth->file, FILE_MAX, &text));
    TRY(json_read(text.data, text.length, "the file", &auth->root));
    return check_file(auth->root);
}

int
google_auth_open(Http *http, GoogleAuth **ret_auth)
{
    const char *named = env("GOOGLE_APPLICATION_CREDENTIALS");
    AUTO(google_auth) GoogleAuth *auth = mem_alloc(sizeof(*auth));
    auth->http = http;
    token_init(&auth->token, fetch, auth);
    auth->file = named ? mem_dup(named) : usual_file();
    if (auth->file)
        TRY(wrap(read_file(auth), "credentials '%s'", auth->file));
    *ret_auth = take(auth);
    return 0;
}

void
google_auth_free(GoogleAuth *auth)
{
    token_done(&auth->token);
    json_decref(auth->root);
    free(auth->file);
    free(auth);
}

int
google_auth_get(GoogleAuth *auth, int64_t deadline, char **ret_token)
{
    return token_get(&auth->token, deadline, ret_token);
}

void
google_auth_refused(GoogleAuth *auth, const char *token)
{
    token_refused(&auth->token, token);
}

int
google_auth_project(GoogleAuth *auth, int64_t deadline, char **ret_project)
{
    const char *project = env("GOOGLE_CLOUD_PROJECT");
    if (!project && auth)
        project = json_text(auth->root, auth->root && *json_text(auth->root, "project_id")
                                            ? "project_id"
                                            : "quota_project_id");
    if (project && *project) {
        *ret_project = mem_dup(project);
        return 0;
    }
    if (auth && !auth->root) {
        AUTO(free) char *url = machine_url("project/project-id");
        AUTO(strlist) StrList headers = {0};
        AUTO(answer) HttpAnswer answer = {0};
        strlist_add(&headers, "Metadata-Flavor: Google");
        HttpRequest request = {.method = "GET", .url = url, .headers = headers, .local = true};
        TRY(wrap(http_run(auth->http, &request, deadline, &answer), "the metadata server"));
        if (answer.status == 200 && answer.text.length) {
            *ret_project = mem_dup(answer.text.data);
            return 0;
        }
    }
    return hint(fail(ERR_CONFIG, "in which of Google's projects is not known"),
                "set GOOGLE_CLOUD_PROJECT");
}
