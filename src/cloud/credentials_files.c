/* SPDX-License-Identifier: PostgreSQL
 * Keys that are written down: in the environment, in the shared files of Amazon's tools, or printed
 * by a program that they name. What such a file has in a line that cannot be read is not repeated
 * in a message: it may be a key. */
#include "cloud/credentials_parts.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "cloud/provider.h"
#include "config/ini.h"

#include <errno.h>
#include <jansson.h>

enum { FILE_MAX_SIZE = 1 << 20, PROGRAM_TEXT_MAX = 64 << 10 };

void
aws_profile_done(AwsProfile *profile)
{
    free(profile->name);
    strlist_done(&profile->settings);
}

const char *
aws_profile_setting(const AwsProfile *profile, const char *name)
{
    for (size_t i = 0; i + 1 < profile->settings.count; i += 2)
        if (strcmp(profile->settings.items[i], name) == 0)
            return profile->settings.items[i + 1];
    return NULL;
}

static char *
shared_path(const char *variable, const char *name)
{
    const char *path = getenv(variable), *home = getenv("HOME");
    if (path && *path && path[0] == '~' && path[1] == '/' && home)
        return mem_printf("%s%s", home, path + 1);
    return path && *path ? mem_dup(path) : home ? mem_printf("%s/.aws/%s", home, name) : NULL;
}

/* "[NAME]" in one file; "[profile NAME]" in the other, but for "[default]". */
static bool
is_section_of(const char *section, const AwsProfile *profile, bool is_config)
{
    if (!is_config || strcmp(profile->name, "default") == 0)
        if (strcmp(section, profile->name) == 0)
            return true;
    if (!is_config || !str_starts(section, "profile"))
        return false;
    const char *name = section + strlen("profile");
    size_t blanks = strspn(name, " \t");
    return blanks && strcmp(name + blanks, profile->name) == 0;
}

/* Adds what the file says that is not known yet; of what it says twice, the last. */
static int
read_shared(AwsProfile *profile, const char *path, bool is_config, bool *found)
{
    AUTO(str) Str text = {0};
    AUTO(arena) Arena *arena = arena_new();
    IniFile file;
    int result = file_read_text(path, FILE_MAX_SIZE, &text);
    /* A home that is not ours, as after sudo, says nothing, unless somebody wants what is in it. */
    int os_error = result < 0 ? error_last()->os_error : 0;
    if (os_error == ENOENT || os_error == ENOTDIR || (os_error == EACCES && !profile->named))
        return 0;
    TRY(wrap(result, "credentials for S3"));
    if (ini_parse(path, str_text(&text), text.length, arena, &file) < 0)
        return fail(ERR_CONFIG, "'%s' is no file of profiles as Amazon's tools write it", path);
    for (size_t i = file.count; i-- > 0;) {
        const IniLine *line = &file.lines[i];
        if (!is_section_of(line->section, profile, is_config))
            continue;
        *found = true;
        if (line->key[0] && !aws_profile_setting(profile, line->key)) {
            strlist_add(&profile->settings, line->key);
            strlist_add(&profile->settings, line->value);
        }
    }
    return 0;
}

int
aws_profile_read(AwsProfile *profile)
{
    AUTO(free) char *credentials = shared_path("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    AUTO(free) char *config = shared_path("AWS_CONFIG_FILE", "config");
    bool found = false;
    if (credentials)
        TRY(read_shared(profile, credentials, false, &found));
    if (config)
        TRY(read_shared(profile, config, true, &found));
    return found ? 0 : PROFILE_MISSING;
}

static int
grant(const char *access_key, const char *secret_key, const char *token, const char *place,
      AwsGrant *ret_grant)
{
    if (!access_key && !secret_key)
        return GRANT_NONE;
    if (!access_key || !*access_key || !secret_key || !*secret_key)
        return fail(ERR_CONFIG, "%s has only one of access key and secret key", place);
    *ret_grant = (AwsGrant){.keys = {.access_key = mem_dup(access_key),
                                     .secret_key = mem_dup(secret_key),
                                     .session_token = token && *token ? mem_dup(token) : NULL}};
    return 0;
}

const char *
aws_variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int
grant_from_environment(AwsGrant *ret_grant)
{
    const char *token = aws_variable("AWS_SESSION_TOKEN");
    return grant(aws_variable("AWS_ACCESS_KEY_ID"), aws_variable("AWS_SECRET_ACCESS_KEY"),
                 token ? token : aws_variable("AWS_SECURITY_TOKEN"), "the environment", ret_grant);
}

int
grant_from_profile(const AwsProfile *profile, AwsGrant *ret_grant)
{
    AUTO(free) char *place = mem_printf("the profile '%s'", profile->name);
    const char *access_key = aws_profile_setting(profile, "aws_access_key_id");
    static const char *const foreign[] = {"sso_session", "sso_start_url"};
    for (size_t i = 0; !access_key && i < COUNT_OF(foreign); i++)
        if (aws_profile_setting(profile, foreign[i]))
            return hint(fail(ERR_CONFIG, "%s gets its keys by %s, which is not supported", place,
                             foreign[i]),
                        "let it name a credential_process");
    return grant(access_key, aws_profile_setting(profile, "aws_secret_access_key"),
                 aws_profile_setting(profile, "aws_session_token"), place, ret_grant);
}

static void
take_line(void *context, bool is_stderr, const char *line)
{
    Str *text = context;
    if (!is_stderr && text->length + strlen(line) < PROGRAM_TEXT_MAX)
        str_appendf(text, "%s\n", line);
}

int
grant_from_program(const AwsProfile *profile, int64_t deadline, AwsGrant *ret_grant)
{
    const char *program = aws_profile_setting(profile, "credential_process");
    if (!program)
        return GRANT_NONE;
    AUTO(str) Str text = {0};
    int64_t left = deadline - clock_ms();
    int status = 0;
    ProcSpec spec = {.shell = program,
                     .stdin_fd = -1,
                     .stdout_fd = -1,
                     .on_line = take_line,
                     .context = &text,
                     .timeout_ms = left > 1 ? left : 1};
    TRY(wrap(proc_run(&spec, &status), "credential_process of the profile '%s'", profile->name));
    if (status != 0)
        return fail(ERR_HOOK, "credential_process of the profile '%s' failed with status %d",
                    profile->name, status);
    json_t *root = json_loadb(str_text(&text), text.length, 0, NULL);
    const char *expires = json_string_value(json_object_get(root, "Expiration"));
    int result = grant(json_string_value(json_object_get(root, "AccessKeyId")),
                       json_string_value(json_object_get(root, "SecretAccessKey")),
                       json_string_value(json_object_get(root, "SessionToken")),
                       "the answer of credential_process", ret_grant);
    if (result == 0 && expires)
        ret_grant->expires = cloud_time_parse(expires);
    json_decref(root);
    return result != GRANT_NONE
               ? result
               : fail(ERR_CONFIG, "credential_process of the profile '%s' printed no keys",
                      profile->name);
}
