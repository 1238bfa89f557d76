/* SPDX-License-Identifier: PostgreSQL
 * Formats that are programs: pigz, which writes gzip, and what the site configured as "custom". The
 * program reads and writes the open files itself; nothing passes through us, and nothing is known
 * here of what it wrote. */
#include "base/proc.h"
#include "flow/recode/coder.h"

bool
codec_is_program(const CodecClass *class)
{
    return !class->compressor_new;
}

/* The shell line, to be freed. */
static int
program_line(const CodecClass *class, bool compress, int level, const CustomCodec *custom,
             char **ret_line)
{
    if (class == &codec_pigz) {
        *ret_line = compress ? mem_printf("pigz -c -%d", level) : mem_dup("pigz -c -d");
        return 0;
    }
    assert(class == &codec_custom);
    const char *line = !custom ? NULL : compress ? custom->compress : custom->decompress;
    if (!line)
        return fail(ERR_CONFIG, "compression 'custom' needs the option '%s'",
                    compress ? "custom_compression_filter" : "custom_decompression_filter");
    *ret_line = mem_dup(line);
    return 0;
}

int
program_recode(const CodecClass *class, bool compress, int level, const CustomCodec *custom,
               int from_fd, int to_fd)
{
    AUTO(free) char *line = NULL;
    TRY(program_line(class, compress, level, custom, &line));
    ProcSpec spec = {.shell = line,
                     .path_prefix = custom ? custom->path_prefix : NULL,
                     .stdin_fd = from_fd,
                     .stdout_fd = to_fd,
                     .timeout_ms = custom ? custom->timeout_ms : 0};
    int status;
    TRY(proc_run(&spec, &status));
    if (status == 0)
        return 0;
    char text[PROC_STATUS_ROOM];
    proc_status_format(status, text);
    return fail(ERR_HOOK, "%s '%s': %s%s%s", compress ? "compress with" : "decompress with", line,
                text, spec.stderr_tail[0] ? ": " : "", spec.stderr_tail);
}

const CodecClass codec_pigz = {
    .name = "pigz",
    .magic = gzip_magic,
    .magic_size = sizeof(gzip_magic),
    .recognised_as = &codec_gzip,
    .level_min = 1,
    .level_max = 9,
    .level_low = 1,
    .level_medium = 6,
    .level_high = 9,
    .decompressor_new = gzip_decompressor_new,
};

const CodecClass codec_custom = {.name = "custom"};
