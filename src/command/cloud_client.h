/* SPDX-License-Identifier: PostgreSQL
 * The cloud clients: this program on a database host, called by the names of Barman's, archives to
 * an object store and fetches from it directly. They read no configuration: everything is on the
 * command line and in the environment. */
#ifndef WALDEN_COMMAND_CLOUD_CLIENT_H
#define WALDEN_COMMAND_CLOUD_CLIENT_H

#include "cloud/bucket.h"
#include "command/arguments.h"
#include "flow/store/store.h"

/* Their exit codes: done; what was asked for cannot be (no such WAL file, no such bucket, other
 * content under the name); the store could not be reached, or had no time for us; a wrong command
 * line or file name; whatever else. Above 125 PostgreSQL gives up a recovery. */
enum {
    CLOUD_DONE = 0,
    CLOUD_REFUSED = 1,
    CLOUD_UNREACHABLE = 2,
    CLOUD_USAGE = 3,
    CLOUD_FAILED = 4,
    CLOUD_UNCERTAIN = 200
};

/* The options that all of them have, first in the table of each */
enum CloudOption {
    CLOUD_VERSION,
    CLOUD_HELP,
    CLOUD_VERBOSE,
    CLOUD_QUIET,
    CLOUD_TEST,
    CLOUD_PROVIDER,
    CLOUD_ENDPOINT,
    CLOUD_PROFILE,
    CLOUD_READ_TIMEOUT,
    CLOUD_CREDENTIAL,
    CLOUD_OPTIONS
};

enum { CLOUD_GROUP_VOLUME = 1, CLOUD_GROUP_OWN };

#define CLOUD_COMMON                                                                               \
    [CLOUD_VERSION] = {{"version", "V", NULL, "print the version and exit"}, .ends = true},        \
    [CLOUD_HELP] = {{"help", "", NULL, "print this and exit"}, .ends = true},                      \
    [CLOUD_VERBOSE] = {{"verbose", "v", NULL, "tell more; -vv: still more"},                       \
                       .group = CLOUD_GROUP_VOLUME},                                               \
    [CLOUD_QUIET] = {{"quiet", "q", NULL, "tell less"}, .group = CLOUD_GROUP_VOLUME},              \
    [CLOUD_TEST] = {{"test", "t", NULL, "only check that the store can be reached"}},              \
    [CLOUD_PROVIDER] = {{"cloud-provider", "", "PROVIDER",                                         \
                         "aws-s3, azure-blob-storage or\ngoogle-cloud-storage (by the URL)"},      \
                        .choices = "aws-s3|azure-blob-storage|google-cloud-storage"},              \
    [CLOUD_ENDPOINT] = {{"endpoint-url", "", "URL", "S3: another server than Amazon's"}},          \
    [CLOUD_PROFILE] = {{"aws-profile", "P", "NAME", "S3: of the shared credentials file"},         \
                       .aliases = "profile"},                                                      \
    [CLOUD_READ_TIMEOUT] = {{"read-timeout", "", "SECONDS",                                        \
                             "give up a connection that is silent so long (60)"},                  \
                            .number = true},                                                       \
    [CLOUD_CREDENTIAL] = {                                                                         \
        {"azure-credential", "", "KIND", "Azure: azure-cli, managed-identity or default"},         \
        .aliases = "credential|default",                                                           \
        .choices = "azure-cli|managed-identity|default"}

typedef struct CloudProgram {
    const char *name, *arguments, *help;
    const Argument *options;
    int option_count;
    size_t word_min, word_max;
} CloudProgram;

/* Reads the command line and sets up the log. CLOUD_ENDS with the exit code when there is no more
 * to do: it was wrong, or asked for help. */
enum { CLOUD_ENDS = 1 };
int cloud_begin(const CloudProgram *program, int argc, char **argv, Arguments *ret_found,
                int *ret_code);

/* Tells what is wrong with the command line (the failure on record); CLOUD_USAGE. */
int cloud_usage(const CloudProgram *program);

/* What the common options say of the store that the first word names. As Barman has it, options of
 * one provider do nothing at another. */
BucketSettings cloud_settings(const Arguments *found);

/* --test: can the store be reached, and is the bucket there? The exit code. */
int cloud_test(const char *url, const BucketSettings *settings);

/* Tells of the failure on record; the exit code that tells what kind of failure it is. A bucket
 * that is missing is looked for when that can be the reason, and answered with `missing`. */
int cloud_fail(const char *url, const BucketSettings *settings, int missing);

/* As main() of these programs; the exit code. */
int cloud_wal_archive_main(int argc, char **argv);
int cloud_wal_restore_main(int argc, char **argv);
int cloud_check_main(int argc, char **argv);

#endif
