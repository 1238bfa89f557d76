/* SPDX-License-Identifier: PostgreSQL
 * libFuzzer target: any bytes as a configuration file. Run it with a corpus directory:
 *
 *     CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined
 *     ninja -C build-fuzz test/fuzz/ini_fuzz
 *     build-fuzz/test/fuzz/ini_fuzz /tmp/corpus test/unit/config/ini_corpus
 */
#include "config/ini.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    AUTO(arena) Arena *arena = arena_new();
    AUTO(free) char *text = mem_alloc(size);
    IniFile file;
    memcpy(text, data, size);
    if (ini_parse("fuzz", text, size, arena, &file) < 0) {
        assert(error_last()->class == ERR_CONFIG);
        return 0;
    }
    for (size_t i = 0; i < file.count; i++) {
        const IniLine *line = &file.lines[i];
        assert(*line->section && line->number > 0 && line->number >= (i ? line[-1].number : 0));
        assert(!strpbrk(line->key, "=:\n") && !strpbrk(line->section, "\n"));
        ini_unquote(arena, line->value);
    }
    return 0;
}
