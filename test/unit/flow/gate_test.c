/* SPDX-License-Identifier: PostgreSQL
 * Each rule of the gate and its reason. How old a file is cannot be feigned, so a
 * long grace means "just now" here and none means "long ago". */
#include "segment.h"

#include "flow/gate.h"

typedef enum Shape {
    WHOLE,
    SHORT,    /* half of it */
    LONG,     /* a page too many */
    HEADLESS, /* 20 bytes */
    EMPTY,
    ZEROS,
    RUBBISH, /* no WAL, no known codec */
    OTHER,   /* of the next segment */
    DAMAGED, /* a bit of a record is wrong */
} Shape;

/* Outcomes for a file that changed just now and for an old one */
static const struct {
    const char *name;
    Shape shape;
    WalValidation level;
    int fresh, old;
    const char *reason;
} cases[] = {
    {SEG_1, WHOLE, VALIDATE_HEADER, 0, 0, ""},
    {SEG_1, SHORT, VALIDATE_HEADER, GATE_WAIT, GATE_INVALID,
     "is 524288 bytes long, and its header"},
    {SEG_1, LONG, VALIDATE_HEADER, GATE_INVALID, GATE_INVALID,
     "is 1056768 bytes long, and its header"},
    {SEG_1, HEADLESS, VALIDATE_HEADER, GATE_WAIT, GATE_INVALID, "only 20 bytes long"},
    {SEG_1, EMPTY, VALIDATE_HEADER, GATE_WAIT, GATE_INVALID, "it is empty"},
    {SEG_1, ZEROS, VALIDATE_HEADER, GATE_INVALID, GATE_INVALID, "begins with zeros"},
    {SEG_1, RUBBISH, VALIDATE_HEADER, 0, 0, ""},
    {SEG_1, OTHER, VALIDATE_HEADER, GATE_INVALID, GATE_INVALID, "the name says 0/100000"},
    {SEG_1 ".partial", WHOLE, VALIDATE_HEADER, 0, 0, ""},
    {SEG_1 ".partial", SHORT, VALIDATE_HEADER, GATE_WAIT, 0, "is 524288 bytes long"},
    {SEG_1 ".partial", LONG, VALIDATE_HEADER, GATE_INVALID, GATE_INVALID, "1056768 bytes"},
    {SEG_1 ".partial", EMPTY, VALIDATE_HEADER, GATE_WAIT, GATE_INVALID, "it is empty"},
    {SEG_1 ".partial", OTHER, VALIDATE_HEADER, GATE_INVALID, GATE_INVALID, "the name says"},
    {"00000002.history", RUBBISH, VALIDATE_HEADER, 0, 0, ""},
    {"00000002.history", EMPTY, VALIDATE_HEADER, GATE_WAIT, GATE_INVALID, "it is empty"},
    {"00000002.history", ZEROS, VALIDATE_HEADER, GATE_INVALID, GATE_INVALID, "zeros"},
    {SEG_1 ".00000028.backup", RUBBISH, VALIDATE_HEADER, 0, 0, ""},
    {SEG_1 ".00000028.backup", ZEROS, VALIDATE_HEADER, GATE_INVALID, GATE_INVALID, "zeros"},
    {SEG_1, SHORT, VALIDATE_OFF, 0, 0, ""},
    {SEG_1, EMPTY, VALIDATE_OFF, 0, 0, ""},
    {SEG_1, ZEROS, VALIDATE_OFF, 0, 0, ""},
    {SEG_1, OTHER, VALIDATE_OFF, 0, 0, ""},
    {SEG_1, DAMAGED, VALIDATE_HEADER, 0, 0, ""},
    {SEG_1, WHOLE, VALIDATE_FULL, 0, 0, ""},
};

static unsigned char *
make_contents(const char *name, Shape shape, size_t *ret_size)
{
    unsigned char *data = mem_alloc(TEST_SEGMENT + TEST_PAGE);
    AUTO(free) unsigned char *good = segment_make(shape == OTHER ? SEG_2 : SEG_1, 1);
    (void)name;
    if (shape == RUBBISH)
        memset(data, 'r', TEST_SEGMENT);
    else if (shape != ZEROS)
        memcpy(data, good, TEST_SEGMENT);
    if (shape == DAMAGED)
        data[SEGMENT_RECORD + 1000] ^= 1;
    *ret_size = shape == SHORT      ? TEST_SEGMENT / 2
                : shape == LONG     ? TEST_SEGMENT + TEST_PAGE
                : shape == HEADLESS ? 20
                : shape == EMPTY    ? 0
                                    : TEST_SEGMENT;
    return data;
}

