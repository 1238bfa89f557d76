/* SPDX-License-Identifier: PostgreSQL
 * libFuzzer target: any bytes as the main file of a whole configuration, so that interpolation,
 * values and messages meet odd input too. See ini_fuzz.c. */
#include "config/config.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char head[] = "[barman]\nbarman_home = /nowhere\n";
    AUTO(close) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    AUTO(config) Config *config = NULL;
    AUTO(arena) Arena *arena = arena_new();
    char path[64];
    if (fd < 0 || write(fd, head, sizeof(head) - 1) < 0 || write(fd, data, size) < 0)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (config_load(path, &config) < 0) {
        assert(error_last()->class == ERR_CONFIG);
        return 0;
    }
    size_t count = 0;
    const OptionInfo *options = option_all(&count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < config->server_count; k++)
            option_value(&options[i], config, &config->servers[k], arena);
    return 0;
}
