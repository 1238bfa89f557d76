/* SPDX-License-Identifier: PostgreSQL
 * What a server compares before it accepts a module has got names in PostgreSQL 18. */
#include_next <fmgr.h>

#if PG_VERSION_NUM >= 180000
#undef PG_MODULE_MAGIC
#define PG_MODULE_MAGIC                                                                            \
    extern const void *Pg_magic_func(void);                                                        \
    const void *Pg_magic_func(void)                                                                \
    {                                                                                              \
        static const struct {                                                                      \
            int length;                                                                            \
            struct {                                                                               \
                int version, function_arguments, index_keys, name_length, float8_by_value;         \
                char extra[32];                                                                    \
            } abi;                                                                                 \
            const char *name, *version;                                                            \
        } magic = {sizeof(magic),                                                                  \
                   {PG_VERSION_NUM / 100, FUNC_MAX_ARGS, INDEX_MAX_KEYS, NAMEDATALEN,              \
                    FLOAT8PASSBYVAL, FMGR_ABI_EXTRA},                                              \
                   "walden_archive",                                                               \
                   NULL};                                                                          \
        return &magic;                                                                             \
    }                                                                                              \
    extern int no_such_variable
#endif