static WalFile
wal_file(const char *name)
{
    WalFile wal = {.kind = wal_kind(name)};
    snprintf(wal.name, sizeof(wal.name), "%s", name);
    return wal;
}

static void
assert_outcome(size_t i, int got, int expected, const GateFinding *finding)
{
    if (got != expected || !strstr(finding->reason, expected ? cases[i].reason : ""))
        fail_msg("case %zu: %d '%s' %s", i, got, finding->reason,
                 got < 0 ? error_last()->text : "");
}

static void
test_plain(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t size = 0;
        AUTO(free) unsigned char *data = make_contents(cases[i].name, cases[i].shape, &size);
        WalFile wal = wal_file(cases[i].name);
        struct stat st = {.st_size = (off_t)size, .st_ctim = {.tv_sec = time(NULL)}};
        Gate fresh = {cases[i].level, 0, 3600}, old = {cases[i].level, 0, 0};
        GateFinding finding;
        size_t head = size < 4096 ? size : 4096;
        assert_outcome(i, gate_check(&fresh, &wal, &st, data, head, &finding), cases[i].fresh,
                       &finding);
        assert_outcome(i, gate_check(&old, &wal, &st, data, head, &finding), cases[i].old,
                       &finding);
        assert_int_equal(finding.opaque, cases[i].shape == RUBBISH && wal.kind == WAL_SEGMENT);
    }
}

static int
check_file(const Gate *gate, const char *name, const char *path, const char *codec,
           const CustomCodec *custom, GateFinding *ret_finding)
{
    WalFile wal = wal_file(name);
    struct stat st;
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    fstat(fd, &st);
    return gate_check_compressed(gate, &wal, &st, fd, codec_find(codec), custom, ret_finding);
}

/* The rules are the same for what is inside. */
static void
test_compressed(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/file", dir);
    size_t descriptors = count_descriptors(), threads = count_threads();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t size = 0;
        AUTO(free) unsigned char *data = make_contents(cases[i].name, cases[i].shape, &size);
        const char *codec = i % 2 ? "gzip" : "zstd";
        Gate fresh = {cases[i].level, 0, 3600}, old = {cases[i].level, 0, 0};
        GateFinding finding;
        write_compressed(path, codec, data, size, 0);
        assert_outcome(i, check_file(&fresh, cases[i].name, path, codec, NULL, &finding),
                       cases[i].fresh, &finding);
        assert_outcome(i, check_file(&old, cases[i].name, path, codec, NULL, &finding),
                       cases[i].old, &finding);
    }
    assert_int_equal(count_descriptors(), descriptors);
    assert_int_equal(count_threads(), threads);
    scratch_remove(dir);
}

/* Cut off or damaged anywhere: never taken. */
static void
test_compressed_streams(void **state)
{
    (void)state;
    static const char *const codecs[] = {"gzip", "bzip2", "xz", "zstd", "lz4"};
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/file", dir);
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    Gate fresh = {VALIDATE_HEADER, 0, 3600}, old = {VALIDATE_HEADER, 0, 0};
    for (size_t i = 0; i < COUNT_OF(codecs); i++) {
        AUTO(str) Str stream = {0};
        GateFinding finding;
        compress_bytes(codecs[i], data, TEST_SEGMENT, &stream);
        size_t lengths[] = {stream.length - 1, stream.length / 2, 12};
        for (size_t j = 0; j < COUNT_OF(lengths); j++) {
            write_bytes(path, stream.data, lengths[j]);
            assert_int_equal(check_file(&fresh, SEG_1, path, codecs[i], NULL, &finding), GATE_WAIT);
            assert_int_equal(check_file(&old, SEG_1, path, codecs[i], NULL, &finding),
                             GATE_INVALID);
            assert_true(finding.reason[0] != '\0');
        }
        stream.data[stream.length / 2] ^= 1;
        write_bytes(path, stream.data, stream.length);
        assert_int_equal(check_file(&old, SEG_1, path, codecs[i], NULL, &finding), GATE_INVALID);
        str_append(&stream, "and more");
        stream.data[(stream.length - 8) / 2] ^= 1;
        write_bytes(path, stream.data, stream.length);
        assert_int_equal(check_file(&old, SEG_1, path, codecs[i], NULL, &finding), GATE_INVALID);
    }
    scratch_remove(dir);
}

