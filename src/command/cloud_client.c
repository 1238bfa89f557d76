/* SPDX-License-Identifier: PostgreSQL
 * What the cloud clients share: common options, exit codes, --test. */
#include "command/cloud_client.h"

#include "base/log.h"
#include "base/proc.h"
#include "version.h"

int
cloud_usage(const CloudProgram *program)
{
    fprintf(stderr, "usage: %s [OPTIONS] %s\n%s: error: %s\n", program->name, program->arguments,
            program->name, error_last()->text);
    return CLOUD_USAGE;
}

static int
print_end(const CloudProgram *program, bool version)
{
    if (version) {
        printf("%s (Walden) %s\n", program->name, WALDEN_VERSION);
    } else {
        printf("Usage: %s [OPTIONS] \\\n           %s\n\n%s\n\nOptions:\n", program->name,
               program->arguments, program->help);
        arguments_print(program->options, program->option_count);
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? CLOUD_DONE : CLOUD_FAILED;
}

static int
log_level(const Arguments *found)
{
    int level = LOG_WARNING + 10 * (found->given[CLOUD_QUIET] - found->given[CLOUD_VERBOSE]);
    return level < LOG_DEBUG ? LOG_DEBUG : level;
}

int
cloud_begin(const CloudProgram *program, int argc, char **argv, Arguments *ret_found, int *ret_code)
{
    int result = arguments_parse(argc, argv, program->options, program->option_count, ret_found);
    if (result == 0 && ret_found->ended >= 0) {
        *ret_code = print_end(program, ret_found->ended == CLOUD_VERSION);
        return CLOUD_ENDS;
    }
    if (result == 0 && ret_found->words.count < program->word_min)
        result = fail(ERR_USAGE, "the following arguments are required: %s", program->arguments);
    if (result == 0 && ret_found->words.count > program->word_max)
        result = fail(ERR_USAGE, "unrecognized arguments: %s",
                      ret_found->words.items[program->word_max]);
    if (result < 0) {
        *ret_code = cloud_usage(program);
        return CLOUD_ENDS;
    }
    (void)log_open(NULL, log_level(ret_found));
    stop_on_signals();
    if (bucket_is_url(ret_found->words.items[0]))
        return 0;
    log_error("Invalid URL address: %s", ret_found->words.items[0]);
    *ret_code = CLOUD_FAILED;
    return CLOUD_ENDS;
}

BucketSettings
cloud_settings(const Arguments *found)
{
    int64_t seconds = 0;
    const char *timeout = arguments_value(found, CLOUD_READ_TIMEOUT);
    if (timeout)
        (void)int_parse(timeout, 1, INT32_MAX, &seconds);
    bool s3 = strcmp(bucket_provider(found->words.items[0]), "aws-s3") == 0;
    return (BucketSettings){.provider = arguments_value(found, CLOUD_PROVIDER),
                            .endpoint_url = s3 ? arguments_value(found, CLOUD_ENDPOINT) : NULL,
                            .profile = arguments_value(found, CLOUD_PROFILE),
                            .credential = arguments_value(found, CLOUD_CREDENTIAL),
                            .idle_timeout_ms = seconds * 1000,
                            .one_object = true};
}

static void
tell(void)
{
    const Error *error = error_last();
    if (*error->hint)
        log_error("%s; %s", error->text, error->hint);
    else
        log_error("%s", error->text);
}

static int
code_of(const Error *error)
{
    if (error->class == ERR_STOPPED)
        return 128 + stop_signal();
    if (error->class == ERR_USAGE)
        return CLOUD_USAGE;
    bool local = error->os_error != 0;
    return !local && (error->class == ERR_IO || error->class == ERR_TIMEOUT) ? CLOUD_UNREACHABLE
                                                                             : CLOUD_FAILED;
}

static int
look(const char *url, const BucketSettings *settings)
{
    AUTO(bucket) Bucket *bucket = NULL;
    AUTO(free) char *prefix = NULL;
    TRY(bucket_open(url, settings, &bucket, &prefix));
    int result = bucket_check(bucket);
    if (result == BUCKET_MISSING)
        fail(ERR_CONFIG, "Bucket %s does not exist", bucket_name(bucket));
    return result;
}

int
cloud_test(const char *url, const BucketSettings *settings)
{
    BucketSettings quick = *settings;
    quick.retries = 1;
    int result = look(url, &quick);
    if (result != 0)
        tell();
    return result == BUCKET_MISSING ? CLOUD_REFUSED
           : result < 0             ? code_of(error_last())
                                    : CLOUD_DONE;
}

int
cloud_fail(const char *url, const BucketSettings *settings, int missing)
{
    Error error = *error_last();
    int code = code_of(&error);
    tell();
    if (error.class != ERR_CONFIG || look(url, settings) != BUCKET_MISSING)
        return code;
    tell();
    return missing;
}
