/* SPDX-License-Identifier: PostgreSQL
 * Loading as a whole: inheritance, interpolation, models, included files, and what is told about
 * faults. In texts, "@" stands for the test's directory. */
#include "config/config.h"

#include "base/file.h"

#include "../unit.h"

#include <fcntl.h>

typedef struct Site {
    char *dir, *main;
    Config *config;
    Arena *arena;
} Site;

static int
site_setup(void **state)
{
    Site *site = mem_alloc(sizeof(Site));
    site->dir = scratch_make();
    site->main = mem_printf("%s/main.conf", site->dir);
    site->arena = arena_new();
    unsetenv("BARMAN_CONFIG_FILE");
    setenv("HOME", site->dir, 1);
    *state = site;
    return 0;
}

static int
site_teardown(void **state)
{
    Site *site = *state;
    config_free(site->config);
    arena_free(site->arena);
    free(site->main);
    scratch_remove(site->dir);
    free(site);
    return 0;
}

/* The text with the directory put in. */
static const char *
with_dir(const Site *site, const char *text)
{
    AUTO(str) Str out = {0};
    for (const char *at; (at = strchr(text, '@')); text = at + 1) {
        str_append_part(&out, text, (size_t)(at - text));
        str_append(&out, site->dir);
    }
    str_append(&out, text);
    return arena_dup(site->arena, str_text(&out));
}

static void
write_file(const Site *site, const char *path, const char *text)
{
    path = with_dir(site, path);
    text = with_dir(site, text);
    char *dir = arena_dup_part(site->arena, path, (size_t)(strrchr(path, '/') - path));
    assert_done(dir_make(dir));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_done(file_write(fd, text, strlen(text), path));
    close(fd);
}

static int
load(Site *site, const char *text)
{
    config_free(site->config);
    site->config = NULL;
    write_file(site, "@/main.conf", text);
    return config_load(site->main, &site->config);
}

/* Loads [barman] with a home, then the text. */
static void
load_home(Site *site, const char *text)
{
    assert_done(load(site, arena_printf(site->arena, "[barman]\nbarman_home = @/home\n%s", text)));
}

static const char *
value(const Site *site, const char *server_name, const char *name)
{
    size_t count = 0;
    const OptionInfo *options = option_all(&count);
    const ServerConfig *server = server_name ? config_find_server(site->config, server_name) : NULL;
    if (server_name && !server)
        fail_msg("there is no server '%s'", server_name);
    for (size_t i = 0; i < count; i++)
        if (strcmp(options[i].name, name) == 0)
            return option_value(&options[i], site->config, server, site->arena);
    fail_msg("there is no option '%s'", name);
    return NULL;
}

/* expected NULL: not set */
static void
assert_value(const Site *site, const char *server, const char *name, const char *expected)
{
    const char *got = value(site, server, name);
    expected = expected ? with_dir(site, expected) : "(not set)";
    if (strcmp(got ? got : "(not set)", expected) != 0)
        fail_msg("'%s' is '%s', not '%s'", name, got ? got : "(not set)", expected);
}

/* Exactly these warnings, each ending in the text; those of forced archivers are left out. */
static void
assert_warnings(const Site *site, size_t count, const char *const *texts)
{
    size_t seen = 0;
    for (size_t i = 0; i < site->config->warnings.count; i++) {
        const char *got = site->config->warnings.items[i];
        if (strstr(got, "has no archiver"))
            continue;
        if (seen == count)
            fail_msg("'%s' was not expected", got);
        if (!str_ends(got, with_dir(site, texts[seen])))
            fail_msg("'%s' is not '%s'", got, texts[seen]);
        seen++;
    }
    assert_int_equal(seen, count);
}

static void
assert_no_warnings(const Site *site)
{
    assert_warnings(site, 0, NULL);
}

static void
assert_message(const Site *site, const char *name, const char *part)
{
    const ServerConfig *server = config_find_server(site->config, name);
    assert_non_null(server);
    assert_true(server->disabled);
    assert_int_equal(server->messages.count, 1);
    if (!strstr(server->messages.items[0], part))
        fail_msg("'%s' is not in '%s'", part, server->messages.items[0]);
}