static void
test_compressed_full(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/file", dir);
    Gate full = {VALIDATE_FULL, SYSTEM_ID, 0};
    GateFinding finding;
    size_t size = 0;
    AUTO(free) unsigned char *damaged = make_contents(SEG_1, DAMAGED, &size);
    write_compressed(path, "zstd", damaged, size, 0);
    assert_int_equal(check_file(&full, SEG_1, path, "zstd", NULL, &finding), GATE_INVALID);
    assert_non_null(strstr(finding.reason, "0/100028"));
    damaged[SEGMENT_RECORD + 1000] ^= 1;
    write_compressed(path, "zstd", damaged, size, 0);
    assert_done(check_file(&full, SEG_1, path, "zstd", NULL, &finding));
    assert_true(finding.known);
    assert_true(finding.facts.system_id == SYSTEM_ID);
    scratch_remove(dir);
}

/* A filter that fails may be the site's fault and not the file's: neither taken nor thrown out. */
static void
test_custom(void **state)
{
    (void)state;
    char *dir = scratch_make();
    AUTO(free) char *path = mem_printf("%s/file", dir);
    Gate gate = {VALIDATE_HEADER, 0, 0};
    GateFinding finding;
    CustomCodec custom = {.decompress = "cat"};
    segment_write(path, SEG_1, 1);
    assert_done(check_file(&gate, SEG_1, path, "custom", &custom, &finding));
    assert_int_equal(check_file(&gate, SEG_2, path, "custom", &custom, &finding), GATE_INVALID);
    custom.decompress = "cat; echo no key >&2; exit 3";
    assert_fails(check_file(&gate, SEG_1, path, "custom", &custom, &finding), ERR_HOOK, "no key");
    custom.decompress = NULL;
    assert_fails(check_file(&gate, SEG_1, path, "custom", &custom, &finding), ERR_CONFIG, "custom");
    scratch_remove(dir);
}

static void
test_cluster(void **state)
{
    (void)state;
    AUTO(free) unsigned char *data = segment_make(SEG_1, 1);
    WalFile wal = wal_file(SEG_1);
    struct stat st = {.st_size = TEST_SEGMENT, .st_ctim = {.tv_sec = time(NULL)}};
    Gate gate = {VALIDATE_HEADER, SYSTEM_ID, 30};
    GateFinding finding;
    assert_done(gate_check(&gate, &wal, &st, data, 4096, &finding));
    gate.system_id++;
    assert_int_equal(gate_check(&gate, &wal, &st, data, 4096, &finding), GATE_INVALID);
    assert_non_null(strstr(finding.reason, "1234605616436508552, and this archive of "
                                           "1234605616436508553"));
}

static void
test_age(void **state)
{
    (void)state;
    static const struct {
        int64_t grace, age;
        int expected;
    } ages[] = {
        {30, 0, GATE_WAIT},     {30, 25, GATE_WAIT},   {30, 30, GATE_INVALID},
        {30, 99, GATE_INVALID}, {30, -25, GATE_WAIT},  {30, -99, GATE_INVALID},
        {0, 0, GATE_INVALID},   {0, -1, GATE_INVALID}, {INT64_MAX, 1000000000, GATE_WAIT},
    };
    for (size_t i = 0; i < COUNT_OF(ages); i++) {
        Gate gate = {.grace = ages[i].grace};
        GateFinding finding;
        struct stat st = {.st_ctim = {.tv_sec = time(NULL) - ages[i].age}};
        if (gate_defect(&gate, &st, &finding, "reason %d", 7) != ages[i].expected)
            fail_msg("age %zu", i);
        assert_string_equal(finding.reason, "reason 7");
    }
}

static void
test_levels(void **state)
{
    (void)state;
    assert_int_equal(wal_validation_parse("off"), VALIDATE_OFF);
    assert_int_equal(wal_validation_parse("header"), VALIDATE_HEADER);
    assert_int_equal(wal_validation_parse("full"), VALIDATE_FULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_compressed_streams),
        cmocka_unit_test(test_compressed_full),
        cmocka_unit_test(test_custom),
        cmocka_unit_test(test_cluster),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