static void
test_defaults(void **state)
{
    Site *site = *state;
    load_home(site, "[pg]\narchiver = on\n");
    assert_int_equal(site->config->warnings.count, 0);
    assert_string_equal(site->config->path, site->main);
    assert_int_equal(site->config->server_count, 1);
    assert_false(site->config->servers[0].disabled);
    static const char *const cases[][3] = {
        {NULL, "barman_home", "@/home"},
        {NULL, "barman_lock_directory", "@/home"},
        {NULL, "barman_user", NULL},
        {NULL, "log_file", NULL},
        {NULL, "log_level", "INFO"},
        {NULL, "configuration_files_directory", NULL},
        {"pg", "active", "true"},
        {"pg", "description", NULL},
        {"pg", "cluster", "pg"},
        {"pg", "backup_directory", "@/home/pg"},
        {"pg", "incoming_wals_directory", "@/home/pg/incoming"},
        {"pg", "streaming_wals_directory", "@/home/pg/streaming"},
        {"pg", "wals_directory", "@/home/pg/wals"},
        {"pg", "errors_directory", "@/home/pg/errors"},
        {"pg", "xlogdb_directory", "@/home/pg/wals"},
        {"pg", "archiver_batch_size", "0"},
        {"pg", "streaming_archiver", "false"},
        {"pg", "compression", NULL},
        {"pg", "compression_level", "medium"},
        {"pg", "custom_compression_magic", NULL},
        {"pg", "pre_archive_script", NULL},
        {"pg", "wal_validation", "header"},
        {"pg", "incoming_grace", "30"},
        {"pg", "hook_timeout", NULL},
        {"pg", "archiver_workers", "0"},
        {"pg", "restore_deadline", "60"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_value(site, cases[i][0], cases[i][1], cases[i][2]);
    assert_int_equal(config_find_server(site->config, "pg")->hook_timeout, -1);
    assert_null(config_find_server(site->config, "barman"));
    assert_null(value(site, NULL, "archiver"));
}

static void
test_inheritance(void **state)
{
    Site *site = *state;
    load_home(site, "compression = gzip\ncompression_level = 3\npath_prefix = /opt\n"
                    "archiver = on\narchiver_batch_size = 7\n"
                    "[a]\ncompression = zstd\narchiver_batch_size = many\n"
                    "[b]\ncompression = NONE\npath_prefix =\n"
                    "[c]\ncompression = 'None'\npath_prefix = \"\"\narchiver = off\n"
                    "streaming_archiver = on\nbackup_directory = @/elsewhere\n");
    assert_value(site, "a", "compression", "zstd");
    assert_value(site, "a", "archiver_batch_size", "7");
    assert_value(site, "a", "path_prefix", "/opt");
    assert_value(site, "b", "compression", NULL);
    assert_value(site, "b", "compression_level", "3");
    assert_value(site, "b", "path_prefix", NULL);
    assert_value(site, "c", "compression", NULL);
    assert_value(site, "c", "path_prefix", NULL);
    assert_value(site, "c", "archiver", "false");
    assert_value(site, "c", "errors_directory", "@/elsewhere/errors");
    const char *const warnings[] = {
        "@/main.conf:10: 'many' is no value for 'archiver_batch_size' (expected a whole "
        "number), ignored"};
    assert_warnings(site, 1, warnings);
}

static void
test_interpolation(void **state)
{
    Site *site = *state;
    load_home(site, "base = '/x'\nxlogdb_directory = %(barman_home)s/db/%(name)s\n"
                    "compresion_typo = 1\n"
                    "[pg]\nroot = \"/r\"\n"
                    "backup_directory = %(ROOT)s/b\n"
                    "wals_directory = %(backup_directory)s/../w\n"
                    "errors_directory = %(base)s/%(name)s/e\n"
                    "streaming_wals_directory = %(incoming_wals_directory)s2\n"
                    "pre_archive_script = date +%%Y-%m %(nothing)s 100% %(loop)s %(\n"
                    "loop = <%(loop)s>\n"
                    "description = 'it is %(barman_home)s'\n");
    /* As with Python, quotes of another option of the section come along. */
    assert_value(site, "pg", "backup_directory", "\"/r\"/b");
    assert_value(site, "pg", "wals_directory", "\"/r\"/b/../w");
    assert_value(site, "pg", "errors_directory", "/x/pg/e");
    assert_value(site, "pg", "streaming_wals_directory", "\"/r\"/b/incoming2");
    assert_value(site, "pg", "xlogdb_directory", "@/home/db/pg");
    assert_value(site, "pg", "description", "it is @/home");
    const char *script = value(site, "pg", "pre_archive_script");
    assert_true(str_starts(script, "date +%Y-%m %(nothing)s 100% <<<"));
    assert_true(str_ends(script, "%(loop)s>>>>>>>>>> %("));
}

static void
test_streaming_follows_conninfo(void **state)
{
    Site *site = *state;
    load_home(site, "[a]\nconninfo = host=x password=y\n[b]\n"
                    "[c]\nconninfo = host=x\nstreaming_conninfo = host=z\n");
    assert_string_equal(config_find_server(site->config, "a")->streaming_conninfo,
                        "host=x password=y");
    assert_value(site, "a", "streaming_conninfo", "host=x password=*REDACTED*");
    assert_null(config_find_server(site->config, "b")->streaming_conninfo);
    assert_value(site, "c", "streaming_conninfo", "host=z");
}

/* Neither time nor memory can run away. */
static void
test_interpolation_is_bounded(void **state)
{
    Site *site = *state;
    AUTO(str) Str text = {0};
    str_append(&text, "[pg]\ndescription = ");
    for (int i = 0; i < 3000; i++)
        str_append(&text, "%(a)s");
    str_append(&text, "\na = %(b)s%(b)s%(b)s%(b)s\nb = %(c)s%(c)s%(c)s%(c)s\nc =\n"
                      "cluster = %(d)s%(d)s\nd = ");
    for (int i = 0; i < 50000; i++)
        str_append(&text, "x");
    load_home(site, str_text(&text));
    assert_true(strlen(value(site, "pg", "description")) < 20000);
    assert_value(site, "pg", "cluster", "pg");
}

static void
test_forced_archiver(void **state)
{
    Site *site = *state;
    load_home(site, "[a]\n[b]\narchiver = off\n[c]\nstreaming_archiver = on\n"
                    "[d]\nprimary_ssh_command = ssh x\n");
    assert_value(site, "a", "archiver", "true");
    assert_value(site, "b", "archiver", "true");
    assert_value(site, "c", "archiver", "false");
    assert_value(site, "d", "archiver", "false");
    assert_int_equal(site->config->warnings.count, 2);
    assert_string_equal(
        site->config->warnings.items[1],
        with_dir(site, "@/main.conf:4: server 'b' has no archiver: taking 'archiver = on'"));
}

static void
test_warnings(void **state)
{
    Site *site = *state;
    load_home(site, "active = true\nretention_policy = REDUNDANCY 2\nlog_level = loud\n"
                    "hook_timeout = soon\n"
                    "[a]\narchiver_batchsize = 1\nbarman_user = me\nconninfo = host=x\n"
                    "quite_another_thing = 1\n"
                    "[b]\ncustom_compression_magic = 1f8b\nwals_directory =\nactive = none\n");
    const char *const warnings[] = {
        "@/main.conf:5: 'loud' is no value for 'log_level' (expected DEBUG, INFO, "
        "WARNING, ERROR, CRITICAL or a number), ignored",
        "@/main.conf:3: option 'active' in section [barman] belongs in the section of a server, "
        "ignored",
        "@/main.conf:8: option 'archiver_batchsize' in section [a] is not known, ignored; did you "
        "mean 'archiver_batch_size'?",
        "@/main.conf:9: option 'barman_user' in section [a] belongs in section [barman], ignored",
        "@/main.conf:11: option 'quite_another_thing' in section [a] is not known, ignored",
        /* once, however many inherit it */
        "@/main.conf:6: 'soon' is no value for 'hook_timeout' (expected a time as '90', "
        "'5 min' or '2 days'), ignored",
        "@/main.conf:15: 'active' cannot be without a value, ignored",
        "@/main.conf:14: 'wals_directory' cannot be without a value, ignored",
        "@/main.conf:13: '1f8b' is no value for 'custom_compression_magic' (expected '0x' "
        "and hexadecimal digits, two for each byte), ignored",
    };
    assert_warnings(site, COUNT_OF(warnings), warnings);
    assert_value(site, NULL, "log_level", "INFO");
    assert_value(site, "b", "wals_directory", "@/home/b/wals");
    assert_value(site, "b", "active", "true");
    assert_false(config_find_server(site->config, "b")->disabled);
}

static void
test_fatal(void **state)
{
    Site *site = *state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"[pg]\narchiver = on\n", "@/main.conf: there is no section [barman]"},
        {"[barman]\n", "@/main.conf: section [barman] must set 'barman_home'"},
        {"[barman]\nbarman_home = none\n", "must set 'barman_home'"},
        {"[barman]\nbarman_home = @\nword\n", "@/main.conf:3: 'word'"},
        {"barman_home = @\n", "@/main.conf:1: there is text before"},
        {"[barman]\nbarman_home = @\n[all]\n", "@/main.conf:3: 'all' is reserved"},
        {"[barman]\nbarman_home = @/h\n[a]\n[b]\nbackup_directory = @/h/a\n",
         "servers 'a' and 'b' use the same directory '@/h/a', as backup_directory and "
         "backup_directory"},
        {"[barman]\nbarman_home = @/h\n[a]\n[b]\nwals_directory = @/h/./x/../a/wals/\n",
         "servers 'a' and 'b' use the same directory '@/h/a/wals'"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_fails(load(site, cases[i].text), ERR_CONFIG, with_dir(site, cases[i].error));
    assert_null(site->config);
}

static void
test_files(void **state)
{
    Site *site = *state;
    Config *config = NULL;
    assert_fails(config_load("/nowhere/x.conf", &config), ERR_CONFIG, "'/nowhere/x.conf': No such");
    assert_fails(config_load(site->dir, &config), ERR_CONFIG, "is not a regular file");
    setenv("BARMAN_CONFIG_FILE", "/nowhere/y.conf", 1);
    assert_fails(config_load(NULL, &config), ERR_CONFIG, "'/nowhere/y.conf'");
    assert_fails(config_load("/nowhere/x.conf", &config), ERR_CONFIG, "'/nowhere/x.conf'");

    write_file(site, "@/env.conf", "[barman]\nbarman_home = @\n");
    const char *env = with_dir(site, "@/env.conf");
    setenv("BARMAN_CONFIG_FILE", env, 1);
    assert_done(config_load(NULL, &site->config));
    assert_string_equal(site->config->path, env);
    assert_int_equal(site->config->server_count, 0);

    char *large = arena_alloc(site->arena, MIB(1) + 2);
    memset(large, '\n', MIB(1) + 1);
    write_file(site, "@/large.conf", large);
    assert_fails(config_load(with_dir(site, "@/large.conf"), &config), ERR_CONFIG,
                 "is larger than");
}

static void
test_denied(void **state)
{
    Site *site = *state;
    Config *config = NULL;
    if (geteuid() == 0 && seteuid(65534) < 0)
        skip();
    chmod(site->dir, 0);
    int result = config_load(site->main, &config);
    if (seteuid(getuid()) < 0)
        abort();
    chmod(site->dir, 0700);
    assert_fails(result, ERR_CONFIG, "Permission denied");
    assert_true(strstr(error_last()->hint, "must be able to read it"));
}

static void
test_search(void **state)
{
    Site *site = *state;
    struct stat st;
    if (stat("/etc/walden.conf", &st) == 0)
        skip();
    write_file(site, "@/.barman.conf", "[barman]\nbarman_home = @/barman\n");
    assert_done(config_load(NULL, &site->config));
    assert_string_equal(site->config->path, with_dir(site, "@/.barman.conf"));
    config_free(site->config);
    site->config = NULL;
    write_file(site, "@/.walden.conf", "[barman]\nbarman_home = @/walden\n");
    assert_done(config_load(NULL, &site->config));
    assert_string_equal(site->config->path, with_dir(site, "@/.walden.conf"));
}

static void
test_included_files(void **state)
{
    Site *site = *state;
    write_file(site, "@/d/2.conf", "[b]\ndescription = two\n[a]\ndescription = again\n");
    write_file(site, "@/d/1.conf",
               "[DEFAULT]\npath_prefix = /one\n[a]\ndescription = one\n"
               "xlogdb_directory = @/db\n");
    write_file(site, "@/d/.hidden.conf", "broken");
    write_file(site, "@/d/other.txt", "broken");
    write_file(site, "@/home/.barman.auto.conf", "[b]\nxlogdb_directory = @/auto\n");
    assert_done(dir_make(with_dir(site, "@/d/dir.conf")));
    load_home(site, "configuration_files_directory = ~/d\n"
                    "[a]\ndescription = zero\ncompression = xz\n[b]\n");
    assert_int_equal(site->config->server_count, 2);
    assert_value(site, "a", "description", "again");
    assert_value(site, "a", "xlogdb_directory", "@/db");
    assert_value(site, "a", "compression", "xz");
    assert_value(site, "a", "path_prefix", "/one");
    assert_value(site, "b", "path_prefix", NULL);
    assert_value(site, "b", "xlogdb_directory", "@/auto");
    const char *const warnings[] = {"@/d/dir.conf: is not a regular file, not included"};
    assert_warnings(site, 1, warnings);

    load_home(site, "configuration_files_directory = @/none\n");
    const char *const missing[] = {
        "@/main.conf:3: '@/none' is not a directory, no files are included"};
    assert_warnings(site, 1, missing);

    /* A value keeps its meaning when a later file changes what it was made of. */
    write_file(site, "@/d/2.conf", "[a]\nroot = /later\n");
    load_home(site, "configuration_files_directory = @/d\n"
                    "[a]\nroot = /first\nbackup_directory = %(root)s/a\n");
    assert_value(site, "a", "backup_directory", "/first/a");

    const char *with_files =
        "[barman]\nbarman_home = @/home\nconfiguration_files_directory = @/d\n";
    write_file(site, "@/d/3.conf", "[barman]\nbarman_home = @/home\n");
    assert_done(load(site, with_files));
    write_file(site, "@/d/3.conf", "[barman]\n\nbarman_home = @/other\n");
    assert_fails(load(site, with_files), ERR_CONFIG,
                 with_dir(site, "@/d/3.conf:3: section [barman] cannot be changed"));
    write_file(site, "@/d/3.conf", "[DEFAULT]\ncompression = xz\n[c]\n");
    assert_done(load(site, with_files));
    write_file(site, "@/d/3.conf", "[DEFAULT]\ncompression = xz\n[barman]\n");
    assert_fails(load(site, with_files), ERR_CONFIG, with_dir(site, "@/d/3.conf:2: section"));
    write_file(site, "@/d/3.conf", "[c]\nbroken\n");
    assert_fails(load(site, with_files), ERR_CONFIG, with_dir(site, "@/d/3.conf:2: 'broken'"));
    unlink(with_dir(site, "@/d/3.conf"));
    assert_int_equal(symlink("nowhere", with_dir(site, "@/d/3.conf")), 0);
    assert_fails(load(site, with_files), ERR_CONFIG, with_dir(site, "'@/d/3.conf': No such"));
}

static void
test_default_section(void **state)
{
    Site *site = *state;
    assert_done(load(site, "[DEFAULT]\nbarman_home = @/home\narchiver = on\ncompression = lz4\n"
                           "[barman]\n[pg]\ncompression = xz\n[other]\n"));
    assert_no_warnings(site);
    assert_value(site, "pg", "backup_directory", "@/home/pg");
    assert_value(site, "pg", "compression", "xz");
    assert_value(site, "other", "compression", "lz4");
}

static void
test_models(void **state)
{
    Site *site = *state;
    const char *text = "[pg]\ncluster = c\ncompression = gzip\npath_prefix = /p\n"
                       "[pg:m]\nmodel = true\ncluster = c\ncompression = zstd\narchiver = on\n"
                       "path_prefix =\ndescription = standby\n"
                       "[pg:other]\nmodel = on\ncluster = d\n"
                       "[not]\nmodel = false\n";
    load_home(site, text);
    assert_int_equal(site->config->server_count, 2);
    assert_no_warnings(site);
    assert_value(site, "pg", "compression", "gzip");

    write_file(site, "@/home/pg/.active-model.auto", "pg:m\n");
    load_home(site, text);
    assert_value(site, "pg", "compression", "zstd");
    assert_value(site, "pg", "description", "standby");
    assert_value(site, "pg", "path_prefix", "/p");
    assert_false(config_find_server(site->config, "pg")->disabled);

    static const char *const faults[][2] = {
        {"gone", "active model 'gone' is not defined"},
        {"not", "active model 'not' is not defined"},
        {"pg:other", "active model 'pg:other' is for cluster 'd', not for 'c'"},
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        write_file(site, "@/home/pg/.active-model.auto", faults[i][0]);
        load_home(site, text);
        assert_message(site, "pg", faults[i][1]);
    }
    write_file(site, "@/home/pg/.active-model.auto", " \n");
    load_home(site, text);
    assert_false(config_find_server(site->config, "pg")->disabled);
    const char *path = with_dir(site, "@/home/pg/.active-model.auto");
    assert_int_equal(unlink(path), 0);
    assert_done(dir_make(path));
    load_home(site, text);
    assert_message(site, "pg", "active model: '");
    assert_int_equal(rmdir(path), 0);
    load_home(site, text);
    assert_false(config_find_server(site->config, "pg")->disabled);

    load_home(site, "[m]\nmodel = true\nbackup_directory = /x\npre_archive_script = y\n");
    const char *const warnings[] = {
        "@/main.conf:5: option 'backup_directory' cannot be set in a model, ignored",
        "@/main.conf:6: option 'pre_archive_script' cannot be set in a model, ignored",
        "@/main.conf:3: model 'm' has no cluster, it cannot be used",
    };
    assert_warnings(site, COUNT_OF(warnings), warnings);
}

/* Several may share one, as their names are in the keys; their catalogs are here. */
static void
test_archives_in_object_stores(void **state)
{
    Site *site = *state;
    load_home(site, "[a]\nwals_directory = s3://bucket/wals\n"
                    "[b]\nwals_directory = s3://bucket/wals\nxlogdb_directory = @/catalogs\n"
                    "cloud_tags = team = dba ,env=x=y\ncloud_part_size = 5 GB\n"
                    "[c]\ncloud_tags = team\ncloud_part_size = 5\naws_encryption = AWS:kms\n");
    const ServerConfig *a = config_find_server(site->config, "a");
    const ServerConfig *b = config_find_server(site->config, "b");
    const ServerConfig *c = config_find_server(site->config, "c");
    assert_true(server_is_remote(a) && server_is_remote(b) && !server_is_remote(c));
    assert_false(a->disabled || b->disabled || c->disabled);
    assert_string_equal(a->wals_directory, "s3://bucket/wals");
    assert_string_equal(a->xlogdb_directory, with_dir(site, "@/home/a/xlogdb"));
    assert_string_equal(b->xlogdb_directory, with_dir(site, "@/catalogs"));
    assert_string_equal(b->cloud_tags, "team = dba ,env=x=y");
    assert_int_equal(b->cloud_part_size, INT64_C(5) << 30);
    assert_null(c->cloud_tags);
    assert_int_equal(c->cloud_part_size, 64 << 20);
    assert_string_equal(c->aws_encryption, "aws:kms");
}

static void
test_disabled_servers(void **state)
{
    Site *site = *state;
    assert_done(dir_make(with_dir(site, "@/home/link/real")));
    assert_int_equal(symlink("real", with_dir(site, "@/home/link/errors")), 0);
    load_home(site, "[a/b]\n[..]\nbackup_directory = @/dots\n[good]\n[url]\n"
                    "wals_directory = ftp://bucket/wals\n"
                    "[filter]\nwals_directory = s3://bucket\ncompression = pigz\n"
                    "[catalog]\nwals_directory = s3://bucket\nxlogdb_directory = s3://other\n"
                    "[same]\nwals_directory = @/home/same/incoming\n"
                    "[link]\nwals_directory = @/home/link/real\n");
    assert_message(site, "a/b", "cannot be the name of a server");
    assert_message(site, "..", "cannot be the name of a server");
    assert_message(site, "url", "'ftp://bucket/wals' is neither a directory nor the URL");
    assert_message(site, "filter", "compression = pigz cannot be used");
    assert_message(site, "catalog", "xlogdb_directory 's3://other' is not a directory");
    assert_message(site, "same", "incoming_wals_directory and wals_directory are the same");
    assert_message(site, "link", "errors_directory and wals_directory are the same");
    assert_false(config_find_server(site->config, "good")->disabled);
}

int
main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, site_setup, site_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_defaults),
        CASE(test_inheritance),
        CASE(test_interpolation),
        CASE(test_interpolation_is_bounded),
        CASE(test_streaming_follows_conninfo),
        CASE(test_forced_archiver),
        CASE(test_warnings),
        CASE(test_fatal),
        CASE(test_files),
        CASE(test_denied),
        CASE(test_search),
        CASE(test_included_files),
        CASE(test_default_section),
        CASE(test_models),
        CASE(test_archives_in_object_stores),
        CASE(test_disabled_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
